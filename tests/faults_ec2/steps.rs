//! Each step over SSH, before and after: on the host, sshd gives every command to a script that can hold it.

use serde_json::{Value, json};

use crate::{
    account::When,
    hosts::{PATIENCE, alone, assert_usable, create, start},
    report::Report,
    running::{Running, Seen},
    support::{Store, lab, resources},
};

/// The host's part. Every step gets a number; the one in `hold` waits until `held` is taken away, or `drop` is there.
const STEP: &str = r#"#!/bin/sh
d=/run/steps n=1
until mkdir "$d/$n" 2>/dev/null; do n=$((n + 1)); done
hold() {
    [ "$(cat $d/hold 2>/dev/null)" = "$n $1" ] || return 0
    : >$d/held
    while [ -e $d/held ]; do [ ! -e $d/drop ] || exit 1; sleep 0.02; done
}
hold before
sh -c "$SSH_ORIGINAL_COMMAND"
code=$?
hold after
exit $code
"#;

/// User-data with that script, which holds step `hold` from the first login on.
fn user_data(store: &Store, name: &str, hold: &str) -> String {
    let indented: String = STEP.lines().map(|line| format!("      {line}\n")).collect();
    let data = format!(
        "#cloud-config\nbootcmd:\n  - [sh, -c, \"mkdir -p -m 1777 /run/steps; echo '{hold}' >/run/steps/hold\"]\n\
         write_files:\n  - path: /usr/local/sbin/step\n    permissions: '0755'\n    content: |\n{indented}\
         \x20 - path: /etc/ssh/sshd_config.d/99-step.conf\n    content: |\n      ForceCommand /usr/local/sbin/step\n"
    );
    store.file(&format!("{name}.data"), &data).to_str().unwrap().to_owned()
}

/// The id of the machine's instance, as soon as the record has it.
fn instance(store: &Store, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(store.root().join("machines").join(name).join("config.json")).ok()?;
    let record: Value = serde_json::from_str(&text).ok()?;
    Some(record["Driver"]["InstanceId"].as_str().filter(|id| !id.is_empty())?.to_owned())
}

/// Runs a shell command on the host as root, past sshd.
fn on_host(id: &str, command: &str) -> String {
    let done = lab("POST", &format!("hosts/{id}/exec"), Some(&json!({ "command": command })));
    done["stdout"].as_str().unwrap_or_default().trim().to_owned()
}

fn steps_so_far(id: &str) -> usize {
    on_host(id, "ls /run/steps | grep -c '^[0-9]'").parse().unwrap()
}

/// Waits until the step is held; `false`: the command has come to its end before.
fn until_held(store: &Store, name: &str, running: &mut Running) -> bool {
    let held = |_: &Running| {
        instance(store, name).is_some_and(|id| !on_host(&id, "ls /run/steps/held 2>/dev/null").is_empty())
    };
    running.until(PATIENCE, held) == Seen::Wanted
}

#[test]
#[ignore = "with tests/run --full"]
fn create_killed_before_and_after_each_step() {
    let _alone = alone();
    let report = Report::start("create on hosts, SIGKILL at each SSH step, rm -y");
    let before = resources();
    let all = {
        let store = Store::new();
        let data = user_data(&store, "steps", "none");
        create(&store, &["--amazonec2-userdata", &data], "steps").end(PATIENCE).ok();
        steps_so_far(&instance(&store, "steps").unwrap())
    };
    assert!(all >= 4, "{all} steps");
    let points: Vec<_> = (1..=all).flat_map(|nth| When::BOTH.map(|when| (nth, when))).collect();
    for some in points.chunks(3) {
        std::thread::scope(|scope| {
            for (nth, when) in some {
                scope.spawn(move || {
                    let store = Store::new();
                    let name = format!("step-{nth}-{}", when.word());
                    let data = user_data(&store, &name, &format!("{nth} {}", when.word()));
                    let mut create = create(&store, &["--amazonec2-userdata", &data], &name);
                    assert!(until_held(&store, &name, &mut create), "{name}: {:?}", create.said());
                    create.kill();
                    let ended = start(&store, &["rm", "-y", &name]).end(PATIENCE);
                    assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
                });
            }
        });
    }
    assert_eq!(resources(), before);
    report.end(points.len(), "");
}

#[test]
#[ignore = "with tests/run --full"]
fn regenerate_certs_killed_before_and_after_each_step_is_repeated() {
    let _alone = alone();
    let report = Report::start("regenerate-certs, SIGKILL at each SSH step, again");
    let before = resources();
    let store = Store::new();
    let data = user_data(&store, "again", "none");
    create(&store, &["--amazonec2-userdata", &data], "again").end(PATIENCE).ok();
    let id = instance(&store, "again").unwrap();
    let mut points = 0;
    for when in When::BOTH {
        for nth in 1..=20 {
            let step = steps_so_far(&id) + nth;
            on_host(&id, &format!("echo '{step} {}' >/run/steps/hold", when.word()));
            let mut renewal = start(&store, &["regenerate-certs", "-f", "again"]);
            if !until_held(&store, "again", &mut renewal) {
                renewal.end(PATIENCE).ok();
                assert!(nth > 1, "regenerate-certs takes no step");
                break;
            }
            renewal.kill();
            // What was not begun does not happen; what was done stays done.
            on_host(&id, "cd /run/steps; : >hold; : >drop; sleep 0.2; rm -f drop held");
            start(&store, &["regenerate-certs", "-f", "again"]).end(PATIENCE).ok();
            assert_usable(&store, "again");
            points += 1;
        }
    }
    start(&store, &["rm", "-y", "again"]).end(PATIENCE).ok();
    assert_eq!(resources(), before);
    report.end(points, "");
}
