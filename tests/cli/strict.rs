//! A store that others can change.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::user::User;

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_store_that_others_can_change_is_refused_by_whatever_reads_it() {
    let user = User::with_machines();
    let store = user.store();
    for (path, closed) in [(store.clone(), 0o700), (store.join("machines"), 0o700), (store.join("certs"), 0o700)] {
        if !path.exists() {
            continue;
        }
        chmod(&path, 0o777);
        for command in [&["ls"][..], &["env", "one"], &["rm", "-y", "one"], &["doctor"], &["rename", "one", "x"]] {
            let refused = user.run(command);
            assert_eq!((refused.code, refused.stdout.as_str()), (9, ""), "{command:?}: {}", refused.stderr);
            assert!(refused.stderr.contains("can be changed by others"), "{command:?}: {}", refused.stderr);
            assert!(refused.stderr.contains("everybody may write to it"), "{}", refused.stderr);
            assert!(refused.stderr.contains("Hint: `chmod go-w "), "{}", refused.stderr);
        }
        for command in [&["version"][..], &["completion", "bash"], &["ls", "--help"]] {
            assert_eq!(user.run(command).code, 0, "{command:?} needs no store");
        }
        assert_eq!(user.run_in(&["ls", "-q"], &[("RMACHINE_STRICT_MODES", "no")]).stdout, "one\ntwo\n");
        assert_eq!(user.run_in(&["ls", "-q"], &[("RMACHINE_STRICT_MODES", "yes")]).code, 9);
        chmod(&path, closed);
        assert_eq!(user.run(&["ls", "-q"]).stdout, "one\ntwo\n");
    }
}

#[test]
fn directories_above_count_but_for_sticky_ones() {
    let user = User::with_machines();
    let above = user.store().parent().unwrap().to_owned();
    chmod(&above, 0o777);
    assert_eq!(user.run(&["ls", "-q"]).code, 9);
    // As /tmp, in which the tests' homes are.
    chmod(&above, 0o1777);
    assert_eq!(user.run(&["ls", "-q"]).stdout, "one\ntwo\n");
    chmod(&above, 0o777);
    let elsewhere = above.join("new/store");
    let create = ["-s", elsewhere.to_str().unwrap(), "create", "-d", "none", "--url", "tcp://127.0.0.1:1", "m"];
    assert_eq!(user.run(&create).code, 9, "where it would be made counts, too");
    assert!(!elsewhere.exists());
    chmod(&above, 0o700);
    assert_eq!(user.run(&create).code, 0);
}

/// Only root can give a directory away.
#[test]
fn a_store_of_somebody_else_is_refused() {
    let user = User::with_machines();
    if user.store().metadata().unwrap().uid() != 0 {
        return;
    }
    std::os::unix::fs::chown(user.store(), Some(4242), None).unwrap();
    let refused = user.run(&["ls"]);
    assert!(
        refused.code == 9 && refused.stderr.contains("it belongs to the user with the id 4242"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("`chown $(id -u) "), "{}", refused.stderr);
}
