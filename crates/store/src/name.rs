//! Names of machines.

use rmachine_model::error::{Error, Result};

/// Longest name: it becomes a host name (RFC 1035, section 2.3.4).
const LONGEST: usize = 63;
/// Longest name of a directory that our own additions to it leave.
const LONGEST_FILE: usize = 200;

/// Checks a machine's name: docker-machine's rule (a letter or digit first, then letters, digits,
/// dots and dashes) and the length of a host name.
///
/// # Errors
///
/// [`rmachine_model::error::Kind::Usage`] that says the rule.
pub fn check_name(name: &str) -> Result<()> {
    if is_name(name) && name.len() <= LONGEST {
        return Ok(());
    }
    Err(Error::usage(format!("invalid machine name {name:?}"))
        .known_as("Error creating machine: Invalid hostname specified. Allowed hostname chars are: 0-9a-zA-Z . -")
        .hint("a name has 1 to 63 letters, digits, dots and dashes, and begins with a letter or digit"))
}

/// Whether a machine that is there already may have this name: docker-machine knew no longest one.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
        && name.len() <= LONGEST_FILE
}

#[cfg(test)]
mod tests {
    use super::{check_name, is_name};

    #[test]
    fn names() {
        for good in ["a", "aws-test", "runner-x-1700000000-0a1b2c3d", "1.b", &"a".repeat(63)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "../x", "a_b", "ä", "a\n", &"a".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(is_name(&"a".repeat(64)) && !is_name("../x") && !is_name(""));
    }
}
