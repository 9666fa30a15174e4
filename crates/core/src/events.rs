//! What becomes of machines, for those who follow them: docker contexts, ports on this computer, whatever an embedding
//! program keeps beside its machines.

use rmachine_store::{Phase, Power, Record};

/// What became of a machine; it is saved by then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MachineEvent {
    /// It can be used for the first time.
    Created,
    /// Its engine is dialled at another URL; `None`: it has none now.
    Moved {
        /// The URL, `tcp://HOST:PORT`.
        url: Option<String>,
    },
    /// It was started or stopped, or was seen so.
    Power(Power),
    /// The files that clients dial it with have changed.
    Certificates,
    /// It has another name.
    Renamed {
        /// The name before.
        from: String,
    },
    /// It is gone, or forgotten; also one that never could be used.
    Removed,
}

/// Who follows machines. It is told in the process that changed them, under the machine's lock: it has to be quick, and must
/// not open the machine.
pub trait Follower: Send + Sync {
    /// `event` has happened to `machine`.
    fn follow(&self, machine: &str, event: &MachineEvent);
}

/// What of a record events are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    name: String,
    ready: bool,
    power: Power,
    url: Option<String>,
}

impl Seen {
    pub(super) fn of(record: &Record) -> Self {
        Self { name: record.name.clone(), ready: record.phase == Phase::Ready, power: record.power, url: record.url() }
    }

    /// What has happened between this and `now`. Of a machine that is not usable nothing is told but its name.
    pub(super) fn until(&self, now: &Self) -> Vec<MachineEvent> {
        let mut events = Vec::new();
        if self.name != now.name {
            events.push(MachineEvent::Renamed { from: self.name.clone() });
        }
        match (self.ready, now.ready) {
            (false, true) => events.push(MachineEvent::Created),
            (true, true) => {
                if self.power != now.power {
                    events.push(MachineEvent::Power(now.power));
                }
                if self.url != now.url {
                    events.push(MachineEvent::Moved { url: now.url.clone() });
                }
            }
            (_, false) => {}
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, ready: bool, power: Power, url: &str) -> Seen {
        Seen { name: name.to_owned(), ready, power, url: Some(url.to_owned()) }
    }

    #[test]
    fn events_are_what_differs() {
        let before = seen("m", true, Power::Running, "tcp://h:1");
        assert_eq!(before.until(&before), []);
        let now = seen("n", true, Power::Stopped, "tcp://i:1");
        let moved = MachineEvent::Moved { url: Some("tcp://i:1".to_owned()) };
        let renamed = MachineEvent::Renamed { from: "m".to_owned() };
        assert_eq!(before.until(&now), [renamed, MachineEvent::Power(Power::Stopped), moved]);
        let unfinished = seen("m", false, Power::Running, "tcp://g:1");
        assert_eq!(unfinished.until(&before), [MachineEvent::Created]);
        assert_eq!(before.until(&unfinished), []);
    }
}
