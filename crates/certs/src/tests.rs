#![allow(clippy::disallowed_methods, reason = "a test's own files")]

use super::*;

fn authority() -> (Identity, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (new_ca("0123456789abcdef", now).unwrap(), now)
}

#[test]
fn a_leaf_belongs_to_its_ca_and_key_and_to_no_other() {
    let (ca, now) = authority();
    let (other, _) = authority();
    let sans = Sans::parse(["10.0.0.1", "::1", "m.example"]).unwrap();
    let leaf = issue_server(&ca, &sans, now).unwrap();
    assert!(signed_by(&leaf.cert_pem, &ca.cert_pem).unwrap());
    assert!(!signed_by(&leaf.cert_pem, &other.cert_pem).unwrap());
    assert!(key_matches(&leaf.cert_pem, &leaf.key_pem).unwrap());
    assert!(!key_matches(&leaf.cert_pem, &other.key_pem).unwrap());
    let info = inspect(&leaf.cert_pem).unwrap();
    assert_eq!(info.sans, sans);
    assert!(covers(&info, &Sans::parse(["10.0.0.1"]).unwrap()));
    assert!(!covers(&info, &Sans::parse(["10.0.0.2"]).unwrap()));
    assert!(inspect(&ca.cert_pem).unwrap().is_ca && !info.is_ca);
}

#[test]
fn health_follows_the_clock() {
    let (ca, now) = authority();
    let info = inspect(&issue_client(&ca, now).unwrap().cert_pem).unwrap();
    assert_eq!(health(&info, now), Health::Good);
    assert_eq!(health(&info, now - Duration::days(2)), Health::NotYetValid);
    assert_eq!(health(&info, now + Duration::days(800)), Health::RenewDue);
    assert_eq!(health(&info, now + Duration::days(1100)), Health::Expired);
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let (ca, now) = authority();
    let late = now + Duration::days(3000);
    let leaf = inspect(&issue_client(&ca, late).unwrap().cert_pem).unwrap();
    assert_eq!(leaf.not_after, inspect(&ca.cert_pem).unwrap().not_after);
}

/// Requests by openssl, whose digest is not that of the curve.
#[test]
fn a_share_is_for_the_key_of_the_request_whatever_signs_it() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = |line: &str| {
        let words = line.replace("DIR", dir.path().to_str().unwrap());
        let run = std::process::Command::new("openssl")
            .args(words.split(' '))
            .output()
            .expect("the test command installs openssl");
        assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    for (key, digest) in
        [("ec:P-384", "-sha256"), ("ec:P-256", "-sha384"), ("ec:P-256", "-sha256"), ("rsa:2048", "-sha256")]
    {
        let kind = match key.split_once(':').unwrap() {
            ("ec", curve) => format!("-algorithm EC -pkeyopt ec_paramgen_curve:{curve}"),
            (_, bits) => format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"),
        };
        openssl(&format!("genpkey {kind} -out DIR/key.pem"));
        let request = openssl(&format!("req -new -key DIR/key.pem -subj /CN=other {digest}"));
        let to = Recipient::parse(&request).unwrap();
        let shared = share(&to, "0123", OffsetDateTime::now_utc(), Duration::hours(1)).unwrap();
        std::fs::write(dir.path().join("cert.pem"), &shared.cert_pem).unwrap();
        let own = openssl("pkey -in DIR/key.pem -pubout");
        assert_eq!(openssl("x509 -in DIR/cert.pem -noout -pubkey"), own, "{key} {digest}");
        assert_eq!(Recipient::parse(&own).unwrap().fingerprint(), to.fingerprint());
    }
}

/// Weak keys, by openssl: no one gets a certificate for a key that others could work out.
#[test]
fn weak_keys_get_no_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = |line: &str| {
        let words = line.replace("DIR", dir.path().to_str().unwrap());
        let run = std::process::Command::new("openssl").args(words.split(' ')).output().unwrap();
        assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    for (key, good) in [
        ("RSA -pkeyopt rsa_keygen_bits:1024", false),
        ("RSA -pkeyopt rsa_keygen_bits:2040", false),
        ("EC -pkeyopt ec_paramgen_curve:secp224r1", false),
        ("EC -pkeyopt ec_paramgen_curve:secp256k1", false),
        ("RSA -pkeyopt rsa_keygen_bits:2048", true),
        ("EC -pkeyopt ec_paramgen_curve:P-384", true),
        ("ED25519", true),
    ] {
        openssl(&format!("genpkey -algorithm {key} -out DIR/key.pem"));
        let public = openssl("pkey -in DIR/key.pem -pubout");
        let request = openssl("req -new -key DIR/key.pem -subj /CN=other");
        for text in [public, request] {
            assert_eq!(Recipient::parse(&text).is_ok(), good, "{key}: {:?}", Recipient::parse(&text));
        }
    }
    openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out DIR/key.pem");
    let said = Recipient::parse(&openssl("pkey -in DIR/key.pem -pubout")).unwrap_err().to_string();
    assert!(said.contains("1024 bits is not strong enough") && said.contains("RSA with 2048 bits"), "{said}");
}

/// The strictest verifier at hand: OpenSSL with all of RFC 5280's rules (what Python 3.13 turns on).
#[test]
fn openssl_accepts_the_chain_in_strict_mode() {
    let (ca, now) = authority();
    let dir = tempfile::tempdir().unwrap();
    let server = issue_server(&ca, &Sans::parse(["10.0.0.1"]).unwrap(), now).unwrap();
    let client = issue_client(&ca, now).unwrap();
    let ca_path = dir.path().join("ca.pem");
    std::fs::write(&ca_path, &ca.cert_pem).unwrap();
    for (identity, purpose) in [(&server, "sslserver"), (&client, "sslclient")] {
        let path = dir.path().join("leaf.pem");
        std::fs::write(&path, &identity.cert_pem).unwrap();
        let run = std::process::Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
            .arg(&ca_path)
            .arg(&path)
            .output()
            .expect("the test command installs openssl");
        assert!(run.status.success(), "{purpose}: {}", String::from_utf8_lossy(&run.stderr));
    }
}

/// docker-machine's CA: RSA, its key in PKCS#1, no name but an organization, no key identifier.
#[test]
fn an_rsa_ca_of_docker_machine_issues_what_openssl_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = |line: &str| {
        let words = line.replace("DIR", dir.path().to_str().unwrap());
        let run = std::process::Command::new("openssl").args(words.split(' ')).output().unwrap();
        assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
    };
    openssl("genrsa -traditional -out DIR/key.pem 2048");
    openssl(
        "req -x509 -new -key DIR/key.pem -subj /O=me -days 1080 -out DIR/ca.pem -addext keyUsage=critical,keyCertSign,digitalSignature",
    );
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let (cert_pem, key_pem) = (text("ca.pem"), text("key.pem"));
    assert!(key_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert!(key_matches(&cert_pem, &key_pem).unwrap());
    assert!(key_matches(&cert_pem, &pkcs8(&key_pem).unwrap()).unwrap());
    let ca = Identity { cert_pem, key_pem: key_pem.into() };
    let now = OffsetDateTime::now_utc();
    let leaf = issue_server(&ca, &Sans::parse(["10.0.0.1"]).unwrap(), now).unwrap();
    assert!(signed_by(&leaf.cert_pem, &ca.cert_pem).unwrap());
    std::fs::write(dir.path().join("leaf.pem"), &leaf.cert_pem).unwrap();
    openssl("verify -purpose sslserver -CAfile DIR/ca.pem DIR/leaf.pem");
    // The file is there already, for its owner only.
    std::fs::write(dir.path().join("key.pem"), pkcs8(&ca.key_pem).unwrap().as_bytes()).unwrap();
    openssl("pkey -in DIR/key.pem -check -noout");
}

#[test]
fn no_key_is_shown_for_debugging() {
    let identity = Identity { cert_pem: "certificate".to_owned(), key_pem: "verysecret".to_owned().into() };
    let shown = format!("{identity:#?}");
    assert!(shown.contains("certificate") && !shown.contains("verysecret"), "{shown}");
}
