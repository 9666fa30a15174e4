//! Who else has access to each machine's engine, and what of that should have ended.

use rmachine_provider_api::Finding;
use rmachine_store::{Power, Record};
use time::OffsetDateTime;

use super::failed;
use crate::{Core, Share, ShareState};

impl Core {
    /// What is to be said of the shares of `record`'s machine at `now`.
    pub(super) fn look_at_shares(&self, record: &Record, now: OffsetDateTime) -> Vec<Finding> {
        let name = record.name.as_str();
        let shares = match self.shares(name) {
            Ok(shares) => shares,
            Err(error) => return vec![failed(name, &error)],
        };
        let of =
            |state: ShareState| -> Vec<&Share> { shares.iter().filter(|share| share.state(now) == state).collect() };
        let ids = |shares: &[&Share], between: &str| {
            shares.iter().map(|share| share.id.as_str()).collect::<Vec<_>>().join(between)
        };
        let remedy = |shares: &[&Share]| match record.power {
            Power::Stopped => format!("`rmachine start {name}` ends it"),
            Power::Running => format!("`rmachine unshare {name} {}`", ids(shares, " ")),
        };
        let mut findings = Vec::new();
        let open = of(ShareState::Open);
        if let Some(last) = open.iter().map(|share| share.until.date()).max() {
            findings.push(Finding::good(name, format!("it is shared until {last} at most: {}", ids(&open, ", "))));
        }
        // Another process that works on it may be sharing it, or ending that.
        let busy = self.is_locked(name);
        let ending = of(ShareState::Ending);
        if !ending.is_empty() && !busy {
            let text = format!("its unshare did not end, and the engine may let them in still: {}", ids(&ending, ", "));
            findings.push(Finding::bad(name, text, remedy(&ending)));
        }
        let unfinished = of(ShareState::Unfinished);
        if !unfinished.is_empty() && !busy {
            let text = format!(
                "its share did not end, and nobody may have the files of what the engine lets in: {}",
                ids(&unfinished, ", ")
            );
            findings.push(Finding::warning(name, text, remedy(&unfinished)));
        }
        let over = of(ShareState::Over);
        if !over.is_empty() {
            let text = format!(
                "shares that are over stand in its engine's trust, and connections that were open may still be: {}",
                ids(&over, ", ")
            );
            findings.push(Finding::warning(name, text, remedy(&over)));
        }
        findings
    }
}
