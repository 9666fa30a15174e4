//! What is found by its tags, and changed by its ids.

use ipnet::IpNet;
use rmachine_provider_api::{Error, MachineToken, Owner, ResourceKind, Result};

use crate::{account::Account, cloud::Held, fault::Operation};

impl Account {
    /// What a filter for `token` answers; with its ids the caller goes on.
    pub(crate) fn filtered(&self, token: &MachineToken) -> Vec<Held> {
        self.change(|cloud| {
            let everything = cloud.answers_everything;
            cloud.held.iter().filter(|h| h.is_found_by(token, everything)).cloned().collect()
        })
    }

    /// Makes `owner` the owner of the things `ids`.
    pub(crate) async fn claim(&self, ids: &[String], owner: &Owner, name: &str) -> Result<()> {
        self.request(Operation::Claim, |cloud| {
            for held in cloud.held.iter_mut().filter(|h| ids.contains(&h.resource.id)) {
                held.resource.owner = Some(owner.clone());
                held.resource.machine = Some(name.to_owned());
            }
            Ok(())
        })
        .await
    }

    /// Gives the things `ids` another name.
    pub(crate) async fn rename(&self, ids: &[String], name: &str) -> Result<()> {
        self.request(Operation::Rename, |cloud| {
            for held in cloud.held.iter_mut().filter(|h| ids.contains(&h.resource.id)) {
                held.resource.machine = Some(name.to_owned());
            }
            Ok(())
        })
        .await
    }

    /// Sets the rules of the first security group among `ids`.
    pub(crate) async fn set_rules(&self, ids: &[String], rules: Vec<IpNet>) -> Result<Vec<IpNet>> {
        self.request(Operation::SetRules, |cloud| {
            let is_group =
                |h: &&mut Held| h.resource.kind == ResourceKind::SecurityGroup && ids.contains(&h.resource.id);
            let group = cloud.held.iter_mut().find(is_group);
            let group = group.ok_or_else(|| Error::unsupported("the machine has no security group of its own"))?;
            group.rules = rules;
            Ok(group.rules.clone())
        })
        .await
    }
}
