//! `templates/upgrade.sh` run by a real shell, in a directory for a host and with stubs for what would change one.

#![allow(clippy::disallowed_methods, reason = "a test's own files")]

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rmachine_model::{EngineSource, EngineSpec};
use tempfile::TempDir;

use super::{answer::Answer, template};

const TOOLS: [&str; 14] =
    ["sh", "awk", "cat", "chmod", "find", "flock", "grep", "ls", "mkdir", "readlink", "rm", "sed", "sleep", "mv"];

/// `packages/NAME` holds "INSTALLED CANDIDATE"; installing makes them one, and takes the program away under the engine.
const APT_GET: &str = r#"echo "apt-get $*" >>"$ROOT/calls"
[ ! -e "$ROOT/refuse" ] || case "$*" in *"$(cat "$ROOT/refuse")"*) echo "E: refused"; exit 100 ;; esac
case " $* " in *" install "*) ;; *) exit 0 ;; esac
for name in $(ls "$ROOT/packages"); do
    case " $* " in *" $name "* | *" $name") ;; *) continue ;; esac
    read -r old new <"$ROOT/packages/$name"
    echo "$new $new" >"$ROOT/packages/$name"
    case $name in docker*) rm -f "$ROOT/proc/77/exe"; ln -s "$ROOT/usr/bin/dockerd (deleted)" "$ROOT/proc/77/exe" ;; esac
done
"#;
const APT_CACHE: &str = r#"name=$2
if [ -e "$ROOT/packages/$name" ]; then read -r old new <"$ROOT/packages/$name"; echo "$name:"; echo "  Candidate: $new"; fi
"#;
const DPKG_QUERY: &str = r#"case $1 in
    -S) [ ! -e "$ROOT/owner" ] && { echo "no path found"; exit 1; }; echo "$(cat "$ROOT/owner"): $2" ;;
    -W) [ -e "$ROOT/packages/$4" ] || exit 1; read -r old new <"$ROOT/packages/$4"; echo "installed $old" ;;
esac
"#;
const SYSTEMCTL: &str = r#"echo "systemctl $*" >>"$ROOT/calls"
case $1 in show) echo 77 ;; esac
"#;
const RPM: &str = r#"case "$1 $2" in
    "-qf --qf") cat "$ROOT/owner" ;;
    "-q --qf") read -r old new <"$ROOT/packages/$4"; echo "$old" ;;
    *) [ -e "$ROOT/packages/$2" ] ;;
esac
"#;
const DNF: &str = r#"echo "dnf $*" >>"$ROOT/calls"
case " $* " in
    *" check-update "*) [ -s "$ROOT/updates" ] || exit 0; cat "$ROOT/updates"; exit 100 ;;
esac
"#;
const ZYPPER: &str = r#"echo "zypper $*" >>"$ROOT/calls"
case " $* " in *" list-updates "*) cat "$ROOT/updates" ;; *" update "*) exit 103 ;; *" list-updates") cat "$ROOT/updates" ;; esac
"#;
const DOCKERD: &str = "echo 'Docker version 28.5.2+dfsg1, build abc'\n";

struct Host(TempDir);

impl Host {
    fn new(owner: &str, stubs: &[(&str, &str)]) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for directory in ["bin", "packages", "proc/77", "usr/bin", "var/lib"] {
            std::fs::create_dir_all(host.path(directory)).unwrap();
        }
        for tool in TOOLS.iter().chain(&["ln"]) {
            let found = ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(tool)).find(|path| path.exists());
            symlink(found.unwrap_or_else(|| panic!("{tool} is not installed")), host.path("bin").join(tool)).unwrap();
        }
        for (name, text) in stubs.iter().chain(&[("systemctl", SYSTEMCTL)]) {
            host.program(&format!("bin/{name}"), text);
        }
        host.program("usr/bin/dockerd", DOCKERD);
        symlink(host.path("usr/bin/dockerd"), host.path("proc/77/exe")).unwrap();
        host.write("calls", "");
        if !owner.is_empty() {
            host.write("owner", &format!("{owner}\n"));
        }
        host
    }

    fn debian(owner: &str, packages: &[(&str, &str)]) -> Self {
        let stubs = [
            ("apt-get", APT_GET),
            ("apt-cache", APT_CACHE),
            ("dpkg-query", DPKG_QUERY),
            ("apt-mark", "cat \"$ROOT/held\""),
        ];
        let host = Self::new(owner, &stubs);
        host.write("held", "");
        packages.iter().for_each(|(name, versions)| host.write(&format!("packages/{name}"), &format!("{versions}\n")));
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    fn program(&self, path: &str, text: &str) {
        // It may be a link to a program of this computer, which is not ours to write.
        let _ = std::fs::remove_file(self.path(path));
        self.write(path, &format!("#!/bin/sh\n{text}"));
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.path("calls")).unwrap()
    }

    fn run_from(&self, source: EngineSource, what: &str) -> Answer {
        let mut script = template::upgrade(&EngineSpec { source, ..EngineSpec::default() }).unwrap();
        let root = self.0.path().to_str().unwrap();
        for path in ["/var/lib/rmachine", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/run/containerd", "/proc/"] {
            script = script.replace(path, &format!("{root}{path}"));
        }
        self.write("upgrade.sh", &script);
        let mut command = Command::new(self.path("bin/sh"));
        command.arg(self.path("upgrade.sh")).arg(what).env_clear().env("PATH", self.path("bin")).env("ROOT", root);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let answer = Answer::parse(&output.stdout);
        assert_ne!(answer.is("end"), answer.get("failed").is_some(), "{answer:?} {output:?}");
        assert_eq!(output.status.success(), answer.is("end"), "{answer:?}");
        answer
    }

    fn run(&self, what: &str) -> Answer {
        self.run_from(EngineSource::Auto, what)
    }
}

fn changes(answer: &Answer) -> Vec<&str> {
    answer.all("change").collect()
}

#[test]
fn dockers_packages_are_upgraded_and_the_engine_that_stayed_is_restarted() {
    let host =
        Host::debian("docker-ce", &[("docker-ce", "5:1 5:2"), ("docker-ce-cli", "5:1 5:2"), ("containerd.io", "1 1")]);
    std::fs::create_dir_all(host.path("run/containerd/io.containerd.runtime.v2.task/moby/0123")).unwrap();
    let found = host.run("look");
    assert_eq!(changes(&found), ["docker-ce 5:1 5:2", "docker-ce-cli 5:1 5:2"]);
    assert_eq!((found.get("version"), found.get("containers")), (Some("28.5.2+dfsg1"), Some("1")));
    assert!(!host.calls().contains("install") && !host.calls().contains("restart"), "{}", host.calls());
    assert!(!found.is("stale"));
    host.run("install");
    let calls = host.calls();
    assert!(calls.contains("--only-upgrade docker-ce docker-ce-cli containerd.io\n"), "{calls}");
    assert!(calls.contains("systemctl restart docker.service"), "{calls}");
    assert!(changes(&host.run("look")).is_empty(), "then there is nothing newer");
}

#[test]
fn what_was_cut_off_after_the_packages_is_seen_and_finished() {
    let host = Host::debian("docker-ce", &[("docker-ce", "5:1 5:2")]);
    host.program("bin/systemctl", &SYSTEMCTL.replace("esac", "restart) exit 1 ;; esac"));
    assert_eq!(host.run("install").get("failed"), Some("the engine does not start with the new version"));
    host.program("bin/systemctl", SYSTEMCTL);
    let found = host.run("look");
    assert!(changes(&found).is_empty() && found.is("stale"), "{found:?}");
    host.write("calls", "");
    host.run("renew");
    let calls = host.calls();
    assert!(calls.contains("systemctl restart docker.service") && !calls.contains("apt-get"), "{calls}");
    // It runs what is there now, or not at all.
    std::fs::remove_file(host.path("proc/77/exe")).unwrap();
    assert!(!host.run("look").is("stale"));
    symlink(host.path("usr/bin/dockerd"), host.path("proc/77/exe")).unwrap();
    host.write("calls", "");
    host.run("renew");
    assert!(!host.run("look").is("stale") && !host.calls().contains("restart"), "{}", host.calls());
}

#[test]
fn an_engine_that_its_package_restarted_is_left_alone() {
    let host = Host::debian("docker.io", &[("docker.io", "1 2"), ("runc", "1 2"), ("docker-ce", "7 8")]);
    assert_eq!(changes(&host.run("look")), ["docker.io 1 2", "runc 1 2"], "docker-ce is another family");
    // Its new program runs already.
    host.program("bin/apt-get", &APT_GET.replace(" (deleted)", ""));
    host.run("install");
    assert!(!host.calls().contains("restart"), "{}", host.calls());
}

#[test]
fn what_stands_in_the_way_is_said() {
    let host = Host::debian("docker.io", &[("docker.io", "1 2")]);
    host.write("held", "vim\ndocker.io\n");
    assert_eq!(
        host.run("look").get("failed"),
        Some("the package docker.io is held back on the host (apt-mark showhold)")
    );
    host.write("held", "docker.io-doc\n");
    assert_eq!(changes(&host.run("look")).len(), 1);
    host.write("refuse", "install");
    assert_eq!(host.run("install").get("failed"), Some("apt-get cannot upgrade docker.io"));
    assert!(!host.calls().contains("restart"), "{}", host.calls());
    host.write("refuse", "update");
    assert_eq!(host.run("look").get("failed"), Some("apt-get update failed"));

    // Another apt-get is at the lists, and ends.
    host.program("bin/sleep", "rm \"$ROOT/refuse\"\n");
    host.program("bin/apt-get", &APT_GET.replace("E: refused", "E: Could not get lock /var/lib/apt/lists/lock"));
    assert_eq!(changes(&host.run("look")).len(), 1);

    let host = Host::debian("", &[]);
    let said = host.run("look").text("failed");
    assert!(said.ends_with("/usr/bin/dockerd is of no package, so there is no newer one to be had"), "{said}");
    std::fs::remove_file(host.path("usr/bin/dockerd")).unwrap();
    assert_eq!(host.run("look").get("failed"), Some("there is no engine on this host"));
}

#[test]
fn after_a_script_of_the_users_only_the_engine_is_looked_at() {
    let host = Host::debian("", &[]);
    let found = host.run_from(EngineSource::Url, "look");
    assert_eq!((changes(&found).len(), found.get("version")), (0, Some("28.5.2+dfsg1")));
    host.run_from(EngineSource::Url, "install");
    assert!(!host.calls().contains("apt-get") && !host.calls().contains("restart"), "{}", host.calls());
}

#[test]
fn dnf_and_zypper_are_asked_in_their_ways() {
    let host = Host::new("docker-ce", &[("rpm", RPM), ("dnf", DNF)]);
    for name in ["docker-ce", "docker-ce-cli", "containerd.io"] {
        host.write(&format!("packages/{name}"), "3:1-1.fc43 -\n");
    }
    assert!(changes(&host.run("look")).is_empty());
    host.write(
        "updates",
        "\ndocker-ce.x86_64      3:2-1.fc43   docker-ce-stable\ncontainerd.io.x86_64  2-1  docker-ce-stable\n",
    );
    assert_eq!(changes(&host.run("look")), ["docker-ce 3:1-1.fc43 3:2-1.fc43", "containerd.io 3:1-1.fc43 2-1"]);
    host.run("install");
    assert!(host.calls().contains("dnf -q -y upgrade docker-ce docker-ce-cli containerd.io\n"), "{}", host.calls());

    let host = Host::new("docker", &[("rpm", RPM), ("zypper", ZYPPER)]);
    host.write("packages/docker", "1-1 -\n");
    host.write(
        "updates",
        "S | Repository | Name | Current | Available | Arch\n--+--\nv | Main | docker | 1-1 | 2-1 | x86_64\n",
    );
    assert_eq!(changes(&host.run("look")), ["docker 1-1 2-1"]);
    host.run("install");
    assert!(host.calls().contains("zypper --non-interactive update --no-recommends docker\n"), "{}", host.calls());
}
