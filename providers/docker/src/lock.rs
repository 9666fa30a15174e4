//! One lock for what only one process of a user may do at a time. It is on the home directory itself
//! (flock(2)), so that no file is left.

use std::{
    fs::{File, TryLockError},
    path::PathBuf,
};

use rmachine_provider_api::{Error, Kind, Result};

/// Waits for the lock, after `on_wait` when another process has it; dropping it lets go.
pub(crate) async fn take(on_wait: impl FnOnce()) -> Result<File> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_dir());
    let directory = home.unwrap_or_else(std::env::temp_dir);
    let failed = |e: std::io::Error, directory: &PathBuf| {
        Error::new(Kind::Other, format!("cannot lock {}", directory.display())).source(e)
    };
    let file = File::open(&directory).map_err(|e| failed(e, &directory))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => on_wait(),
        Err(TryLockError::Error(e)) => return Err(failed(e, &directory)),
    }
    tokio::task::spawn_blocking(move || {
        file.lock().map_err(|e| failed(e, &directory))?;
        Ok(file)
    })
    .await
    .map_err(|e| Error::new(Kind::Other, "a worker thread ended early").source(e))?
}
