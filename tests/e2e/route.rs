//! A machine without a public address, behind a jump host that is a machine itself.

use crate::{
    ec2::instance,
    support::{PREBAKED, Store, run},
};

#[test]
fn a_private_machine_behind_a_machine() {
    let store = Store::new();
    store.create_ec2(PREBAKED, &[], "gate").ok();
    let gate = store.rmachine(&["ip", "gate"]).ok();
    let (user, pin) = {
        let record = store.inspect("gate");
        let ssh = &record["Rmachine"]["Ssh"];
        (ssh["User"].as_str().unwrap().to_owned(), ssh["HostKeys"][0].as_str().unwrap().to_owned())
    };
    // What a user has for his gate: a key in ~/.ssh, and the gate in known_hosts.
    let key = store.root().join("machines/gate/id_rsa");
    let home = store.file(".ssh/known_hosts", "").parent().unwrap().to_owned();
    std::fs::copy(key, home.join("id_ed25519")).unwrap();
    let hop = format!("{user}@{gate}");
    let flags = [
        "--amazonec2-private-address-only",
        "--ssh-proxy-jump",
        &hop,
        "--ssh-tunnel",
        "--amazonec2-ingress-cidr=10.0.0.0/8",
    ];

    let refused = store.create_ec2(PREBAKED, &flags, "inner");
    assert!(refused.stderr.contains(&format!("the jump host {gate} does not let us through")), "{refused:?}");
    assert_ne!(refused.code, 0);
    assert!(!store.rmachine(&["ls", "-q"]).ok().contains("inner"), "a create that fails leaves nothing");

    std::fs::write(home.join("known_hosts"), format!("{gate} {pin}\n")).unwrap();
    store.create_ec2(PREBAKED, &flags, "inner").ok();
    assert!(instance(&store, "inner").get("PublicIpAddress").is_none());
    let gates_own = store.rmachine(&["ssh", "gate", "hostname -I"]).ok();
    let client = store.rmachine(&["ssh", "inner", "echo $SSH_CLIENT"]).ok();
    let client = client.split_whitespace().next().unwrap();
    assert!(gates_own.split_whitespace().any(|own| own == client), "{client} is the gate's: {gates_own}");
    store.sh("inner", "docker version").ok();
    // Files take the same way, also from a machine that has another one.
    let file = store.file("file", "by the gate");
    store.rmachine(&["scp", file.to_str().unwrap(), "inner:"]).ok();
    store.rmachine(&["scp", "inner:file", "gate:copy"]).ok();
    assert_eq!(store.rmachine(&["ssh", "gate", "cat copy"]).ok(), "by the gate");
    store.rmachine(&["restart", "inner"]).ok();
    store.sh("inner", "docker version").ok();
    assert_eq!(store.inspect("inner")["Rmachine"]["Ssh"]["ProxyJump"], hop);

    // The stock ssh goes the same way. It reads the home directory of the
    // password database, not HOME, so it is told the gate's key by options of its own.
    let command = format!(
        "ssh -i {} -o UserKnownHostsFile={} -o BatchMode=yes -W %h:%p {hop}",
        home.join("id_ed25519").display(),
        home.join("known_hosts").display()
    );
    store.rmachine(&["provision", "--ssh-proxy-command", &command, "inner"]).ok();
    store.sh("inner", "docker version").ok();
    let config = store.file("ssh.conf", &store.rmachine(&["ssh-config", "inner"]).ok());
    let words = ["-F", config.to_str().unwrap(), "-o", "BatchMode=yes", "inner", "echo $SSH_CLIENT"];
    assert!(run(store.command("ssh").args(words)).ok().starts_with(client));
}
