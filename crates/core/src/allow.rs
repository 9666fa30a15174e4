//! `allow`: who may connect, when a laptop has moved.

use ipnet::IpNet;
use rmachine_model::error::{Error, Kind, Result};

use super::{Core, machine_ref, open::Need, voice};

impl Core {
    /// Replaces who may connect to machine `name`: `sources`, or the caller's own address when empty.
    ///
    /// # Errors
    ///
    /// [`Kind::Provider`] when the provider cannot or will not.
    pub async fn allow(&self, name: &str, sources: &[IpNet]) -> Result<Vec<IpNet>> {
        let machine = self.open(name, Need::any()).await?;
        if !self.driver(&machine)?.info().capabilities.ingress {
            return Err(Error::new(
                Kind::Failure,
                format!("the driver \"{}\" has no firewall that rmachine could change", machine.driver),
            )
            .hint("change who may connect where the host runs"));
        }
        let provider = self.provider(&machine).await?;
        let sources = (!sources.is_empty()).then_some(sources);
        Ok(provider.allow(&machine_ref(&machine, None), sources, &self.cx(voice(&machine.notify))).await?)
    }
}
