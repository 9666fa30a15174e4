//! Other clients connect with only what `env` exports.

use std::process::Command;

use futures::StreamExt;

use crate::support::{CURRENT, PREBAKED, Store, lab_variable, run};

const DOCKER_PY: &str = "\
import docker, ssl, sys
assert sys.version_info >= (3, 13), sys.version
assert ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT
client = docker.from_env()
print(client.version()['Version'])
print(client.containers.run('busybox', ['echo', 'from docker-py'], remove=True).decode().strip())
";

#[test]
fn docker_py_on_python_3_13_and_bollard() {
    docker_py_and_bollard(&Store::new(), PREBAKED);
}

#[test]
fn docker_py_on_python_3_13_and_bollard_with_the_current_docker() {
    docker_py_and_bollard(&Store::with_current_clients(), CURRENT);
}

fn docker_py_and_bollard(store: &Store, image: &str) {
    store.create_ec2(image, &[], "clients").ok();
    store.import_busybox("clients");
    let version = store.sh("clients", "docker version --format '{{.Server.Version}}'").ok();
    let script = store.file("client.py", DOCKER_PY);
    // The lab's cache, since the user of a store has another home.
    let busybox = lab_variable("RMACHINE_LAB_BUSYBOX");
    let cache = std::path::Path::new(&busybox).parent().unwrap();
    let line = format!(
        "cd {}/tests/lab && RMACHINE_CACHE={} {} -m lab py313 {}",
        env!("CARGO_MANIFEST_DIR"),
        cache.display(),
        lab_variable("RMACHINE_LAB_PYTHON"),
        script.display()
    );
    assert_eq!(store.sh("clients", &line).ok(), format!("{version}\nfrom docker-py"));

    // bollard reads the same variables, so it has to run in a process of its own.
    let me = std::env::current_exe().unwrap();
    let line = format!("RMACHINE_E2E_BOLLARD=1 {} clients::bollard_in_the_exported_environment --exact", me.display());
    let done = store.sh("clients", &line);
    assert!(done.stdout.contains("1 passed"), "{done:?}");
}

/// Run by the test above with the machine's environment; by itself it only checks that there is none.
#[test]
fn bollard_in_the_exported_environment() {
    if std::env::var_os("RMACHINE_E2E_BOLLARD").is_none() {
        let me = std::env::current_exe().unwrap();
        let alone = run(Command::new(me)
            .args(["clients::bollard_in_the_exported_environment", "--exact"])
            .env("RMACHINE_E2E_BOLLARD", "1")
            .env_remove("DOCKER_CERT_PATH"));
        assert_ne!(alone.code, 0, "without the environment bollard has no certificates to connect with");
        return;
    }
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let docker = bollard::Docker::connect_with_ssl_defaults().unwrap().negotiate_version().await.unwrap();
        assert_eq!(docker.ping().await.unwrap(), "OK");
        let images = docker.list_images(None::<bollard::query_parameters::ListImagesOptions>).await.unwrap();
        assert!(images.iter().any(|image| image.repo_tags.iter().any(|tag| tag == "busybox:latest")));
        let body = bollard::models::ContainerCreateBody {
            image: Some("busybox".to_owned()),
            cmd: Some(vec!["echo".to_owned(), "from bollard".to_owned()]),
            ..Default::default()
        };
        let id =
            docker.create_container(None::<bollard::query_parameters::CreateContainerOptions>, body).await.unwrap().id;
        docker.start_container(&id, None::<bollard::query_parameters::StartContainerOptions>).await.unwrap();
        let ended = docker.wait_container(&id, None::<bollard::query_parameters::WaitContainerOptions>).next().await;
        assert_eq!(ended.unwrap().unwrap().status_code, 0);
        let options = bollard::query_parameters::LogsOptions { stdout: true, ..Default::default() };
        let said = docker.logs(&id, Some(options)).next().await.unwrap().unwrap();
        assert_eq!(said.to_string().trim(), "from bollard");
    });
}
