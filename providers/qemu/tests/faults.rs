//! What goes wrong, is said, and leaves nothing.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod tiny;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rmachine_provider_api::{
    CreateRequest, Cx, Error, Instance, Journal, Kind, MachineState, Notify, Resource, Result, StopMode,
    conformance::{Recorder, machine_ref},
};
use tiny::{Lab, SIZE, config, guest};
use tokio::io::AsyncWriteExt;

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

/// Serves the guest's disk as `/guest.img`, whatever is asked, as often as it is asked.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/guest.img", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(&guest());
        }
    });
    url
}

async fn downloaded(url: &str, checksum: &str) -> Lab {
    let base = tempfile::Builder::new().prefix("rmq-").tempdir_in("/tmp").unwrap();
    let config = config(&base.path().join("d"), &[("qemu-image", url), ("qemu-image-checksum", checksum)]).unwrap();
    Lab::of(base, config).await
}

fn sha256(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let output = Command::new("openssl").args(["dgst", "-sha256", "-r"]).arg(file.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

async fn destroy(lab: &Lab, request: &CreateRequest, instance: Option<&Instance>) {
    lab.provider.destroy(&machine_ref(request, instance), &Cx::silent()).await.unwrap();
    assert_eq!(lab.names("machines"), [""; 0]);
}

async fn state(lab: &Lab, instance: &Instance) -> (MachineState, Option<String>) {
    let mut observed = lab.provider.observe(std::slice::from_ref(&instance.id)).await.unwrap();
    let observed = observed.remove(0);
    (observed.state, observed.reason)
}

fn directory(instance: &Instance) -> PathBuf {
    instance.details["directory"].as_str().unwrap().into()
}

/// Waits until the guest has said that it has booted `count` times.
fn await_boots(instance: &Instance, count: u32) {
    let console = directory(instance).join("console.log");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let said = std::fs::read_to_string(&console).unwrap_or_default();
        if said.trim() == count.to_string() {
            return;
        }
        assert!(Instant::now() < deadline, "the guest said {said:?}, not {count}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn a_checksum_that_differs_leaves_nothing_and_the_right_one_boots() {
    let url = serve();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let lab = downloaded(&url, &wrong).await;
    let error = lab.provider.preflight(&lab.spec("m"), &Cx::silent()).await.unwrap_err();
    let right = format!("sha256:{}", sha256(&guest()));
    assert!(error.to_string().contains("the checksum of") && error.to_string().contains(&url), "{error}");
    assert_eq!(cause(&error), format!("expected {wrong}, got {right}"));
    assert_eq!(lab.names("images"), [""; 0], "nothing of the download is left");

    let lab = downloaded(&url, &right).await;
    let request = lab.request("m").await;
    let instance = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    await_boots(&instance, 1);
    assert_eq!(lab.names("images").len(), 1, "the image is kept, and nothing else");
    destroy(&lab, &request, Some(&instance)).await;
}

/// As Ctrl-C does it while the image is fetched: nothing of the machine is there yet.
#[tokio::test]
async fn a_preflight_that_is_dropped_leaves_nothing_of_its_download() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/guest.img", listener.local_addr().unwrap());
    let lab = downloaded(&url, &format!("sha256:{}", sha256(&guest()))).await;
    // Sends half of it, and says so when that is on the disk.
    let halfway = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
        stream.write_all(&guest()[..SIZE / 2]).await.unwrap();
        while !lab.names("images").iter().any(|name| name.ends_with(".part")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stream
    };
    let spec = lab.spec("m");
    let cx = Cx::silent();
    let held = tokio::select! {
        ended = lab.provider.preflight(&spec, &cx) => panic!("half an image is enough: {ended:?}"),
        held = halfway => held,
    };
    drop(held);
    assert!(!lab.names("images").iter().any(|name| name.ends_with(".part")), "{:?}", lab.names("images"));
    assert_eq!(lab.names("machines"), [""; 0]);
}

#[tokio::test]
async fn an_image_by_plain_http_needs_a_checksum_of_its_own() {
    let base = tempfile::tempdir().unwrap();
    let error = config(base.path(), &[("qemu-image", "http://192.0.2.1/i.qcow2")]).unwrap_err();
    assert!(error.kind() == Kind::InvalidInput && error.hint_text().unwrap().contains("--qemu-image-checksum"));
    let lab = downloaded("https://192.0.2.1/i.qcow2", "http://192.0.2.1/SHA256SUMS").await;
    let error = lab.provider.preflight(&lab.spec("m"), &Cx::silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_named_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let lab = Lab::new(&[("qemu-publish", &format!("{port}:80"))]).await;
    let error = lab.provider.preflight(&lab.spec("m"), &Cx::silent()).await.unwrap_err();
    assert!(error.kind() == Kind::Conflict && error.to_string().contains(&port), "{error}");
    assert_eq!(lab.names("machines"), [""; 0]);
}

/// Between preflight and start, and while a machine is stopped, somebody else may take its port.
#[tokio::test]
async fn a_port_that_was_taken_meanwhile_is_named() {
    let lab = Lab::new(&[]).await;
    let request = lab.request("m").await;
    let at = format!("{}:{}", request.plan.resolved["address"].as_str().unwrap(), request.plan.login.port);
    let taken = TcpListener::bind(&at).unwrap();
    let error = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    assert!(error.kind() == Kind::Conflict && error.to_string().contains(&at), "{error}");
    drop(taken);
    // The same attempt goes on where it was.
    let instance = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    assert!(TcpStream::connect(&at).is_ok(), "qemu forwards the port");
    destroy(&lab, &request, Some(&instance)).await;
}

#[tokio::test]
async fn without_qemu_its_package_is_named() {
    let lab = Lab::new(&[("qemu-binary", "/nonexistent/qemu-system-x86_64")]).await;
    let error = lab.provider.preflight(&lab.spec("m"), &Cx::silent()).await.unwrap_err();
    assert!(error.kind() == Kind::NotFound && error.to_string().contains("is not installed"), "{error}");
    assert!(error.hint_text().unwrap().contains("install"));
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let lab = Lab::new(&[]).await;
    let image = lab.base.path().join("guest.img");
    let layer = lab.base.path().join("layer.qcow2");
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([&image, &layer])
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::write(&image, b"").unwrap();
    for (path, words) in [(&image, "empty"), (&layer, "a layer over")] {
        let config = config(lab.base.path(), &[("qemu-image", path.to_str().unwrap())]).unwrap();
        let spec = rmachine_provider_api::PreflightRequest { config, ..lab.spec("m") };
        let error = lab.provider.preflight(&spec, &Cx::silent()).await.unwrap_err();
        assert!(error.kind() == Kind::InvalidInput && cause(&error).contains(words), "{error}: {}", cause(&error));
    }
}

#[tokio::test]
async fn a_machine_that_was_killed_comes_back_with_its_data() {
    let lab = Lab::new(&[]).await;
    let request = lab.request("m").await;
    let instance = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    await_boots(&instance, 1);
    let pid = std::fs::read_to_string(directory(&instance).join("qemu.pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(30);
    while state(&lab, &instance).await.0 != MachineState::Stopped {
        assert!(Instant::now() < deadline, "a killed machine is stopped");
    }
    let (why, hint) = lab.provider.diagnose(&machine_ref(&request, Some(&instance))).await.unwrap();
    assert!(why.contains("does not run") && hint.contains("rmachine start m"), "{why}: {hint}");
    lab.provider.start(&instance.id, &Cx::silent()).await.unwrap();
    await_boots(&instance, 2);
    destroy(&lab, &request, Some(&instance)).await;
}

#[tokio::test]
async fn a_reboot_is_a_shutdown_and_a_boot() {
    let lab = Lab::new(&[]).await;
    let request = lab.request("m").await;
    let instance = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    await_boots(&instance, 1);
    lab.provider.reboot(&instance.id, &Cx::silent()).await.unwrap();
    await_boots(&instance, 2);
    lab.provider.stop(&instance.id, StopMode::Graceful, &Cx::silent()).await.unwrap();
    assert_eq!(state(&lab, &instance).await.0, MachineState::Stopped);
    // A stopped one is started.
    lab.provider.reboot(&instance.id, &Cx::silent()).await.unwrap();
    await_boots(&instance, 3);
    destroy(&lab, &request, Some(&instance)).await;
}

/// Without pidfile and socket, as after somebody's clean-up, the process is found all the same.
#[tokio::test]
async fn a_machine_is_found_without_its_pidfile() {
    let lab = Lab::new(&[]).await;
    let request = lab.request("m").await;
    let instance = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    let directory = directory(&instance);
    let pid = std::fs::read_to_string(directory.join("qemu.pid")).unwrap();
    for file in ["qemu.pid", "qmp.sock"] {
        std::fs::remove_file(directory.join(file)).unwrap();
    }
    assert_eq!(state(&lab, &instance).await.0, MachineState::Running);
    lab.provider.stop(&instance.id, StopMode::Force, &Cx::silent()).await.unwrap();
    assert!(!is_alive(pid.trim()), "qemu has ended");
    lab.provider.start(&instance.id, &Cx::silent()).await.unwrap();
    destroy(&lab, &request, None).await;
}

/// Whether a process with `pid` has a command line: one that has ended has none.
fn is_alive(pid: &str) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

#[tokio::test]
async fn a_paused_machine_is_told_and_goes_on() {
    let lab = Lab::new(&[]).await;
    let request = lab.request("m").await;
    let instance = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    qmp(&directory(&instance).join("qmp.sock"), "stop");
    let (paused, reason) = state(&lab, &instance).await;
    assert_eq!((paused, reason.as_deref()), (MachineState::Paused, Some("qemu has paused it: paused")));
    let (why, _) = lab.provider.diagnose(&machine_ref(&request, Some(&instance))).await.unwrap();
    assert!(why.contains("paused"), "{why}");
    let error = lab.provider.stop(&instance.id, StopMode::Graceful, &Cx::silent()).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("rmachine kill m"), "{error}");
    lab.provider.start(&instance.id, &Cx::silent()).await.unwrap();
    assert_eq!(state(&lab, &instance).await, (MachineState::Running, None));
    destroy(&lab, &request, Some(&instance)).await;
}

fn qmp(socket: &Path, command: &str) {
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, "{{\"execute\": \"qmp_capabilities\"}}\n{{\"execute\": \"{command}\"}}").unwrap();
    let answers = BufReader::new(stream).lines().map_while(std::result::Result::ok);
    assert_eq!(answers.filter(|line| line.contains("\"return\"")).take(2).count(), 2);
}

/// Stops at the first thing that is made, as a kill -9 would.
#[derive(Debug)]
struct Dying;

impl Notify for Dying {
    fn progress(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

impl Journal for Dying {
    fn intend(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn refused(&self, _: &str) {}

    fn made(&self, _: &Resource) -> Result<()> {
        Err(Error::new(Kind::Other, "killed"))
    }
}

#[tokio::test]
async fn what_a_dead_create_left_is_found_and_removed() {
    let lab = Lab::new(&[]).await;
    let request = lab.request("m").await;
    lab.provider.create(&request, &Cx::silent().journal(&Dying)).await.unwrap_err();
    let found = lab.provider.find(Some(&request.owner)).await.unwrap();
    assert!(found.iter().all(|r| r.token.as_ref() == Some(&request.token)) && found.len() == 2, "{found:?}");
    let images = lab.base.path().join("d/images");
    std::fs::create_dir_all(images.join("debian-amd64-0.part/work")).unwrap();
    std::fs::write(images.join("sha256-0.part"), b"half").unwrap();
    destroy(&lab, &request, None).await;
    assert_eq!(lab.names("images"), [""; 0]);
    // Its directory alone, without a word in it.
    let key = found[0].id.trim_start_matches("qemu-");
    std::fs::create_dir_all(lab.base.path().join("d/machines").join(key)).unwrap();
    destroy(&lab, &request, None).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let image = base.path().join("guest.img");
    std::fs::write(&image, guest()).unwrap();
    let image = image.to_str().unwrap();
    let lab = Lab::new(&[]).await;
    for (directory, words) in
        [(file.join("d"), "cannot make the directory"), (base.path().join("x".repeat(90)), "socket")]
    {
        let config = config(&directory, &[("qemu-image", image)]).unwrap();
        let spec = rmachine_provider_api::PreflightRequest { config, ..lab.spec("m") };
        let error = lab.provider.preflight(&spec, &Cx::silent()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint_text().unwrap().contains("--qemu-directory"), "{error}");
    }
}

/// A file system of its own; unmounted at the end.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    let base = tempfile::Builder::new().prefix("rmq-").tempdir_in("/tmp").unwrap();
    let disk = base.path().join("d");
    std::fs::create_dir(&disk).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=20m", "tmpfs"]).arg(&disk).output().unwrap();
    if !mount.status.success() {
        return rmachine_testkit::skipped(&format!(
            "a small file system needs root: {}",
            String::from_utf8_lossy(&mount.stderr)
        ));
    }
    let _mounted = Mounted(disk.clone());
    let image = base.path().join("guest.img");
    std::fs::write(&image, guest()).unwrap();
    let config = config(&disk, &[("qemu-image", image.to_str().unwrap())]).unwrap();
    let lab = Lab::of(base, config).await;
    let request = lab.request("m").await;

    // Full before anything is asked for, and full after preflight.
    std::fs::write(disk.join("fill"), vec![1; 10 << 20]).unwrap();
    let error = lab.provider.preflight(&lab.spec("m"), &Cx::silent()).await.unwrap_err();
    assert!(error.to_string().ends_with("is full"), "{error}");
    let _ = std::fs::write(disk.join("rest"), vec![1; 10 << 20]);
    let error = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    assert!(error.to_string().ends_with("is full"), "{error}: {}", cause(&error));
    assert!(error.hint_text().unwrap().contains("--qemu-directory"));
    destroy(&lab, &request, None).await;
}

/// EDK II has nothing to boot on this disk; that it runs is what it says on the console.
#[tokio::test]
async fn uefi_starts_with_variables_of_the_machines_own() {
    let lab = Lab::new(&[("qemu-firmware", "uefi"), ("qemu-memory", "128m")]).await;
    let plan = lab.provider.preflight(&lab.spec("m"), &Cx::silent()).await;
    if let Err(error) = &plan
        && error.kind() == Kind::NotFound
    {
        assert!(error.hint_text().unwrap().contains("apt-get install ovmf"), "{error}");
        return rmachine_testkit::skipped(&format!("{error} (apt-get install ovmf)"));
    }
    let request = lab.request("m").await;
    let instance = lab.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    assert!(directory(&instance).join("efivars.fd").exists());
    let console = directory(&instance).join("console.log");
    let deadline = Instant::now() + Duration::from_secs(90);
    while !String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default()).contains("BdsDxe") {
        assert!(Instant::now() < deadline, "EDK II says nothing");
        thread::sleep(Duration::from_millis(100));
    }
    destroy(&lab, &request, Some(&instance)).await;
}
