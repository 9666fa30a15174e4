//! `templates/install.sh` run by a real shell with a real gpg, in a directory for a host and with stubs for what
//! would change one.

#![allow(clippy::disallowed_methods, reason = "a test's own files")]

mod checksum;
mod zypper;

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rmachine_model::{EngineSource, EngineSpec};
use tempfile::TempDir;

use super::{repository::Repository, template};

const OURS: &str = include_str!("install_keys/ours.asc");
const OTHER: &str = include_str!("install_keys/other.asc");
/// Both keys in one block.
const BOTH: &str = include_str!("install_keys/both.asc");
const FINGERPRINT: &str = "D44F7BADF8634D99014B007D9A41631B032F838B";
const OTHERS: &str = "219E4AB3392C8490F50166DFE3017F9A9180C0AE";

const DEBIAN: &str = "ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n";
const FEDORA: &str = "ID=fedora\nVERSION_ID=43\n";
const SUSE: &str = "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n";
const LIST: &str = "etc/apt/sources.list.d/docker.list";
const KEYRING: &str = "etc/apt/keyrings/docker.asc";
const RPM_REPO: &str = "etc/yum.repos.d/docker-ce.repo";
const RPM_KEY: &str = "etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce";

/// What the script may use as it is.
const TOOLS: [&str; 20] = [
    "sh",
    "awk",
    "cat",
    "chmod",
    "cp",
    "flock",
    "gpg",
    "grep",
    "install",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "tee",
    "touch",
    "tr",
];

/// Installs the engine when it is asked to, unless the file `refuse` holds a word of its command line.
const PACKAGES: &str = r#"echo "${0##*/} $*" >>"$ROOT/calls"
case " $* " in *" install "*) ;; *) exit 0 ;; esac
if [ -e "$ROOT/refuse" ]; then
    case "$*" in *"$(cat "$ROOT/refuse")"*) exit 1 ;; esac
fi
mkdir -p "$ROOT/usr/bin"
touch "$ROOT/usr/bin/dockerd"
chmod 0755 "$ROOT/usr/bin/dockerd"
"#;
const CURL: &str = r#"echo "curl $*" >>"$ROOT/calls"
url=$(sed -n 's/^url = "\(.*\)"$/\1/p' | sed 's/\\\(.\)/\1/g')
printf 'curl was given %s\n' "$url" >>"$ROOT/calls"
while [ "$1" != -o ]; do shift; done
path=${url#*://*/}
cat "$ROOT/web/${path%%\?*}" >"$2" 2>/dev/null || exit 22
"#;
const WGET: &str = r#"echo "wget $*" >>"$ROOT/calls"
read -r url
while [ "$1" != -O ]; do shift; done
path=${url#*://*/}
cat "$ROOT/web/${path%%\?*}" >"$2" 2>/dev/null || { echo "$url: ERROR 404: Not Found." >&2; echo "ERROR 404" >&2; exit 8; }
if [ -e "$ROOT/headers" ]; then cat "$ROOT/headers" >&2; fi
"#;
/// Each key is a file of `rpmdb`, named by the one it came from.
const RPM: &str = r#"echo "rpm $*" >>"$ROOT/calls"
mkdir -p "$ROOT/rpmdb"
case $1 in
    --import) [ ! -e "$ROOT/refuse-import" ] && cp "$2" "$ROOT/rpmdb/gpg-pubkey-${2##*/}" ;;
    -qa) ls "$ROOT/rpmdb" ;;
    -e) rm "$ROOT/rpmdb/$2" ;;
    *) exit 9 ;;
esac
"#;

fn executable(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

struct Host(TempDir);

impl Host {
    fn of(os_release: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.write("etc/os-release", os_release);
        host.write("calls", "");
        std::fs::create_dir_all(host.path("bin")).unwrap();
        for tool in TOOLS {
            let found = ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(tool)).find(|path| path.exists());
            symlink(found.unwrap_or_else(|| panic!("{tool} is not installed")), host.path("bin").join(tool)).unwrap();
        }
        for (name, text) in [
            ("curl", CURL),
            ("apt-get", PACKAGES),
            ("dnf", PACKAGES),
            ("zypper", PACKAGES),
            ("rpm", RPM),
            ("dpkg", "echo amd64\n"),
        ] {
            executable(&host.path("bin").join(name), text);
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        // Paths of the host, as the script would have them.
        std::fs::read_to_string(self.path(path)).unwrap().replace(self.0.path().to_str().unwrap(), "")
    }

    fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Runs the install, and answers its last status.
    fn install_with(&self, spec: &EngineSpec, repository: &Repository) -> String {
        let mut script = template::install(spec, repository).unwrap();
        let root = self.0.path().to_str().unwrap();
        for path in ["/etc/", "/var/lib/rmachine", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/lib/rpm/"] {
            script = script.replace(path, &format!("{root}{path}"));
        }
        std::fs::create_dir_all(self.path("var/lib")).unwrap();
        std::fs::create_dir_all(self.path("etc/yum.repos.d")).unwrap();
        std::fs::create_dir_all(self.path("etc/apt/sources.list.d")).unwrap();
        self.write("install.sh", &script);
        let output = Command::new(self.path("bin/sh"))
            .arg(self.path("install.sh"))
            .arg("boot")
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("ROOT", root)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let status = self.read("var/lib/rmachine/install.status");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), status.starts_with("done "), "{status}{said}{}", self.log());
        status.trim().to_owned()
    }

    fn install(&self, source: EngineSource) -> String {
        self.install_with(&EngineSpec { source, ..EngineSpec::default() }, &mirror("https://mirror.test/docker"))
    }

    fn log(&self) -> String {
        self.read("var/lib/rmachine/install.log")
    }

    fn calls(&self) -> String {
        self.read("calls")
    }

    /// Fingerprints of the keys in a file.
    fn keys(&self, path: &str) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        let output = Command::new("gpg")
            .args(["--batch", "--quiet", "--with-colons", "--show-keys", "--homedir"])
            .args([home.path(), &self.path(path)])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("fpr:")).map(|rest| rest.replace(':', "")).collect()
    }

    /// Nothing of Docker's is on the host, and no key.
    #[track_caller]
    fn assert_nothing_left(&self, what: &str) {
        for path in [LIST, KEYRING, RPM_REPO, RPM_KEY, "usr/bin/dockerd", "var/lib/rmachine/gnupg"] {
            assert!(!self.has(path), "{what}: {path} is left; {}", self.log());
        }
        let state = std::fs::read_dir(self.path("var/lib/rmachine")).unwrap();
        for name in state.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
            assert!(!name.ends_with(".asc") && !name.ends_with(".key"), "{what}: {name} is left");
        }
    }
}

fn mirror(url: &str) -> Repository {
    let variables = [
        ("RMACHINE_DOCKER_REPOSITORY", url),
        ("RMACHINE_DOCKER_APT_FINGERPRINT", FINGERPRINT),
        ("RMACHINE_DOCKER_RPM_FINGERPRINT", FINGERPRINT),
    ];
    Repository::of(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        .unwrap()
}

/// Key files that are refused, and what is said of each.
fn forged() -> Vec<(&'static str, String, String)> {
    let two = || "2 keys, where one is expected".to_owned();
    vec![
        ("another key", OTHER.to_owned(), format!("the fingerprint {OTHERS}, and {FINGERPRINT} is expected")),
        ("a key beside ours", BOTH.to_owned(), two()),
        ("a second block", format!("{OURS}{OTHER}"), two()),
        ("a first block", format!("{OTHER}{OURS}"), two()),
    ]
}

/// What a proxy or a portal answers for a key; that is an outage.
const NO_KEY: [&str; 2] = ["<html>not found</html>\n", ""];

#[test]
fn apt_takes_the_one_key_that_was_compared() {
    let host = Host::of(DEBIAN);
    // What is around the key's block is not taken over.
    host.write("web/docker/linux/debian/gpg", &format!("a comment\n{OURS}\nanother\n"));
    assert_eq!(host.install(EngineSource::Docker), "done docker", "{}", host.log());
    assert_eq!(host.keys(KEYRING), [FINGERPRINT]);
    let keyring = host.read(KEYRING);
    assert!(keyring.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), "{keyring}");
    assert!(keyring.ends_with("\n-----END PGP PUBLIC KEY BLOCK-----\n"), "{keyring}");
    assert_eq!(
        host.read(LIST),
        "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] https://mirror.test/docker/linux/debian bookworm stable\n"
    );
    let mode = |path: &str| std::fs::metadata(host.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(LIST), mode(KEYRING)), (0o644, 0o644), "apt's own user reads both");
    assert!(host.calls().contains("-o Acquire::AllowInsecureRepositories=false"), "{}", host.calls());
    assert!(!host.has("var/lib/rmachine/gnupg"));
}

#[test]
fn no_other_key_is_taken_and_nothing_stands_in() {
    for (os, path, prefix, format) in [(DEBIAN, "debian", "docker", "APT"), (FEDORA, "fedora", "docker.rpm", "RPM")] {
        for ((what, key, said), source) in
            forged().iter().zip([EngineSource::Docker, EngineSource::Auto].iter().cycle())
        {
            let host = Host::of(os);
            host.write(&format!("web/docker/linux/{path}/gpg"), key);
            let expected = format!(
                "failed the key of Docker's repository https://mirror.test/docker has {said} (RMACHINE_DOCKER_{format}_FINGERPRINT names another one)"
            );
            assert_eq!(host.install(*source), expected, "{what}");
            assert!(host.log().contains(&format!("{prefix}.asc has {said}")), "{what}: {}", host.log());
            for word in ["docker-ce", "docker.io", "dnf", "--import"] {
                assert!(!host.calls().contains(word), "{what}: {}", host.calls());
            }
            host.assert_nothing_left(what);
        }
    }
}

#[test]
fn an_answer_without_a_key_is_an_outage() {
    for (os, path) in [(DEBIAN, "debian"), (FEDORA, "fedora")] {
        for key in NO_KEY {
            let host = Host::of(os);
            host.write(&format!("web/docker/linux/{path}/gpg"), key);
            assert!(host.install(EngineSource::Docker).starts_with("failed "));
            assert!(host.log().contains("asc holds no key"), "{}", host.log());
            host.assert_nothing_left("no key");
            assert_eq!(host.install(EngineSource::Auto), "done distro", "{}", host.log());
        }
    }
}

#[test]
fn what_apt_refuses_leaves_no_source_behind_and_the_distribution_is_asked() {
    let host = Host::of(DEBIAN);
    host.write("web/docker/linux/debian/gpg", OURS);
    host.write("refuse", "docker-ce");
    assert_eq!(host.install(EngineSource::Auto), "done distro", "{}", host.log());
    assert!(host.read("var/lib/rmachine/install.notes").contains("https://mirror.test/docker cannot be used here"));
    assert!(!host.has(LIST) && !host.has(KEYRING));
}

#[test]
fn rpm_packages_are_checked_by_the_key_that_was_compared() {
    let host = Host::of(FEDORA);
    host.write("web/docker/linux/fedora/gpg", OURS);
    host.write("web/docker/linux/fedora/docker-ce.repo", "[docker-ce-stable]\ngpgcheck=0\n");
    assert_eq!(host.install(EngineSource::Docker), "done docker", "{}", host.log());
    insta::assert_snapshot!(host.read(RPM_REPO), @"
    [docker-ce-stable]
    name=Docker CE Stable - $basearch
    baseurl=https://mirror.test/docker/linux/fedora/$releasever/$basearch/stable
    enabled=1
    gpgcheck=1
    gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce
    ");
    assert_eq!(host.keys(RPM_KEY), [FINGERPRINT]);
    let calls = host.calls();
    assert!(!calls.contains("docker-ce.repo"), "no settings come from the net: {calls}");
    let at = |what: &str| calls.find(what).unwrap_or_else(|| panic!("{what}: {calls}"));
    assert!(at("rpm --import /etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce") < at("dnf -q -y install docker-ce"));
}

#[test]
fn a_key_that_rpm_refuses_ends_it() {
    let host = Host::of(FEDORA);
    host.write("web/docker/linux/fedora/gpg", OURS);
    host.write("refuse-import", "");
    assert!(host.install(EngineSource::Docker).starts_with("failed "));
    assert!(host.calls().contains("--import") && !host.calls().contains("dnf"), "{}", host.calls());
    host.assert_nothing_left("a refused import");
}

#[test]
fn packages_that_dnf_refuses_leave_the_hosts_own_keys_only() {
    let host = Host::of(FEDORA);
    host.write("web/docker/linux/fedora/gpg", OURS);
    host.write("rpmdb/gpg-pubkey-fedora", OTHER);
    host.write("refuse", "docker-ce");
    assert!(host.install(EngineSource::Docker).starts_with("failed "));
    host.assert_nothing_left("refused packages");
    assert!(host.has("rpmdb/gpg-pubkey-fedora"));
    assert!(!host.has("rpmdb/gpg-pubkey-RPM-GPG-KEY-docker-ce"), "{}", host.calls());

    assert_eq!(host.install(EngineSource::Auto), "done distro", "{}", host.log());
    assert!(host.calls().contains("dnf -q -y install moby-engine"));
}

#[test]
fn secrets_of_urls_are_in_no_command_line_and_no_message() {
    let host = Host::of(DEBIAN);
    let url = r#"https://u:s3cret@h.test/i.sh?token=s3cr"e\t"#;
    let spec = EngineSpec { source: EngineSource::Url, install_url: Some(url.to_owned()), ..EngineSpec::default() };
    host.write("web/i.sh", "PATH=$PATH apt-get install docker.io\n");
    assert_eq!(host.install_with(&spec, &mirror("https://m.test")), "done url", "{}", host.log());
    let calls = host.calls();
    assert!(calls.contains(&format!("curl was given {url}\n")), "{calls}");
    assert!(calls.lines().filter(|line| line.starts_with("curl -")).all(|line| !line.contains("s3cr")), "{calls}");

    let host = Host::of(DEBIAN);
    let status = host.install_with(
        &EngineSpec { source: EngineSource::Docker, ..EngineSpec::default() },
        &mirror("https://u:s3cret@m.test"),
    );
    assert!(status.contains("Docker's repository https://m.test cannot be reached"), "{status}");
    assert!(!host.log().contains("s3cret"), "{}", host.log());
    host.write("web/linux/debian/gpg", OURS);
    let spec = EngineSpec { source: EngineSource::Docker, ..EngineSpec::default() };
    assert_eq!(host.install_with(&spec, &mirror("https://u:s3cret@m.test")), "done docker", "{}", host.log());
    assert!(host.read(LIST).contains("u:s3cret@"));
    assert_eq!(std::fs::metadata(host.path(LIST)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn https_does_not_lead_to_plain_http() {
    let script = |url: &str| EngineSpec {
        source: EngineSource::Url,
        install_url: Some(url.to_owned()),
        ..EngineSpec::default()
    };
    let content = "apt-get install docker.io\n";
    for (url, schemes) in [("https://h.test/i.sh", "--proto =https "), ("http://h.test/i.sh", "--proto =https,http ")] {
        let host = Host::of(DEBIAN);
        host.write("web/i.sh", content);
        assert_eq!(host.install_with(&script(url), &mirror("https://m.test")), "done url");
        assert!(host.calls().contains(schemes), "{}", host.calls());
    }
    // wget follows, so that what it has fetched is thrown away.
    let secret = "https://h.test/i.sh?token=s3cret";
    for (headers, status) in [
        ("  Location: http://evil.test/i.sh\n", "failed the install script cannot be downloaded"),
        ("  Location: https://h.test/other.sh\n", "done url"),
    ] {
        let host = Host::of(DEBIAN);
        std::fs::remove_file(host.path("bin/curl")).unwrap();
        executable(&host.path("bin/wget"), WGET);
        assert!(host.install_with(&script(secret), &mirror("https://m.test")).starts_with("failed "));
        host.write("web/i.sh", content);
        host.write("headers", headers);
        assert_eq!(host.install_with(&script(secret), &mirror("https://m.test")), status, "{}", host.log());
        assert!(!host.log().contains("s3cret") && !host.calls().contains("s3cret"), "{}", host.log());
        assert!(host.log().contains("ERROR 404"), "why is said: {}", host.log());
    }
}
