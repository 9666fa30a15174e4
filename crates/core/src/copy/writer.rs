//! A file that is being written: under a name of its own until it is whole, so that nobody finds half of it.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, fchown},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rmachine_ssh::{Attributes, Sftp, SftpError, Upload};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::side::{Facts, Part, Remote, Trouble, hidden};

/// A file that is being written.
pub(super) enum Writer {
    Here(Here),
    There(There),
}

pub(super) struct Here {
    file: tokio::fs::File,
    /// Its name until then, and the one that it will have; `None`: written in place.
    rename: Option<(NamedTempFile, PathBuf)>,
    owner: Option<(u32, u32)>,
}

pub(super) struct There {
    upload: Upload,
    remote: Arc<Remote>,
    rename: Option<(Vec<u8>, Vec<u8>)>,
    owner: Option<(u32, u32)>,
}

impl Writer {
    pub(super) fn here(path: &Path, old: Option<&Facts>, in_place: bool) -> Result<Self, Trouble> {
        let owner = old.and_then(|old| old.owner);
        if in_place {
            #[allow(clippy::disallowed_methods, reason = "a user's file or device, which cannot be replaced")]
            let file = fs::OpenOptions::new().write(true).truncate(true).open(path)?;
            return Ok(Self::Here(Here { file: tokio::fs::File::from_std(file), rename: None, owner: None }));
        }
        let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
        let hidden = hidden(bytes);
        let hidden = super::side::local(&hidden);
        // The name is ours, so that it says what it is; the file goes when it is dropped.
        let named = tempfile::Builder::new()
            .prefix(hidden.file_name().unwrap_or_default())
            .rand_bytes(0)
            .tempfile_in(hidden.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        let file = tokio::fs::File::from_std(named.as_file().try_clone()?);
        Ok(Self::Here(Here { file, rename: Some((named, path.to_owned())), owner }))
    }

    pub(super) async fn there(
        remote: Arc<Remote>,
        path: &[u8],
        old: Option<&Facts>,
        in_place: bool,
    ) -> Result<Self, Trouble> {
        if in_place {
            let upload = remote.sftp.upload(path, true, 0o600).await?;
            return Ok(Self::There(There { upload, remote, rename: None, owner: None }));
        }
        let hidden = hidden(path);
        let upload = remote.sftp.upload(&hidden, false, 0o600).await?;
        *remote.unfinished() = Some(Part { path: hidden.clone(), stays: false });
        let owner = old.and_then(|old| old.owner);
        Ok(Self::There(There { upload, remote, rename: Some((hidden, path.to_vec())), owner }))
    }

    pub(super) async fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
        match self {
            Self::Here(here) => Ok(here.file.write_all(data).await?),
            Self::There(there) => Ok(there.upload.write(data).await?),
        }
    }

    /// All is written: gives it the permissions and times of `facts`, the owner of the one that it replaces where
    /// that can be, and its name. Answers whether the first two were taken.
    pub(super) async fn finish(self, facts: &Facts) -> Result<bool, Trouble> {
        match self {
            Self::Here(here) => Ok(here.finish(facts).await?),
            Self::There(there) => there.finish(facts).await,
        }
    }

    /// Takes it back.
    pub(super) async fn discard(self) -> Result<(), Trouble> {
        match self {
            // Dropping it does.
            Self::Here(_) => Ok(()),
            Self::There(There { upload, remote, rename, .. }) => {
                // What was not written is no news.
                let _ = upload.close().await;
                match rename {
                    Some((hidden, _)) => sweep(&remote.sftp, &remote, &hidden).await,
                    None => Ok(()),
                }
            }
        }
    }
}

/// Removes a file that will not be finished.
pub(super) async fn sweep(sftp: &Sftp, remote: &Remote, hidden: &[u8]) -> Result<(), Trouble> {
    sftp.remove(hidden).await?;
    remote.unfinished().take();
    Ok(())
}

impl Here {
    async fn finish(mut self, facts: &Facts) -> io::Result<bool> {
        self.file.flush().await?;
        let Some((named, path)) = self.rename else { return Ok(true) };
        if let Some((user, group)) = self.owner {
            // As whoever may: only root gives files away.
            let _ = fchown(named.as_file(), Some(user), Some(group));
        }
        let kept = set_here(named.as_file(), facts).is_ok();
        named.persist(&path).map_err(|e| e.error)?;
        Ok(kept)
    }
}

/// Gives an open file the permissions and times of `facts`.
pub(super) fn set_here(file: &fs::File, facts: &Facts) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(facts.mode))?;
    if let Some((accessed, modified)) = facts.times {
        let time = |seconds: u32| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(seconds));
        file.set_times(fs::FileTimes::new().set_accessed(time(accessed)).set_modified(time(modified)))?;
    }
    Ok(())
}

impl There {
    async fn finish(self, facts: &Facts) -> Result<bool, Trouble> {
        let Self { mut upload, remote, rename, owner } = self;
        let mut kept = true;
        let result = async {
            if rename.is_some() {
                if owner.is_some() {
                    let _ = upload.set(&Attributes { owner, ..Attributes::default() }).await;
                }
                let wanted = Attributes { permissions: Some(facts.mode), times: facts.times, ..Attributes::default() };
                kept = upload.set(&wanted).await.is_ok();
            }
            // Says what could not be written, too.
            upload.close().await?;
            if let Some((hidden, path)) = &rename {
                if !remote.sftp.replaces_at_once() {
                    // An interrupt between its two steps, too, leaves one of the two.
                    *remote.unfinished() = Some(Part { path: hidden.clone(), stays: true });
                }
                remote.sftp.rename(hidden, path).await?;
                remote.unfinished().take();
            }
            Ok(())
        }
        .await;
        if let (Err(trouble), Some((hidden, _))) = (&result, &rename)
            && !matches!(trouble, Trouble::There(SftpError::NotReplaced(_)))
        {
            // Where this fails too, `unfinished` says what is left.
            let _ = sweep(&remote.sftp, &remote, hidden).await;
        }
        result.map(|()| kept)
    }
}
