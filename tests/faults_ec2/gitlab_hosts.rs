//! The executor's day on real hosts: an idle pool, jobs, removals, many machines at once.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    gitlab::{Executor, OPTIONS},
    hosts::alone,
    report::{Report, full},
    support::{PREBAKED, Store, lab, program, resources, run},
};

/// What the executor gives a create. Twenty hosts that boot at once on two cores take some of it.
const LIMIT: Duration = Duration::from_secs(3600);

fn executor(store: &Store) -> Executor<'_> {
    let link = store.path("docker-machine");
    if !link.exists() {
        std::os::unix::fs::symlink(program(), &link).unwrap();
    }
    let docker_machine = move |arguments: &[&str]| {
        let mut command = store.command(&link);
        command.arg("--bugsnag-api-token=none").args(arguments);
        command
    };
    Executor { docker_machine: Box::new(docker_machine), machines: store.root().join("machines"), patience: LIMIT }
}

impl Executor<'_> {
    #[track_caller]
    fn create(&self, name: &str) {
        let arguments = [&["create"][..], &OPTIONS, &["--amazonec2-ami-name", PREBAKED, name]].concat();
        let made = self.run(&arguments);
        assert_eq!(made.code, Some(0), "{name}: {made:?}");
    }

    /// What a call prints on stdout.
    #[track_caller]
    fn data(&self, arguments: &[&str]) -> String {
        run(&mut (self.docker_machine)(arguments)).ok()
    }

    /// A job, as the executor hands the machine to its docker client: by URL and certificate directory.
    #[track_caller]
    fn job(&self, store: &Store, name: &str) {
        self.data(&["config", name]);
        let url = self.data(&["url", name]);
        assert!(url.starts_with("tcp://") && url.ends_with(":2376"), "{url}");
        let certs = self.data(&["inspect", name, "-f", "{{.HostOptions.AuthOptions.StorePath}}"]);
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            assert!(Path::new(&certs).join(file).is_file(), "{certs}/{file}");
        }
        let mut docker = store.command("docker");
        docker.args(["version", "--format", "{{.Server.Version}}"]);
        docker.env("DOCKER_HOST", url).env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", certs);
        assert!(!run(&mut docker).ok().is_empty());
    }
}

fn runner(number: usize) -> String {
    format!("runner-zx81-docker-machine-{}-{number:08x}", 1_780_000_000 + number)
}

/// What a call costs: the middle time of nine, and the most memory of one.
fn cost(call: impl Fn() -> Command) -> String {
    let mut times: Vec<u128> = (0..9)
        .map(|_| {
            let mut command = call();
            let began = Instant::now();
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            began.elapsed().as_millis()
        })
        .collect();
    times.sort_unstable();
    let command = call();
    // GNU time's child starts small; the peak of a child of ours would count what we are before the exec.
    let mut time = Command::new("/usr/bin/time");
    time.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => time.env(name, value),
            None => time.env_remove(name),
        };
    }
    let output = time.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let kib: u64 = said.lines().last().unwrap().parse().unwrap_or_else(|_| panic!("{said}"));
    format!("{} ms {} MB", times[times.len() / 2], kib / 1024)
}

#[test]
fn an_idle_pool_serves_jobs_and_leaves_nothing() {
    let _alone = alone();
    let report = Report::start("GitLab: rounds of pool, job and removal");
    let rounds = if full() { 50 } else { 4 };
    let before = resources();
    let store = Store::new();
    let executor = executor(&store);
    let left = |name: &str| -> Vec<String> {
        if executor.machines.join(name).exists() { vec![name.to_owned()] } else { Vec::new() }
    };
    // One machine is idle while the one before it has its job.
    executor.create(&runner(0));
    let mut figures = String::new();
    for round in 0..rounds {
        let (idle, busy) = (runner(round + 1), runner(round));
        std::thread::scope(|scope| {
            scope.spawn(|| executor.create(&idle));
            executor.job(&store, &busy);
            if round == 0 {
                let config = cost(|| (executor.docker_machine)(&["config", &busy]));
                figures = format!("config beside a create {config}");
            }
            executor.remove(&busy, &|| left(&busy));
        });
        let mut listed = executor.list();
        listed.sort();
        assert_eq!(listed, [idle], "round {round}");
    }
    // Its list and `ls -q` ask no cloud.
    lab("DELETE", "calls", None);
    assert_eq!(executor.data(&["ls", "-q"]), runner(rounds));
    assert_eq!(lab("GET", "calls", None).as_array().map(Vec::len), Some(0));
    let last = runner(rounds);
    for call in [&["config", &last][..], &["url", &last], &["inspect", &last], &["ls", "-q"]] {
        figures += &format!("; {} {}", call[0], cost(|| (executor.docker_machine)(call)));
    }
    executor.remove(&runner(rounds), &|| left(&runner(rounds)));
    assert_eq!(resources(), before);
    report.end(rounds, &figures);
}

#[test]
fn many_machines_at_once() {
    let _alone = alone();
    let report = Report::start("GitLab: machines made and removed at once");
    let count = if full() { 20 } else { 6 };
    let before = resources();
    let store = Store::new();
    let executor = executor(&store);
    let names: Vec<String> = (0..count).map(|number| runner(1000 + number)).collect();
    let began = Instant::now();
    std::thread::scope(|scope| names.iter().for_each(|name| drop(scope.spawn(|| executor.create(name)))));
    let made = began.elapsed();
    assert_eq!(executor.list().len(), count);
    names.iter().for_each(|name| executor.job(&store, name));
    std::thread::scope(|scope| {
        let (executor, names) = (&executor, &names);
        for name in names {
            scope.spawn(move || {
                executor.remove(name, &|| {
                    if executor.machines.join(name).exists() { vec![name.clone()] } else { Vec::new() }
                });
            });
        }
    });
    assert_eq!(resources(), before);
    report.end(count, &format!("made in {} s", made.as_secs()));
}
