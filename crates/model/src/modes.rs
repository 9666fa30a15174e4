//! Who else can change a file: the rule of sshd's StrictModes, with root's sticky directories as parents.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A file or directory that decides what another one is, and that somebody else can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// Which one.
    pub path: PathBuf,
    /// Who can change it.
    pub who: Who,
}

/// Who can change a file besides its user and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// It is this user's own.
    Owner(u32),
    /// This group may write to it, and others are in it.
    Group(u32),
    /// Everybody may write to it.
    Everybody,
}

impl Loose {
    /// What is wrong, without the path.
    pub fn reason(&self) -> String {
        match self.who {
            Who::Owner(uid) => format!("it belongs to the user with the id {uid}"),
            Who::Group(gid) => format!("the group with the id {gid} may write to it"),
            Who::Everybody => "everybody may write to it".to_owned(),
        }
    }

    /// The command that ends it.
    pub fn remedy(&self) -> String {
        let path = self.path.to_string_lossy();
        let path = shlex::try_quote(&path).unwrap_or_else(|_| path.clone());
        match self.who {
            Who::Owner(_) => format!("chown $(id -u) {path}"),
            Who::Group(_) | Who::Everybody => format!("chmod go-w {path}"),
        }
    }
}

/// The first of `path`, with links followed, and the directories above it that users other than root and `user` can
/// change. In a sticky directory of theirs nobody can replace what is not his own: as a parent it is good. Of a path that
/// is not there the directories where it would be count.
///
/// # Errors
///
/// When they cannot be looked at.
pub fn loose(path: &Path, user: u32) -> io::Result<Option<Loose>> {
    let (mut there, mut is_parent) = (path, false);
    let path = loop {
        match (fs::canonicalize(there), there.parent()) {
            (Err(e), Some(parent)) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                (there, is_parent) = (parent, true);
            }
            (found, _) => break found?,
        }
    };
    for part in path.ancestors() {
        if let Some(who) = who(&fs::metadata(part)?, user, is_parent) {
            return Ok(Some(Loose { path: part.to_owned(), who }));
        }
        is_parent = true;
    }
    Ok(None)
}

/// The first of those `names` in `directory` that are there and that users other than root and `user` can change.
///
/// # Errors
///
/// When one cannot be looked at.
pub fn loose_in(directory: &Path, names: &[&str], user: u32) -> io::Result<Option<Loose>> {
    for path in names.iter().map(|name| directory.join(name)) {
        match fs::metadata(&path) {
            Ok(found) => {
                if let Some(who) = who(&found, user, false) {
                    return Ok(Some(Loose { path, who }));
                }
            }
            // What should be a directory and is none is found by whoever wants to read it.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// Who can change this one alone, which as a parent may be sticky.
fn who(found: &Metadata, user: u32, is_parent: bool) -> Option<Who> {
    if found.uid() != 0 && found.uid() != user {
        return Some(Who::Owner(found.uid()));
    }
    if is_parent && found.mode() & 0o1000 != 0 {
        return None;
    }
    if found.mode() & 0o002 != 0 {
        return Some(Who::Everybody);
    }
    let is_own = || found.gid() == 0 || is_private_group(found.gid(), user, |path| fs::read_to_string(path).ok());
    (found.mode() & 0o020 != 0 && !is_own()).then(|| Who::Group(found.gid()))
}

/// Whether nobody but `user` is in the group: where each user has a group of his own, a umask of 002 is common.
fn is_private_group(group: u32, user: u32, read: impl Fn(&str) -> Option<String>) -> bool {
    let (Some(users), Some(groups)) = (read("/etc/passwd"), read("/etc/group")) else { return false };
    let id = |field: Option<&str>| field.and_then(|text| text.parse::<u32>().ok());
    let mut name = None;
    for line in users.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (id(fields.get(2).copied()), id(fields.get(3).copied()));
        match uid == Some(user) {
            true => name = fields.first().copied().filter(|_| gid == Some(group)).or(name),
            false if gid == Some(group) => return false,
            false => {}
        }
    }
    let Some(name) = name else { return false };
    let lines = groups.lines().filter(|line| id(line.split(':').nth(2)) == Some(group));
    lines.flat_map(|line| line.split(':').nth(3).unwrap_or_default().split(',')).all(|m| m.is_empty() || m == name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn modes_of_the_path_and_of_its_parents_count() {
        let top = tempfile::tempdir().unwrap();
        let (parent, path) = (top.path().join("parent"), top.path().join("parent/store"));
        #[allow(clippy::disallowed_methods, reason = "a test's own directories")]
        fs::create_dir_all(&path).unwrap();
        // Below /tmp, which everybody may write to.
        chmod(&parent, 0o755);
        chmod(&path, 0o700);
        assert_eq!(loose(&path, me()).unwrap(), None);
        for (parents, own, found) in [
            (0o755, 0o702, Some((&path, Who::Everybody))),
            (0o755, 0o1777, Some((&path, Who::Everybody))),
            (0o777, 0o700, Some((&parent, Who::Everybody))),
            (0o1777, 0o700, None),
            (0o755, 0o755, None),
        ] {
            chmod(&parent, parents);
            chmod(&path, own);
            let expected = found.map(|(path, who)| Loose { path: fs::canonicalize(path).unwrap(), who });
            assert_eq!(loose(&path, me()).unwrap(), expected, "{parents:o} {own:o}");
        }
        // What is not there yet would be in a parent.
        for (parents, loose_there) in [(0o755, false), (0o1777, false), (0o777, true)] {
            chmod(&parent, parents);
            assert_eq!(loose(&parent.join("new/store"), me()).unwrap().is_some(), loose_there, "{parents:o}");
        }
        assert_eq!(loose_in(&parent, &["missing", "store"], me()).unwrap(), None);
        chmod(&path, 0o702);
        let found = loose_in(&parent, &["missing", "store"], me()).unwrap().unwrap();
        assert_eq!((found.path, found.who), (path, Who::Everybody));
    }

    #[test]
    fn links_are_followed_and_the_remedy_names_the_place() {
        let top = tempfile::tempdir().unwrap();
        let link = top.path().join("link");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        assert_eq!(loose(&link, 4242).unwrap(), None, "root's are good for everybody");
        let own = loose(top.path(), 4242).unwrap();
        if me() != 0 {
            assert_eq!(own.map(|found| found.who), Some(Who::Owner(me())));
        }
        let found = Loose { path: "/a b".into(), who: Who::Group(5) };
        assert_eq!((found.remedy().as_str(), found.reason().contains('5')), ("chmod go-w '/a b'", true));
    }

    #[test]
    fn a_group_of_ones_own_is_nobody_else() {
        let with = |passwd: &'static str, group: &'static str| {
            is_private_group(1000, 1000, |path| Some((if path == "/etc/passwd" { passwd } else { group }).to_owned()))
        };
        let own = "root:x:0:0::/:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert!(with(own, "root:x:0:\nme:x:1000:\n") && with(own, "me:x:1000:me\n"));
        assert!(!with(own, "me:x:1000:me,you\n"));
        assert!(!with("me:x:1000:1000::/:/bin/sh\nyou:x:1001:1000::/:/bin/sh\n", "me:x:1000:\n"));
        assert!(!with("me:x:1000:100::/:/bin/sh\n", "users:x:1000:\n"));
        assert!(!is_private_group(1000, 1000, |_| None));
    }
}
