//! Access that is given away: it opens one machine until it ends.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    hosts::{Host, Key},
    support::{Done, Store, eventually, run},
};

/// The other one's key, made by openssl; answers the file with its public half or a request.
fn recipient(store: &Store, name: &str, request: bool) -> PathBuf {
    let (key, public) = (store.path(&format!("{name}.key")), store.path(&format!("{name}.pem")));
    let second = if request {
        format!("openssl req -new -key {} -subj /CN=other -out {}", key.display(), public.display())
    } else {
        format!("openssl pkey -in {} -pubout -out {}", key.display(), public.display())
    };
    let line =
        format!("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {} && {second}", key.display());
    run(store.command("bash").args(["-c", &line])).ok();
    public
}

/// Shares `machine`; the directory is a whole `DOCKER_CERT_PATH` then. Answers it and the id.
fn share(store: &Store, machine: &str, name: &str, request: bool, ttl: &str) -> (PathBuf, String) {
    let public = recipient(store, name, request);
    let directory = store.path(&format!("{name}-share"));
    let arguments = ["share", machine, "--to", public.to_str().unwrap(), "--ttl", ttl, "--json", "-o"];
    let given = store.rmachine(&[&arguments[..], &[directory.to_str().unwrap()]].concat()).ok();
    let given: serde_json::Value = serde_json::from_str(&given).unwrap();
    std::fs::copy(public.with_extension("key"), directory.join("key.pem")).unwrap();
    (directory, given["id"].as_str().unwrap().to_owned())
}

/// The commands that README.txt tells the recipient, which are indented there.
fn told(directory: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join("README.txt")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

const STARTED: &str = "docker inspect -f '{{.State.StartedAt}} {{.State.Pid}} {{.State.Running}}' steady";

#[test]
fn it_opens_one_machine_until_it_ends() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let hosts = ["one", "two"].map(|name| {
        let host = Host::boot("debian13-docker", "debian", &key, true);
        host.create(&store, "debian", &key, &[], name).ok();
        host
    });
    store.import_busybox("one");
    store.sh("one", "docker run -d --name steady busybox sleep 3600").ok();
    let started = store.sh("one", STARTED).ok();
    let with = |machine: &str, directory: &PathBuf| -> Done {
        store.sh(machine, &format!("export DOCKER_CERT_PATH={}; docker ps -q", directory.display()))
    };
    let refused = |done: Done| assert!(done.is_refused_by_tls(), "{done:?}");

    // Without a certificate, and with one of another store's CA.
    let bare = format!(
        "curl -sS --cacert {}/machines/one/ca.pem https://{}:2376/version",
        store.root().display(),
        hosts[0].address
    );
    assert_ne!(run(store.command("bash").args(["-c", &bare])).code, 0);
    let foreign = store.path("foreign");
    let line = format!(
        "MACHINE_STORAGE_PATH={0} rmachine create -d none --url tcp://127.0.0.1:1 x && cp {1}/machines/one/ca.pem {0}/certs/",
        foreign.display(),
        store.root().display()
    );
    run(store.command("bash").args(["-c", &line])).ok();
    refused(with("one", &foreign.join("certs")));

    let (first, first_id) = share(&store, "one", "first", false, "8h");
    let (second, second_id) = share(&store, "one", "second", true, "1d");
    with("one", &first).ok();
    with("one", &second).ok();
    // Neither knows the other, and who knows the engine is refused by it.
    assert_ne!(with("two", &first).code, 0);
    let knowing = store.path("knowing");
    let line = format!(
        "cp -a {0} {1} && cp {2}/machines/two/ca.pem {1}/",
        first.display(),
        knowing.display(),
        store.root().display()
    );
    run(store.command("bash").args(["-c", &line])).ok();
    refused(with("two", &knowing));
    // As the recipient is told, on a computer that has no store.
    let told = told(&first);
    for line in [told[..2].join(" && "), told[2].clone()] {
        let line = format!("unset MACHINE_STORAGE_PATH DOCKER_HOST DOCKER_CERT_PATH; cd {}; {line}", first.display());
        assert!(run(store.command("sh").args(["-c", &line])).ok().contains("Server:"), "{line}");
    }
    let listed = store.rmachine(&["share", "one"]).ok();
    assert!(listed.contains(&first_id) && listed.contains(&second_id) && listed.contains("open"), "{listed}");
    assert_eq!(store.rmachine(&["share", "two"]).ok(), "");

    // What else changes certificates keeps them; ending one leaves the other.
    store.rmachine(&["regenerate-certs", "-f", "one"]).ok();
    with("one", &first).ok();
    assert!(store.rmachine(&["unshare", "one", "nonesuch"]).fails(2).contains(&first_id));
    store.rmachine(&["unshare", "one", &first_id]).ok();
    refused(with("one", &first));
    with("one", &second).ok();
    store.rmachine(&["unshare", "one", "--all"]).ok();
    refused(with("one", &second));
    assert_eq!(store.sh("one", STARTED).ok(), started, "the container ran on all the time");

    // Another CA: the recipient needs it, and is told of.
    let (kept, kept_id) = share(&store, "two", "kept", false, "8h");
    let rotate = |arguments: &[&str]| -> String {
        let done = store.rmachine(arguments);
        assert_eq!(done.code, 0, "{done:?}");
        done.stderr
    };
    let begun = rotate(&["rotate-ca"]);
    assert!(begun.contains(&kept_id) && begun.contains("before `rmachine rotate-ca --finish two`"), "{begun}");
    with("two", &kept).ok();
    assert!(rotate(&["rotate-ca", "--finish"]).contains(&kept_id));
    assert!(with("two", &kept).stderr.contains("certificate signed by unknown authority"));
    std::fs::write(kept.join("ca.pem"), store.rmachine(&["share", "two", "--ca"]).ok() + "\n").unwrap();
    with("two", &kept).ok();
    store.rmachine(&["unshare", "two", &kept_id]).ok();
    refused(with("two", &kept));
    assert_eq!(store.sh("one", STARTED).ok(), started, "the container ran on all the time");

    // A host that cannot take the change says so, and nothing is called done.
    hosts[1].exec(
        "cp -a /etc/docker /root/kept && mount -t tmpfs -o size=64k tmpfs /etc/docker && cp -a /root/kept/. /etc/docker/ \
         && { head -c 100k /dev/zero >/etc/docker/full || true; }",
    );
    let public = recipient(&store, "never", false);
    let never = store.path("never-share");
    let arguments = ["share", "two", "--to", public.to_str().unwrap(), "-o", never.to_str().unwrap()];
    let said = store.rmachine(&arguments).fails(8);
    assert!(said.contains("cannot be written on the host"), "{said}");
    assert!(!never.exists() && store.rmachine(&["share", "two"]).ok().is_empty());
    hosts[1].exec("umount /etc/docker && rm -r /root/kept");
    store.sh("two", "docker ps").ok();

    // By itself.
    let (short, _) = share(&store, "two", "short", false, "40s");
    with("two", &short).ok();
    eventually("the share is over", Duration::from_secs(90), || with("two", &short).code != 0);
    refused(with("two", &short));
    store.sh("two", "docker ps").ok();
    assert!(store.rmachine(&["share", "two"]).ok().contains("over"));

    // What is no public key is refused before anything is done.
    let private = store.path("first.key");
    let said = store
        .rmachine(&["share", "one", "--to", private.to_str().unwrap(), "-o", store.path("x").to_str().unwrap()])
        .fails(2);
    assert!(said.contains("private key") && said.contains("openssl pkey"), "{said}");
    assert!(!store.path("x").exists());
}
