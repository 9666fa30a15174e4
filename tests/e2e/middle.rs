//! Another host that answers at a machine's address: refused, before anything is sent to it.

use std::process::Command;

use crate::{
    hosts::{Host, Key},
    support::{PREBAKED, Store, eventually, run},
};

/// Leads connections from here to port `port` of `address` to host `other` instead, until it is dropped.
struct Diverted(Vec<String>);

impl Diverted {
    fn new(address: &str, port: u16, other: &Host) -> Self {
        // Its own address: those that the lab gives out are translated as well.
        let other = other.exec("ip -4 -o addr show eth0 | sed 's|.* inet ||; s|/.*||'");
        let rule = format!("-t nat OUTPUT -p tcp -d {address} --dport {port} -j DNAT --to-destination {other}:{port}");
        let words: Vec<String> = rule.split(' ').map(str::to_owned).collect();
        let mut insert = Command::new("iptables");
        run(insert.args(["-w", "-t", "nat", "-I"]).args(&words[2..])).ok();
        Self(words[2..].to_vec())
    }
}

impl Drop for Diverted {
    fn drop(&mut self) {
        run(Command::new("iptables").args(["-w", "-t", "nat", "-D"]).args(&self.0));
    }
}

/// A host that lets in whoever comes with `key`, and writes down who tries.
fn rogue(key: &Key) -> Host {
    let host = Host::boot("debian13-docker", "admin", key, true);
    host.exec("echo 'LogLevel DEBUG1' >/etc/ssh/sshd_config.d/00-log.conf; systemctl reload ssh");
    host
}

/// Connections that came to `host`'s sshd, and those of them that told a login name.
fn seen(host: &Host) -> (usize, usize) {
    let log = host.exec("journalctl -u ssh -o cat --no-pager");
    let count = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    (count("Connection from "), count("userauth-request"))
}

#[test]
fn at_the_first_contact() {
    let store = Store::new();
    let key = Key::make(&store, "own", "-t ed25519");
    let rogue = rogue(&key);
    // The instance's address is known only once it is there: divert whatever the lab's next one gets.
    let (before, _) = seen(&rogue);
    let mut create = store.command("rmachine");
    create.args(["create", "-d", "amazonec2", "--amazonec2-ami-name", PREBAKED, "victim"]);
    let mut child = create.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let config = store.root().join("machines/victim/config.json");
    let mut diverted = None;
    eventually("an address is recorded", std::time::Duration::from_secs(60), || {
        let text = std::fs::read_to_string(&config).unwrap_or_default();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let address = record["Driver"]["IPAddress"].as_str().unwrap_or_default().to_owned();
        if !address.is_empty() && record["Rmachine"]["Phase"] == "booting" {
            diverted = Some(Diverted::new(&address, 22, &rogue));
        }
        diverted.is_some() || child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(diverted.is_some(), "{said}");
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains(&rogue.fingerprint()) && said.contains("is not the one that is known"), "{said}");
    let (connections, logins) = seen(&rogue);
    assert!(connections > before, "it was connected to");
    assert_eq!(logins, 0, "and told nothing: no name, no key");
    assert_eq!(crate::ec2::held_for("victim"), Vec::<String>::new(), "the create was undone");
}

#[test]
fn later() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13-docker", "debian", &key, true);
    host.create(&store, "debian", &key, &[], "mine").ok();
    // The other one knows the same login and key, and is a machine of the same store.
    let other = Host::boot("debian13-docker", "debian", &key, true);
    other.create(&store, "debian", &key, &[], "other").ok();
    other.exec("echo 'LogLevel DEBUG1' >/etc/ssh/sshd_config.d/00-log.conf; systemctl reload ssh; journalctl --rotate -q; journalctl --vacuum-time=1s -q");
    // The stock clients, by the configuration that we print.
    let config = store.file("My Files/ssh.conf", &(store.rmachine(&["ssh-config"]).ok() + "\n"));
    let stock = |line: &str| {
        let line = line.replace("{}", &format!("'{}' -o BatchMode=yes", config.display()));
        run(store.command("bash").args(["-c", &line]))
    };
    assert_eq!(stock("ssh -F {} mine id -un").ok(), "debian");
    store.file("sent", "by scp\n");
    stock(&format!("scp -F {{}} {} mine:sent", store.path("sent").display())).ok();
    assert_eq!(host.exec("cat /home/debian/sent"), "by scp");
    let fingerprints = [host.fingerprint(), other.fingerprint()];
    {
        let _ssh = Diverted::new(&host.address, 22, &other);
        for command in [
            &["ssh", "mine", "true"][..],
            &["provision", "mine"],
            &["regenerate-certs", "-f", "mine"],
            &["restart", "mine"],
        ] {
            let said = store.rmachine(command).fails(if command[0] == "ssh" { 255 } else { 7 });
            assert!(fingerprints.iter().all(|fingerprint| said.contains(fingerprint)), "{command:?}: {said}");
        }
        let refused = stock("ssh -F {} mine true");
        assert!(refused.code == 255 && refused.stderr.contains("Host key verification failed"), "{refused:?}");
        let (connections, logins) = seen(&other);
        assert!(connections >= 5 && logins == 0, "{connections} connections, {logins} logins");
    }
    {
        // The engine of another machine of ours has the right CA and the wrong name.
        let _engine = Diverted::new(&host.address, 2376, &other);
        let said = store.sh("mine", "docker ps");
        assert!(said.code != 0 && said.stderr.contains("certificate is valid for"), "{said:?}");
        store.rmachine(&["env", "--check", "mine"]).fails(8);
    }
    store.sh("mine", "docker ps").ok();
    store.rmachine(&["ssh", "mine", "true"]).ok();
    store.rmachine(&["ssh", "other", "true"]).ok();
    assert!(seen(&other).1 > 0, "a login would have been seen");
}
