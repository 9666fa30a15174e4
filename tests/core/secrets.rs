//! Secrets stay in files of their own, which only their owner reads.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rmachine_core::MachineSpec;
use rmachine_model::EngineSource;
use rmachine_provider_api::Value;

use crate::support::{World, options, with};

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn typed_secrets_are_kept_apart_and_used_again() {
    let world = World::new();
    world.account.require_token("s3cret-token");
    let mut create: MachineSpec = with("m", &[("fake-token", Value::Text("s3cret-token".into()))]);
    create.engine.env = vec!["HTTPS_PROXY=http://user:s3cret-env@proxy".to_owned()];
    create.engine.opts = vec!["log-opt=splunk-token=s3cret-opt".to_owned()];
    create.engine.registry_mirrors = vec!["https://u:s3cret-mirror@mirror.test".to_owned()];
    create.engine.source = EngineSource::Url;
    create.engine.install_url = Some("https://u:s3cret-script@h.test/i.sh?token=s3cret-query".to_owned());
    world.core().create(create).await.unwrap();

    let holders = |secret: &str| -> Vec<String> {
        let mut names: Vec<String> = files(world.store().root())
            .into_iter()
            .filter(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(secret))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(holders("s3cret-token"), ["credentials.json"]);
    assert_eq!(holders("s3cret-env"), ["engine.json"]);
    assert_eq!(holders("s3cret-opt"), ["engine.json"]);
    assert_eq!(holders("s3cret-mirror"), ["engine.json"]);
    assert_eq!(holders("s3cret-script"), ["engine.json"]);
    assert_eq!(holders("s3cret-query"), ["engine.json"]);
    let inspected = world.store().load_document("m").unwrap().to_string();
    assert!(!inspected.contains("s3cret"), "{inspected}");

    let record = world.record("m");
    assert_eq!(record.engine.env, ["HTTPS_PROXY=http://user:s3cret-env@proxy"], "provision needs them again");
    world.core().restart("m").await.expect("a later command has the stored token");
}

#[tokio::test]
async fn every_file_and_directory_is_the_owners_alone() {
    let world = World::new();
    world.core().create(with("m", &[("fake-token", Value::Text("x".into()))])).await.unwrap();
    let root = world.store().root().to_owned();
    let all = files(&root);
    for name in ["config.json", "credentials.json", "engine.json", "ca-key.pem", "key.pem", "id_rsa", "user-data"] {
        assert!(all.iter().any(|path| path.ends_with(name)), "{name} is there: {all:?}");
    }
    for path in &all {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    for directory in [&root, &root.join("machines"), &root.join("machines/m"), &root.join("certs"), &root.join("locks")]
    {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
}

#[tokio::test]
async fn the_document_is_docker_machines() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let document = world.store().load_document("m").unwrap();
    assert_eq!(document["ConfigVersion"], 3);
    assert_eq!(document["DriverName"], "fake");
    assert_eq!(document["Name"], "m");
    assert_eq!(document["Driver"]["IPAddress"], world.record("m").address().unwrap());
    assert_eq!(document["Driver"]["MachineName"], "m");
    let key = document["Driver"]["SSHKeyPath"].as_str().unwrap();
    assert!(Path::new(key).exists(), "{key}");
    assert_eq!(
        document["HostOptions"]["AuthOptions"]["StorePath"],
        world.store().machine_directory("m").to_str().unwrap()
    );
}
