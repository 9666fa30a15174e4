//! What the fuzz target of archives reads.

#![allow(clippy::expect_used, reason = "a panic is how a fuzz target tells")]

use rmachine_store::check_name;

use super::content::{FILES, pack, unpack};
use crate::import::files::is_key_name;

/// Reads `data` as an archive, and checks what was read.
pub(crate) fn unpacked(data: &[u8]) {
    let Ok(content) = unpack(data) else { return };
    for (machine, files) in &content.machines {
        assert!(check_name(machine).is_ok(), "{machine:?}");
        for name in files.keys() {
            let half = name.strip_suffix(".pub").unwrap_or(name);
            assert!(FILES.contains(&name.as_str()) || is_key_name(half), "{name:?}");
        }
    }
    let again = unpack(&pack(&content).expect("what was read can be written")).expect("what was written can be read");
    assert_eq!((again.owner, again.machines), (content.owner, content.machines));
}
