//! How far a machine has come.

use serde::{Deserialize, Serialize};

/// How far a machine has come; written before the work of the phase begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The name is taken; nothing was asked of the provider but questions, and what machines share (an image).
    Reserved,
    /// The request is saved; the provider may have made things.
    Creating,
    /// The instance exists and has addresses.
    Booting,
    /// The host answered for the first time; engine and certificates are on their way.
    Provisioning,
    /// Usable.
    Ready,
    /// Being deleted; only `rm` and gc go on from here.
    Removing,
}

impl Phase {
    /// Whether the table of transitions has an arrow from here to `next`.
    pub fn may_become(self, next: Self) -> bool {
        use Phase::{Booting, Creating, Provisioning, Ready, Removing, Reserved};
        match self {
            Reserved => matches!(next, Reserved | Creating | Removing),
            Creating => matches!(next, Creating | Booting | Removing),
            Booting => matches!(next, Booting | Provisioning | Ready | Removing),
            Provisioning => matches!(next, Provisioning | Ready | Removing),
            Ready => matches!(next, Ready | Removing),
            Removing => next == Removing,
        }
    }

    /// Whether the provider may hold something for a machine in this phase.
    pub fn may_hold_resources(self) -> bool {
        self != Self::Reserved
    }

    /// Whether the create has not ended.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Reserved | Self::Creating | Self::Booting | Self::Provisioning)
    }

    /// The word for messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Creating => "creating",
            Self::Booting => "booting",
            Self::Provisioning => "provisioning",
            Self::Ready => "ready",
            Self::Removing => "removing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::*;

    #[test]
    fn a_ready_machine_is_never_unfinished_again() {
        for phase in [Reserved, Creating, Booting, Provisioning] {
            assert!(phase.is_unfinished() && !Ready.may_become(phase));
        }
        assert!(!Ready.is_unfinished() && !Removing.is_unfinished());
    }

    #[test]
    fn every_phase_can_be_removed_and_nothing_comes_back() {
        for phase in [Reserved, Creating, Booting, Provisioning, Ready, Removing] {
            assert!(phase.may_become(Removing));
        }
        for phase in [Reserved, Creating, Booting, Provisioning, Ready] {
            assert!(!Removing.may_become(phase));
        }
        assert!(!Reserved.may_become(Booting), "an instance needs a saved request first");
    }
}
