//! The program's first creates, several at once.

use std::process::Stdio;

use rmachine_store::Store;

use crate::{one_ca, user::User};

#[test]
fn parallel_first_creates_make_one_ca() {
    let user = User::new();
    let names: Vec<String> = (0..8).map(|n| format!("m{n}")).collect();
    let children: Vec<_> = names
        .iter()
        .map(|name| {
            std::process::Command::new(env!("CARGO_BIN_EXE_rmachine"))
                .args(["create", "--driver", "none", "--url", "tcp://127.0.0.1:1", name])
                .env("MACHINE_STORAGE_PATH", user.store())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    one_ca::assert(&Store::at(user.store()), &names);
}
