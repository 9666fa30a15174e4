//! `rmachine audit`.

use clap::builder::TypedValueParser as _;
use rmachine_core::{AuditFilter, Audited};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::audit::Entry;
use time::{Date, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description};

use super::{Context, gc, holdings, ui};

/// Show what was done with keys, certificates and machines, by whom and when
///
/// Each line of audit.jsonl in the store carries the SHA-256 of the one before it. --verify checks that, and prints the
/// last line's: keep it elsewhere, and it shows later that no line was taken off the end.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine audit                        all of it
  rmachine audit build-7 --since 7d     one machine, the last week
  rmachine audit --since 2026-11-01 --json
  rmachine audit --verify               exits with 9 when a line is not good")]
pub struct Args {
    /// Name of the machine, which may be gone; else all, and what is about the store
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// From then on: 8h, 7d, 2026-11-01, 2026-11-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = clap::builder::StringValueParser::new().try_map(|text| since(&text)))]
    since: Option<OffsetDateTime>,
    /// Check that no line was changed, taken out or put in
    #[arg(long)]
    verify: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let filter = AuditFilter { machine: args.name.clone(), since: args.since };
    let audited = context.core.audited(&filter)?;
    for line in &audited.torn {
        context.terminal.say(&format!(
            "Warning: line {line} of the audit log was cut off: its writer was killed, or its computer stopped"
        ));
    }
    match (args.verify, args.json) {
        (true, true) => ui::print(&format!("{:#}\n", verdict(&audited)))?,
        (true, false) if audited.broken.is_none() => {
            ui::print(&format!(
                "{} entries, none changed; the last line's SHA-256 is {}\n",
                audited.count, audited.head
            ))?;
        }
        (true, false) => {}
        (false, true) => {
            let text = serde_json::to_string_pretty(&audited.entries)
                .map_err(|e| Error::new(Kind::Failure, "the log cannot be printed").source(e))?;
            ui::print(&format!("{text}\n"))?;
        }
        (false, false) if audited.entries.is_empty() => {}
        (false, false) => {
            let header = ["TIME", "BY", "MACHINE", "EVENT", "DETAILS"];
            ui::print(&holdings::table(header, audited.entries.iter().map(row)))?;
        }
    }
    match audited.broken {
        Some(error) if args.verify => Err(error),
        Some(error) => {
            context.terminal.say(&format!("Warning: {error}"));
            Ok(())
        }
        None => Ok(()),
    }
}

fn verdict(audited: &Audited) -> serde_json::Value {
    serde_json::json!({
        "entries": audited.count,
        "head": audited.head,
        "torn": audited.torn,
        "broken": audited.broken.as_ref().map(ToString::to_string),
    })
}

fn row(entry: &Entry) -> [String; 5] {
    let at = entry.at.to_offset(UtcOffset::UTC).truncate_to_second();
    let at = at.format(&Rfc3339).unwrap_or_else(|_| at.to_string());
    let details = entry.details.as_object().into_iter().flatten();
    let details: Vec<String> = details.map(|(name, value)| format!("{name}={}", plain(&shown(value)))).collect();
    let machine = entry.machine.as_deref().unwrap_or("-");
    [at, plain(&format!("{}@{}", entry.user, entry.host)), plain(machine), plain(&entry.event), details.join(" ")]
}

fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// As one word that does nothing to a terminal; in quotes where it is not one as it is.
fn plain(text: &str) -> String {
    let is_word = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c.is_alphanumeric());
    if is_word { text.to_owned() } else { format!("{text:?}") }
}

fn since(text: &str) -> Result<OffsetDateTime, String> {
    let ago = gc::age(text).ok().and_then(|age| time::Duration::try_from(age).ok());
    if let Some(then) = ago.and_then(|ago| OffsetDateTime::now_utc().checked_sub(ago)) {
        return Ok(then);
    }
    let date = || Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| Some(date()?.midnight().assume_utc())).ok_or_else(|| {
        "it takes a time such as 8h or 7d, a date (2026-11-01) or both (2026-11-01T08:00:00Z)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_log_does_nothing_to_a_terminal() {
        assert_eq!(plain("a@b.c:1"), "a@b.c:1");
        assert_eq!(plain(""), "\"\"");
        let shown = plain("\u{1b}[2J\n\u{202e}x\u{9b}");
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
    }

    #[test]
    fn times() {
        assert_eq!(since("2026-11-01").unwrap(), since("2026-11-01T00:00:00Z").unwrap());
        assert!(since("8h").unwrap() < OffsetDateTime::now_utc() && since("yesterday").is_err());
        assert!(since("99999999999999d").is_err(), "longer ago than there are years");
    }
}
