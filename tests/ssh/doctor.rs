//! `rmachine doctor` of a host that answers over SSH, and of one that does not.

use super::{binary::Machine, sshd::keygen, transcript::Said as _};

/// Exit code, and the lines of the area machines with what mends them.
fn doctor(machine: &Machine) -> (Option<i32>, String) {
    let output = machine.command(&["doctor", "--timeout", "5"]).said();
    let text = String::from_utf8(output.stdout).unwrap();
    let from = text.lines().skip_while(|line| !line.contains(" machines "));
    let lines = from.take_while(|line| !line.contains(" checks: "));
    (output.status.code(), lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_host_that_answers_is_well_and_one_that_does_not_is_bad() {
    let mut machine = Machine::new();
    let (code, lines) = doctor(&machine);
    assert_eq!((code, lines.as_str()), (Some(0), "ok   machines     m: it answers: SSH"));
    machine.sshd.stop();
    let (code, lines) = doctor(&machine);
    assert_eq!(code, Some(1));
    assert!(lines.starts_with("BAD  machines     m: SSH: 127.0.0.1 does not accept SSH connections"), "{lines}");
    assert!(lines.contains("\n     fix: "), "{lines}");
}

#[test]
fn a_host_with_another_key_is_bad() {
    let mut machine = Machine::new();
    machine.sshd.stop();
    let key = machine.sshd.path("host_ed25519");
    for path in [key.clone(), key.with_extension("pub")] {
        std::fs::remove_file(path).unwrap();
    }
    keygen(key.parent().unwrap(), "host_ed25519", &["-t", "ed25519"]);
    machine.sshd.run();
    let (code, lines) = doctor(&machine);
    assert_eq!(code, Some(1));
    assert!(lines.contains("m: SSH: the host key of 127.0.0.1 is not the one that is known"), "{lines}");
}
