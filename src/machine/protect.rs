//! `protect`: a machine that `rm` refuses.

use super::Core;
use crate::error::Result;

impl Core {
    /// Sets or takes away the protection of machine `name`. Repeat: success.
    ///
    /// # Errors
    ///
    /// [`crate::error::Kind::NoSuchMachine`], [`crate::error::Kind::Conflict`] when it is being removed.
    pub async fn protect(&self, name: &str, on: bool) -> Result<()> {
        if !self.store.exists(name) {
            return self.store.load(name).map(|_| ());
        }
        let _lock = self.lock(name).await?;
        let mut record = self.store.load(name)?;
        self.require_ready(&record)?;
        if record.protected == on {
            return Ok(());
        }
        record.protected = on;
        self.save(&record)
    }
}
