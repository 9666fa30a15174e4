//! An account of one's own: a lab without hosts, a store, and somebody else's things that must stay.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    running::{Ended, Running, Seen},
    support::{lab_at, program, resources_at},
};

/// The line after which only the host's SSH is waited for; in a lab without hosts that is the end of the way.
pub const LAST: &str = "waiting for SSH";
/// How long any command may take.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Delays of a quick EC2 that still shows every state, in seconds.
const DELAYS: &str = r#"{"visible": 0.15, "pending": 0.25, "stopping": 0.1, "shutting_down": 0.2, "spot_reopen": 0.5, "group_visible": 0}"#;

/// Where a call is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    Before,
    After,
}

impl When {
    pub const BOTH: [Self; 2] = [Self::Before, Self::After];

    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// A lab without hosts. Machines are made with its `command`.
pub struct Account {
    state: PathBuf,
    store: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

fn lab_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name)
}

impl Account {
    /// Starts the lab. `tests/run` takes away what a killed test leaves, below `RMACHINE_FAULTS_LABS`.
    pub fn new() -> Self {
        let store = tempfile::tempdir().unwrap();
        let name = store.path().file_name().unwrap().to_owned();
        let labs = std::env::var_os("RMACHINE_FAULTS_LABS").map_or_else(std::env::temp_dir, PathBuf::from);
        let state = labs.join(format!("faults{}", name.to_string_lossy()));
        let up = Command::new(lab_script("up")).arg(&state).arg("--no-hosts").stdin(Stdio::null()).output().unwrap();
        assert!(up.status.success(), "{up:?}");
        let exports = String::from_utf8(up.stdout).unwrap();
        let variables = exports
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        let account = Self { state, store, variables };
        account.lab("POST", "delays", Some(&serde_json::from_str(DELAYS).unwrap()));
        account
    }

    /// Calls the control API.
    #[track_caller]
    pub fn lab(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        lab_at(&self.variables["RMACHINE_LAB"], method, path, body)
    }

    pub fn resources(&self) -> Vec<String> {
        resources_at(&self.variables["RMACHINE_LAB"])
    }

    /// Every instance there ever was, with its state.
    pub fn instances_ever(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.lab("GET", "instances", None)).unwrap()
    }

    /// The names of the calls since they were last forgotten.
    pub fn calls(&self) -> Vec<String> {
        let calls = self.lab("GET", "calls", None);
        calls.as_array().unwrap().iter().map(|call| call["action"].as_str().unwrap().to_owned()).collect()
    }

    /// Scripts a fault.
    #[track_caller]
    pub fn fault(&self, fault: Value) {
        self.lab("POST", "faults", Some(&fault));
    }

    /// Takes all faults away, and lets held calls go on.
    pub fn calm(&self) {
        self.lab("DELETE", "faults", None);
    }

    /// What a line of boto3 answers; `ec2` is the client.
    #[track_caller]
    pub fn boto(&self, expression: &str) -> String {
        self.python(&format!("import boto3\nec2 = boto3.client('ec2')\nprint({expression})"))
    }

    #[track_caller]
    fn python(&self, script: &str) -> String {
        let mut python = Command::new(&self.variables["RMACHINE_LAB_PYTHON"]);
        let done = self.environment(python.args(["-c", script])).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// Somebody else's instance and group, and a group of a name like ours: they must stay.
    pub fn furnish(&self) -> Vec<String> {
        let script = "import boto3\nec2 = boto3.client('ec2')\n\
            image = ec2.describe_images(Filters=[dict(Name='name', Values=['rmachine-lab-debian-13'])])['Images'][0]['ImageId']\n\
            group = ec2.create_security_group(GroupName='theirs', Description='theirs')['GroupId']\n\
            ec2.create_security_group(GroupName='rmachine-m', Description='like ours', TagSpecifications=[dict(ResourceType='security-group', Tags=[dict(Key='Name', Value='m')])])\n\
            ec2.run_instances(ImageId=image, InstanceType='t3.micro', MinCount=1, MaxCount=1, SecurityGroupIds=[group], TagSpecifications=[dict(ResourceType='instance', Tags=[dict(Key='Name', Value='m')])])\n";
        self.python(script);
        self.lab("DELETE", "calls", None);
        let held = self.resources();
        assert!(held.len() >= 4, "{held:?}");
        held
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT", "MACHINE_DRIVER"] {
            command.env_remove(name);
        }
        command.envs(&self.variables).env("HOME", self.store.path())
    }

    /// The store of `command`.
    pub fn root(&self) -> PathBuf {
        self.store.path().join("store")
    }

    /// The directory of a machine.
    pub fn machine(&self, name: &str) -> PathBuf {
        self.root().join("machines").join(name)
    }

    /// `rmachine ARGUMENTS` in this account.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        self.environment(command.args(arguments)).env("MACHINE_STORAGE_PATH", self.root());
        command
    }

    /// `docker-machine ARGUMENTS` in this account, as GitLab Runner calls it.
    pub fn docker_machine(&self, arguments: &[&str]) -> Command {
        let link = self.store.path().join("docker-machine");
        if !link.exists() {
            std::os::unix::fs::symlink(program(), &link).unwrap();
        }
        let mut command = Command::new(link);
        self.environment(command.arg("--bugsnag-api-token=none").args(arguments))
            .env("MACHINE_STORAGE_PATH", self.root());
        command
    }

    /// Runs `rmachine ARGUMENTS` to its end.
    #[track_caller]
    pub fn rmachine(&self, arguments: &[&str]) -> Ended {
        Running::start(self.command(arguments)).end(PATIENCE)
    }

    /// Starts a create that asks of EC2 all that it can be asked, besides what `more` says.
    pub fn create(&self, more: &[&str], name: &str) -> Running {
        let mut all =
            vec!["create", "--driver", "amazonec2", "--amazonec2-ami", "resolve:ssm:/rmachine-lab/debian-13-docker"];
        all.extend(more);
        all.push(name);
        Running::start(self.command(&all))
    }

    /// Waits until a call of `running` is held; `false`: it has come to the end of its way before.
    #[track_caller]
    pub fn until_held(&self, running: &mut Running) -> bool {
        let mut held = false;
        let seen = running.until(PATIENCE, |running| {
            held = self.lab("GET", "held", None) != json!([]);
            held || running.has_said(LAST)
        });
        assert!(seen == Seen::Wanted || held, "it ended by itself: {:?}", running.said());
        held
    }

    /// Removes a machine that a create left half made; a record must be there.
    #[track_caller]
    pub fn remove(&self, name: &str, what: &str) {
        let ended = self.rmachine(&["rm", "-y", name]);
        assert_eq!(ended.code, Some(0), "{what}: {ended:?}");
    }

    /// The account is as it was, and the store knows no machine `name`.
    #[track_caller]
    pub fn assert_as_before(&self, before: &[String], name: &str, what: &str) {
        assert_eq!(self.resources(), before, "{what}");
        assert!(!self.machine(name).exists(), "{what}: its directory is still there");
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let down = Command::new(lab_script("down")).arg(&self.state).status();
        if !down.is_ok_and(|status| status.success()) {
            eprintln!("the lab {} could not be taken down", self.state.display());
        }
    }
}

/// Runs `work` on each of `points`, on several accounts at once; a panic in one fails the test with its own words.
pub fn spread<P: Sync + std::fmt::Debug>(points: &[P], workers: usize, work: impl Fn(&Account, &[String], &P) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let account = Account::new();
                let before = account.furnish();
                while let Some(point) = points.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    eprintln!("--- {point:?} on {}", account.state.display());
                    work(&account, &before, point);
                }
            });
        }
    });
}
