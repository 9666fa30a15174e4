//! Whether the store is its user's alone.

use rmachine_model::{
    error::{Error, Kind, Result},
    modes,
};

use super::{Store, bytes::cannot};

impl Store {
    /// Refuses a store that somebody else can change: its records say what is run and whom this computer talks to. The rule
    /// is that of sshd's StrictModes.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] that says what to change.
    pub fn require_strict_modes(&self) -> Result<()> {
        let user = rustix::process::geteuid().as_raw();
        let found = match modes::loose(&self.root, user) {
            Ok(None) => modes::loose_in(&self.root, &["machines", "certs", "rmachine.json"], user),
            found => found,
        };
        let Some(loose) = found.map_err(|e| cannot("look at", &self.root, e))? else { return Ok(()) };
        Err(Error::new(Kind::Store, format!("the store {} can be changed by others", self.root.display()))
            .source(format!("{}: {}", loose.path.display(), loose.reason()))
            .hint(format!("`{}`, or keep the store at another place with --storage-path DIR", loose.remedy()))
            .hint("where only you can get there all the same, RMACHINE_STRICT_MODES=no takes it as it is"))
    }
}
