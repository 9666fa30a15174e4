//! `protect`: a machine that `rm` refuses.

use rmachine_model::error::Result;

use super::{Core, open::Need};

impl Core {
    /// Sets or takes away the protection of machine `name`. Repeat: success.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::NoSuchMachine`], [`rmachine_model::error::Kind::Conflict`] when it is being removed.
    pub async fn protect(&self, name: &str, on: bool) -> Result<()> {
        if !self.store.exists(name) {
            return self.store.load(name).map(|_| ());
        }
        let mut machine = self.open(name, Need::ready()).await?;
        if machine.protected == on {
            return Ok(());
        }
        machine.commit(|record| record.protected = on)
    }
}
