//! An account that lives in a file, changed under a lock.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use crate::cloud::Cloud;

/// Reads the account at `path`, changes it and writes it back, while others wait.
///
/// # Panics
///
/// When the file cannot be read or written: no test can go on without its cloud.
#[allow(clippy::panic, reason = "only tests have such an account, and none can go on without it")]
pub(crate) fn change<T>(path: &Path, change: impl FnOnce(&mut Cloud) -> T) -> T {
    match try_change(path, change) {
        Ok(result) => result,
        Err(error) => panic!("the account {}: {error}", path.display()),
    }
}

fn try_change<T>(path: &Path, change: impl FnOnce(&mut Cloud) -> T) -> io::Result<T> {
    #[allow(clippy::disallowed_methods, reason = "an empty file beside the account, no part of any store")]
    let lock = fs::File::options().create(true).truncate(false).write(true).open(path.with_extension("lock"))?;
    lock.lock()?;
    let mut cloud = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Cloud::default(),
        Err(error) => return Err(error),
    };
    let result = change(&mut cloud);
    // A process may be killed here: the others see the old account or the new one, whole.
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&serde_json::to_vec(&cloud)?)?;
    file.persist(path)?;
    Ok(result)
}
