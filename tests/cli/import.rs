//! `import`, `export` and `rename` as a user sees them.

use serde_json::json;

use crate::user::{User, snapshots};

/// A record of docker-machine's driver none, without any certificate.
fn docker_machine(user: &User, name: &str, url: &str) -> std::path::PathBuf {
    let root = user.store().with_file_name("theirs");
    let directory = root.join("machines").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let document = json!({
        "ConfigVersion": 3, "DriverName": "none", "Name": name,
        "Driver": { "IPAddress": url.trim_start_matches("tcp://"), "MachineName": name, "SSHKeyPath": "", "URL": url },
        "HostOptions": { "EngineOptions": { "Labels": [] }, "AuthOptions": { "StorePath": directory } },
    });
    std::fs::write(directory.join("config.json"), document.to_string()).unwrap();
    root
}

fn passphrase(user: &User, text: &str) -> String {
    let path = user.store().with_file_name("passphrase");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_cannot_be_imported_exported_or_renamed() {
    let user = User::with_machines();
    let there = user.store().with_file_name("there.age");
    std::fs::write(&there, "no archive").unwrap();
    let there = there.to_str().unwrap().to_owned();
    let home = user.store().parent().unwrap().to_owned();
    let (short, long) = (passphrase(&user, "short\n"), home.join("long"));
    std::fs::write(&long, "long enough for an archive\n").unwrap();
    let long = long.to_str().unwrap();
    let store = user.store();
    let absent = home.join("absent").to_str().unwrap().to_owned();
    let new = home.join("new.age").to_str().unwrap().to_owned();
    let cases: [&[&str]; 14] = [
        &["import", &absent],
        &["import", home.to_str().unwrap()],
        &["import", "--keep-owner", store.to_str().unwrap()],
        &["import", &there],
        &["import", "--passphrase-file", long, &there],
        &["import", "--identity", &there, &there],
        &["export", "one", "-o", &there, "--passphrase-file", long],
        &["export", "one", "-o", &new],
        &["export", "one", "-o", &new, "--passphrase-file", &short],
        &["export", "one", "-o", &new, "--recipient", "age1nobody"],
        &["export", "zzz", "-o", &new, "--passphrase-file", long],
        &["rename", "one", "two"],
        &["rename", "one", "-x"],
        &["rename", "zzz", "three"],
    ];
    let text: Vec<String> = cases.iter().map(|arguments| user.refused(arguments)).collect();
    let text = text.join("\n").replace(home.to_str().unwrap(), "HOME");
    snapshots(|| insta::assert_snapshot!("what_cannot_be_imported", text));
    assert!(!std::path::Path::new(&new).exists() && std::fs::read(&there).unwrap() == b"no archive");
    assert_eq!(user.run(&["ls", "-q"]).stdout, "one\ntwo\n");
}

#[test]
fn import_prints_a_table_or_json_and_fails_when_one_fails() {
    let user = User::new();
    let root = docker_machine(&user, "a", "tcp://127.0.0.1:1");
    docker_machine(&user, "b", "http://127.0.0.1:1");
    let root = root.to_str().unwrap();
    let answer = user.run(&["import", "--offline", root]);
    assert_eq!(answer.code, 9, "{}", answer.stderr);
    insta::assert_snapshot!(answer.stdout, @r"
    NAME  DRIVER  RESULT
    a     none    imported
    b     -       failed
    ");
    assert!(
        answer.stderr.contains("Error: docker-machine's record of machine \"b\" does not read"),
        "{}",
        answer.stderr
    );
    assert_eq!(user.run(&["url", "a"]).stdout, "tcp://127.0.0.1:1\n");
    let json: serde_json::Value =
        serde_json::from_str(&user.run(&["import", "--offline", "--json", root]).stdout).unwrap();
    assert_eq!(
        (&json["machines"][0]["outcome"], &json["machines"][1]["outcome"]),
        (&"present".into(), &"failed".into())
    );
    assert!(json["machines"][1]["error"].as_str().unwrap().contains("invalid engine URL"), "{json}");
}

#[test]
fn docker_machines_own_place_is_the_default() {
    let user = User::new();
    let root = docker_machine(&user, "a", "tcp://127.0.0.1:1");
    let home = root.parent().unwrap();
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    std::fs::rename(&root, home.join(".docker/machine")).unwrap();
    let mut command = user.command(&["-s", home.join("own").to_str().unwrap(), "import", "--offline"]);
    assert!(command.env_remove("MACHINE_STORAGE_PATH").output().unwrap().status.success());
    assert!(home.join("own/machines/a/config.json").exists());
}

#[test]
fn an_archive_reads_back_and_a_rename_is_said() {
    let user = User::with_machines();
    let file = passphrase(&user, "long enough for an archive\n");
    let archive = user.store().with_file_name("a.age");
    let archive = archive.to_str().unwrap();
    assert_eq!(user.run(&["export", "one", "two", "-o", archive, "--passphrase-file", &file]).code, 0);
    for name in ["one", "two"] {
        assert_eq!(user.run(&["rm", "-y", name]).code, 0);
    }
    let answer = user.run(&["import", archive, "--passphrase-file", &file]);
    assert_eq!((answer.code, answer.stdout.lines().count()), (0, 3), "{}", answer.stderr);
    assert_eq!(user.run(&["url", "two"]).stdout, "tcp://[::1]:2\n");
    let renamed = user.run(&["rename", "two", "three"]);
    assert_eq!((renamed.code, renamed.stdout.as_str()), (0, ""));
    assert!(renamed.stderr.contains("Machine \"two\" is called \"three\" now."), "{}", renamed.stderr);
    assert_eq!(user.run(&["url", "three"]).stdout, "tcp://[::1]:2\n");
}
