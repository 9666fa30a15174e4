//! `rmachine doctor`.

use std::time::Duration;

use rmachine_core::Checked;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::Health;
use rmachine_text::printable;

use super::{Context, names, ui};

/// Look for what is wrong, and say what mends it; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the store (place, permissions, locks, what killed processes left), at the certificates, at each
account (credentials, clock, quotas), and at each machine (record, state, address, engine, SSH, clock).
The exit code is 0 when nothing is bad; warnings are no failure.

Examples:
  rmachine doctor                   the store, all accounts and all machines
  rmachine doctor aws-test          that machine and its account
  rmachine doctor --json | jq '.[] | select(.health == \"bad\")'")]
pub struct Args {
    /// Machines to look at; all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Seconds to wait for each answer
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
    timeout: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = names::unique(&args.names);
    let checked = context.run(context.core.doctor(&names, Duration::from_secs(args.timeout)))?;
    let report = if args.json {
        let json = serde_json::to_string_pretty(&checked)
            .map_err(|e| Error::new(Kind::Failure, "the report cannot be printed").source(e))?;
        format!("{json}\n")
    } else {
        report(&checked)
    };
    ui::print(&report)?;
    match count(&checked, Health::Bad) {
        0 => Ok(()),
        1 => Err(Error::new(Kind::Failure, "1 check found something that does not work")),
        bad => Err(Error::new(Kind::Failure, format!("{bad} checks found something that does not work"))),
    }
}

/// One line a finding, what mends it below, and a line that counts.
pub(super) fn report(checked: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { area, finding } in checked {
        let word = match finding.health {
            Health::Good => "ok",
            Health::Warning => "warn",
            Health::Bad => "BAD",
        };
        let found = format!("{word:<4} {:<12} {}: {}", area.word(), finding.subject, finding.text);
        text.push_str(&format!("{}\n", printable::line(&found)));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("     fix: {}\n", printable::line(remedy)));
        }
    }
    let counts = [(Health::Good, "ok"), (Health::Warning, "warnings"), (Health::Bad, "bad")];
    let counts: Vec<String> =
        counts.iter().map(|(health, word)| format!("{} {word}", count(checked, *health))).collect();
    text.push_str(&format!("{} checks: {}\n", checked.len(), counts.join(", ")));
    text
}

fn count(checked: &[Checked], health: Health) -> usize {
    checked.iter().filter(|checked| checked.finding.health == health).count()
}
