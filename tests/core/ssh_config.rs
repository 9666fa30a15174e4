//! `ssh-config` of records with anything in them, as OpenSSH reads it.

use rmachine_core::ImportOptions;
use serde_json::{Value, json};

use crate::{docker_machine::DockerMachine, support::World};

/// What `ssh-config` prints has only the keywords that it prints, whatever stands in the record: OpenSSH reads it.
#[tokio::test]
async fn ssh_config_is_what_openssh_reads_whatever_the_record_has() {
    let world = World::new();
    let theirs = DockerMachine::new(world.directory.path().join("theirs"), 0);
    theirs.add("m", "generic", &json!({ "IPAddress": "127.0.0.1" }), &json!({}));
    let import = ImportOptions { source: theirs.root.clone(), offline: true, ..Default::default() };
    world.core().import(&import).await.unwrap();
    let (path, sentinel) = (world.store().machine_file("m", "config.json"), world.directory.path().join("ran"));
    let file = world.directory.path().join("ssh_config");
    let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let exec = format!("Match exec \"touch {}\"", sentinel.display());
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGqSEhXVzmLCMhIZwAuzBQxFLXKUBOyKpG7lBmWbsSn0";
    let mut printed = 0;
    for hostile in ["h", "a b", "a\"b", "a\\", "${HOME}", "a\0b"] {
        for value in
            [hostile.to_owned(), format!("{hostile}\n{exec}\n"), format!("{hostile}\r{exec}"), format!("x {hostile}")]
        {
            for field in ["User", "KeyFile", "ProxyJump", "ProxyCommand", "HostKeys"] {
                let mut changed = document.clone();
                let ssh = &mut changed["Rmachine"]["Ssh"];
                ssh["HostKeys"] = json!([key]);
                ssh[field] = if field == "HostKeys" { json!([format!("{key} {value}")]) } else { json!(value) };
                std::fs::write(&path, changed.to_string()).unwrap();
                let Ok(config) = world.core().ssh_config(&["m".to_owned()]).await else { continue };
                printed += 1;
                const KEYWORDS: [&str; 13] = [
                    "Host",
                    "HostName",
                    "Port",
                    "User",
                    "IdentityFile",
                    "IdentitiesOnly",
                    "ProxyJump",
                    "ProxyCommand",
                    "HostKeyAlias",
                    "UserKnownHostsFile",
                    "GlobalKnownHostsFile",
                    "HostKeyAlgorithms",
                    "UpdateHostKeys",
                ];
                for line in config.lines() {
                    let keyword = line.split_whitespace().next().unwrap_or("StrictHostKeyChecking");
                    assert!(
                        KEYWORDS.contains(&keyword) || keyword == "StrictHostKeyChecking",
                        "{field} {value:?}: {line:?}"
                    );
                }
                std::fs::write(&file, &config).unwrap();
                let read = std::process::Command::new("ssh").args(["-G", "-F"]).arg(&file).arg("m").output().unwrap();
                let said = String::from_utf8_lossy(&read.stdout).into_owned();
                if read.status.success() {
                    assert!(
                        said.contains("hostname 127.0.0.1\n") && said.contains("hostkeyalias rmachine-m\n"),
                        "{said}"
                    );
                }
                assert!(!sentinel.exists(), "{field} {value:?}");
            }
        }
    }
    assert!(printed > 20, "{printed}");
}
