//! Locks for what only one process of a user should do at a time, on things that are there anyway
//! (flock(2)), so that no file is left. They spare double work; where one cannot be had (NFS), all goes on without.

use std::{
    fs::{File, TryLockError},
    io,
    path::PathBuf,
};

/// Held while an image is built or pulled: on the home directory. `on_wait` is told when another has it.
pub(crate) async fn image(on_wait: impl FnOnce()) -> Option<File> {
    take(std::env::var_os("HOME").map(PathBuf::from), on_wait).await
}

/// Held for the moment in which the shared network is made or removed: on this program.
pub(crate) async fn network() -> Option<File> {
    take(std::env::current_exe().ok(), || {}).await
}

async fn take(path: Option<PathBuf>, on_wait: impl FnOnce()) -> Option<File> {
    let path = path?;
    let locked = async {
        let file = File::open(&path)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => on_wait(),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await.map_err(io::Error::other)?
    };
    match locked.await {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::debug!("no lock on {}: {error}", path.display());
            None
        }
    }
}
