//! The states that docker-machine has, for callers that compare them.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::{net::TcpStream, time::timeout};

use super::{AT_ONCE, Listed, Status};
use crate::Core;

/// How long a host's sshd may take to be reached.
const DIAL: Duration = Duration::from_secs(5);

/// Which words `ls` and `status` have for states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateWords {
    /// Those of [`Status`].
    #[default]
    Own,
    /// Those of docker-machine's libmachine/state: what it has no word for is the nearest one, and who has no power of a host
    /// is asked as its drivers `none` and `generic` do.
    DockerMachine,
}

impl StateWords {
    /// What is said of an engine that does not tell its version, for this reason.
    pub(super) fn no_version(self, why: String) -> String {
        match self {
            Self::Own => why,
            Self::DockerMachine => format!("Unable to query docker version: {why}"),
        }
    }
}

impl Core {
    /// Puts the states of `lines` into the words that are wanted.
    pub(super) async fn in_words(&self, lines: &mut [Listed], patience: Duration) {
        if self.state_words == StateWords::Own {
            return;
        }
        let word = async |line: &mut Listed| {
            line.state = match line.state {
                Status::Unreachable => self.without_power(line, patience.min(DIAL)).await,
                Status::Creating => Status::Starting,
                Status::Removing => Status::Stopping,
                Status::Missing => Status::Error,
                state => state,
            };
            if line.state == Status::Stopped {
                (line.url, line.active, line.error) = (None, false, None);
            }
        };
        stream::iter(lines.iter_mut()).for_each_concurrent(AT_ONCE, word).await;
    }

    /// A URL alone always runs; a host runs when its sshd can be reached.
    async fn without_power(&self, line: &Listed, patience: Duration) -> Status {
        let Some(record) = &line.record else { return Status::Error };
        match (self.driver(record), record.address()) {
            (Err(_), _) => Status::Error,
            (Ok(driver), _) if !driver.info().capabilities.ssh => Status::Running,
            (Ok(_), Some(host)) => match timeout(patience, TcpStream::connect((host, record.ssh.port))).await {
                Ok(Ok(_)) => Status::Running,
                _ => Status::Stopped,
            },
            (Ok(_), None) => Status::Stopped,
        }
    }
}
