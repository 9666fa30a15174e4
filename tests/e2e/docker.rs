//! Machines of the driver docker, on the engine that `tests/local-engine` found or started.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{RwLock, RwLockReadGuard},
    time::Duration,
};

use crate::{
    short,
    support::{Done, Store, eventually, program, run},
};

/// Held for writing by who restarts the engine under everybody's machines.
static ENGINE: RwLock<()> = RwLock::new(());

fn engine_runs() -> RwLockReadGuard<'static, ()> {
    ENGINE.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn host() -> String {
    std::env::var("RMACHINE_DOCKER_HOST")
        .expect("RMACHINE_DOCKER_HOST: run tests/run, or `eval \"$(tests/local-engine up /tmp/engine)\"`")
}

/// The docker client on the local engine.
#[track_caller]
fn local(store: &Store, arguments: &[&str]) -> Done {
    run(store.command("docker").args(["-H", &host()]).args(arguments))
}

/// What the engine holds of the store's machines: containers, volumes, networks.
#[track_caller]
fn held(store: &Store) -> String {
    let text = std::fs::read_to_string(store.root().join("rmachine.json")).expect("the store has an owner");
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let filter = format!("label=rmachine:owner={}", document["Owner"].as_str().expect("it has an id"));
    ["ps -aq", "volume ls -q", "network ls -q"]
        .iter()
        .map(|list| {
            let mut words: Vec<&str> = list.split(' ').collect();
            words.extend(["--filter", &filter]);
            local(store, &words).ok()
        })
        .collect::<Vec<_>>()
        .join("")
}

#[track_caller]
fn create(store: &Store, arguments: &[&str]) -> Done {
    let mut all = vec!["create", "--driver", "docker"];
    all.extend(arguments);
    store.rmachine(&all)
}

#[track_caller]
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn two_local_machines_walk_and_reach_each_other() {
    let _engine = engine_runs();
    let store = Store::new();
    let port = free_port();
    create(&store, &["--docker-publish", &format!("127.0.0.1:{port}:8081"), "--docker-memory", "2g", "dev"]).ok();
    assert!(store.rmachine(&["url", "dev"]).ok().starts_with("tcp://127."), "the engine is on a loopback address");
    short::walk(&store, "dev");

    // Ports of containers: at the machine's address, and at those that were published at the create.
    let page = "sh -c 'mkdir -p /www && echo hello >/www/index.html && exec httpd -f -p 80 -h /www'";
    store.sh("dev", &format!("docker run -d --name web --restart always -p 8081:80 busybox {page}")).ok();
    let at_ip = || store.sh("dev", "curl -fsS http://$(rmachine ip dev):8081/").stdout == "hello\n";
    let at_port = || store.sh("dev", &format!("curl -fsS http://127.0.0.1:{port}/")).stdout == "hello\n";
    eventually("the port answers at the machine's address", Duration::from_secs(10), at_ip);
    eventually("the published port answers", Duration::from_secs(10), at_port);

    create(&store, &["other"]).ok();
    store.rmachine(&["ssh", "other", "--", "getent", "hosts", "dev"]).ok();
    assert!(store.sh("dev", "docker run --rm busybox ping -c 1 other").ok().contains("1 packets received"));
    assert_eq!(store.rmachine(&["ls", "--filter", "driver=docker", "-q"]).ok(), "dev\nother");

    // Data, addresses and containers over stop, start, restart and kill.
    store
        .sh("dev", "docker volume create kept >/dev/null; docker run --rm -v kept:/k busybox sh -c 'echo data >/k/f'")
        .ok();
    store.rmachine(&["stop", "dev"]).ok();
    assert_eq!(store.rmachine(&["status", "dev"]).ok(), "Stopped");
    store.rmachine(&["env", "dev"]).fails(5);
    store.rmachine(&["start", "dev"]).ok();
    let kept = |store: &Store| store.sh("dev", "docker run --rm -v kept:/k busybox cat /k/f").ok();
    assert_eq!(kept(&store), "data");
    eventually("the container is back", Duration::from_secs(20), at_ip);
    let boot = |store: &Store| store.rmachine(&["ssh", "dev", "--", "cat", "/proc/sys/kernel/random/boot_id"]).ok();
    let before = boot(&store);
    store.rmachine(&["restart", "dev"]).ok();
    assert_ne!(boot(&store), before);
    store.rmachine(&["kill", "dev"]).ok();
    store.rmachine(&["start", "dev"]).ok();
    assert_eq!(kept(&store), "data");

    store.rmachine(&["rm", "-y", "dev", "other"]).ok();
    assert_eq!(held(&store), "", "no container, volume or network is left");
}

#[test]
fn five_at_once_all_work() {
    let _engine = engine_runs();
    let store = Store::new();
    let names: Vec<String> = (1..=5).map(|n| format!("m{n}")).collect();
    let start = |name: &String| {
        let mut command = store.command(program());
        command.args(["create", "--driver", "docker", name]).stdin(Stdio::null()).spawn().unwrap()
    };
    for mut child in names.iter().map(start).collect::<Vec<_>>() {
        assert!(child.wait().unwrap().success());
    }
    for (name, next) in names.iter().zip(names.iter().cycle().skip(1)) {
        store.sh(name, "docker version").ok();
        store.rmachine(&["ssh", name, "--", "getent", "hosts", next]).ok();
    }
    let mut remove = vec!["rm", "-y"];
    remove.extend(names.iter().map(String::as_str));
    store.rmachine(&remove).ok();
    assert_eq!(held(&store), "");
}

#[test]
fn whatever_kills_a_create_rm_ends_with_nothing() {
    let _engine = engine_runs();
    let store = Store::new();
    let mut recorded = 0;
    for milliseconds in [5, 30, 60, 100, 200, 400, 800, 1500, 2500] {
        let mut command = store.command(program());
        let mut child = command.args(["create", "--driver", "docker", "killed"]).stdin(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        if store.root().join("machines/killed").exists() {
            recorded += 1;
            store.rmachine(&["rm", "-y", "killed"]).ok();
        }
        if store.root().join("rmachine.json").exists() {
            assert_eq!(held(&store), "", "killed after {milliseconds} ms");
        }
    }
    assert!(recorded >= 4, "most creates had begun");
}

/// A machine that has lost its record is found by gc; a killed create goes on.
#[test]
fn what_lost_its_record_is_found_and_a_killed_create_goes_on() {
    let _engine = engine_runs();
    let store = Store::new();
    create(&store, &["orphan"]).ok();
    std::fs::remove_dir_all(store.root().join("machines/orphan")).unwrap();
    let listed = store.rmachine(&["gc"]).ok();
    for kind in ["instance", "volume", "network"] {
        assert!(listed.contains(kind), "{kind}: {listed}");
    }

    let mut killed = store.command(program());
    assert!(crate::adopt::kill_at(killed.args(["create", "-d", "docker", "again"]), "waiting for SSH"));
    // The interrupted one has a record: gc leaves it alone, and the network that both are in.
    store.rmachine(&["gc", "--yes"]).ok();
    let left = held(&store);
    assert!(!left.is_empty() && !store.rmachine(&["gc", "--json"]).ok().contains("orphan"), "{left}");
    create(&store, &["again"]).ok();
    store.sh("again", "docker version").ok();
    store.rmachine(&["rm", "-y", "again"]).ok();
    assert_eq!(held(&store), "");
}

#[test]
fn what_is_refused_leaves_nothing() {
    let _engine = engine_runs();
    let store = Store::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let refused = create(&store, &["--docker-publish", &taken, "m"]).fails(3);
    assert!(refused.contains(&taken) && refused.contains("--docker-publish"), "{refused}");
    let refused = create(&store, &["--docker-host", "unix:///nonexistent.sock", "m"]).fails(3);
    assert!(refused.contains("apt-get install docker.io"), "{refused}");
    let refused = create(&store, &["--docker-host", "ssh://build", "m"]).fails(2);
    assert!(refused.contains("ssh://build"), "{refused}");
    let refused = create(&store, &["--docker-image", "127.0.0.1:9/nothing:here", "m"]).fails(3);
    assert!(refused.contains("127.0.0.1:9/nothing:here"), "{refused}");
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "", "no record is left");
    assert_eq!(held(&store), "");

    // An image whose system does not come up is given up at once, not after minutes.
    create(&store, &["good"]).ok();
    let image = format!("rmachine-e2e-broken:{}", std::process::id());
    let container = store.inspect("good")["Rmachine"]["Instance"]["details"]["container"].as_str().unwrap().to_owned();
    local(&store, &["exec", &container, "rm", "/sbin/init"]).ok();
    local(&store, &["commit", &container, &image]).ok();
    let refused = create(&store, &["--docker-image", &image, "bad"]).fails(6);
    let removed = local(&store, &["rmi", &image]);
    assert!(refused.contains("booting") || refused.contains("as soon as it was started"), "{refused}");
    removed.ok();
    store.rmachine(&["rm", "-y", "good"]).ok();
    assert_eq!(held(&store), "");
}

#[test]
fn who_may_not_use_the_engine_is_told_so() {
    let _engine = engine_runs();
    let store = Store::new();
    let socket = host().trim_start_matches("unix://").to_owned();
    // A door that is closed to others: the test's own socket, with the rights of Docker's.
    let closed = store.path("closed");
    std::fs::create_dir(&closed).unwrap();
    let own = closed.join("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&own).unwrap();
    set_mode(&own, 0o600);
    let open_to_all = store.path("");
    set_mode(&open_to_all, 0o755);
    set_mode(&closed, 0o755);
    let home = store.path("home");
    std::fs::create_dir(&home).unwrap();
    // A store below a directory of somebody else, or that everybody may write to, is refused.
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(store_program(&store))
        .args(["create", "--driver", "docker", "--docker-host", &format!("unix://{}", own.display()), "m"])
        .env("HOME", &home)
        .env("MACHINE_STORAGE_PATH", home.join("store"));
    let refused = run(&mut command).fails(3);
    drop(listener);
    assert!(refused.contains("usermod -aG docker"), "{refused} ({socket})");
}

/// The program where everybody may run it: a build directory below /root is closed to others.
fn store_program(store: &Store) -> PathBuf {
    let copy = store.path("rmachine");
    // By a process: a child of another test would inherit what we write to, and nobody can start it meanwhile (ETXTBSY).
    assert!(Command::new("cp").arg(program()).arg(&copy).status().unwrap().success());
    set_mode(&copy, 0o755);
    copy
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn machines_come_back_after_the_engine_was_restarted() {
    let directory = PathBuf::from(host().trim_start_matches("unix://")).parent().unwrap().to_owned();
    if !directory.join("docker.pid").exists() || !directory.join("data").exists() {
        assert!(
            std::env::var_os("RMACHINE_SYSTEM_ENGINE").is_some(),
            "{} is not the tests' own engine, which could \
            be restarted; RMACHINE_SYSTEM_ENGINE=1 leaves this check out",
            host()
        );
        rmachine_testkit::skipped("the system's engine is not restarted");
        return;
    }
    let _engine = ENGINE.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let store = Store::new();
    for name in ["a", "b"] {
        create(&store, &[name]).ok();
    }
    store.import_busybox("a");
    store.sh("a", "docker run --rm -v kept:/k busybox sh -c 'echo data >/k/f'").ok();
    // As a power cut: the engine and what runs under it die at once.
    let pid = std::fs::read_to_string(directory.join("docker.pid")).unwrap();
    for name in ["a", "b"] {
        let container =
            store.inspect(name)["Rmachine"]["Instance"]["details"]["container"].as_str().unwrap().to_owned();
        let init = local(&store, &["inspect", "-f", "{{.State.Pid}}", &container]).ok();
        run(Command::new("kill").args(["-9", &init])).ok();
    }
    run(Command::new("kill").args([pid.trim()])).ok();
    eventually("dockerd ends", Duration::from_secs(60), || !PathBuf::from(format!("/proc/{}", pid.trim())).exists());
    let down = store.rmachine(&["status", "a"]);
    assert!(down.stderr.contains("no local engine") || down.stdout.trim() != "Running", "{down:?}");
    let root = env!("CARGO_MANIFEST_DIR");
    run(Command::new(format!("{root}/tests/local-engine")).args(["up", &directory.display().to_string()])).ok();
    assert_eq!(store.rmachine(&["status", "a"]).ok(), "Stopped");
    for name in ["a", "b"] {
        store.rmachine(&["start", name]).ok();
    }
    assert_eq!(store.sh("a", "docker run --rm -v kept:/k busybox cat /k/f").ok(), "data");
    store.rmachine(&["ssh", "a", "--", "getent", "hosts", "b"]).ok();
    store.rmachine(&["rm", "-y", "a", "b"]).ok();
    assert_eq!(held(&store), "");
}
