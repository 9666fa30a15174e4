//! `rmachine ls`.

use std::{cmp::Ordering, time::Duration};

use rmachine_core::{Filter, Listed};
use rmachine_model::error::{Error, Kind, Result};

use super::{Context, holdings, ls_format::Format, ui};

/// List machines
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "\
Examples:
  rmachine ls                              all machines, with their states and engines
  rmachine ls -q --filter driver=generic   names only, without asking anybody
  rmachine ls --filter state=Running --json
  rmachine ls --format '{{.Name}}: {{.DriverName}}, {{.State}}'
  rmachine ls --format 'table {{.Name}}\\t{{.URL}}\\t{{.ResponseTime}}'

Fields of --format: .Name .Active .ActiveHost .ActiveSwarm .DriverName .State .URL .Swarm
  .SwarmOptions .EngineOptions .Error .DockerVersion .ResponseTime"
)]
pub struct Args {
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
    /// Show only some: driver=NAME, state=STATE, name=REGEX, label=KEY=VALUE (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print each machine by a Go template; with `table ` before it, as a table
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<String>,
    /// Seconds to wait for answers
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
    timeout: u64,
    /// docker-machine takes no notice of them.
    #[arg(hide = true, value_name = "WORD")]
    others: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    if let Some(word) = args.others.first().filter(|_| !context.dialect.is_docker_machine()) {
        return Err(Error::usage(format!("\"{word}\" is one argument too many"))
            .hint(format!("`rmachine ls --filter name={word}` shows some machines only")));
    }
    let filter = Filter::parse(&args.filter)?;
    // docker-machine's own table, with its columns, where its callers count them.
    let own = context.dialect.is_docker_machine().then_some("");
    let format = args.format.as_deref().or(own).filter(|_| !args.quiet && !args.json);
    let format = format.map(Format::parse).transpose()?;
    if args.quiet && !filter.needs_state() && args.filter.is_empty() {
        let mut names = context.core.store().names()?;
        names.sort_by(|a, b| natural(a, b));
        return ui::print(&names.iter().map(|name| format!("{name}\n")).collect::<String>());
    }
    let mut lines = if args.quiet && !filter.needs_state() {
        context.core.list_recorded(&filter)?
    } else {
        context.run(context.core.list(&filter, Duration::from_secs(args.timeout)))?
    };
    lines.sort_by(|a, b| natural(&a.name, &b.name));
    for error in lines.iter_mut().filter_map(|line| line.error.as_mut()) {
        *error = context.dialect.commands(error).into_owned();
    }
    if args.json {
        let json = serde_json::to_string_pretty(&lines)
            .map_err(|e| Error::new(Kind::Failure, "the list cannot be printed").source(e))?;
        return ui::print(&format!("{json}\n"));
    }
    if args.quiet {
        return ui::print(&lines.iter().map(|line| format!("{}\n", line.name)).collect::<String>());
    }
    if let Some(format) = format {
        return ui::print(&format.render(&lines, |name| context.core.store().load_document(name).ok())?);
    }
    ui::print(&table(&lines))
}

fn table(lines: &[Listed]) -> String {
    let rows = lines.iter().map(|line| {
        [
            line.name.clone(),
            if line.active { "*" } else { "-" }.to_owned(),
            line.driver.clone(),
            line.state.word().to_owned(),
            line.url.clone().unwrap_or_default(),
            String::new(),
            line.docker.clone().unwrap_or_else(|| "Unknown".to_owned()),
            cert(line),
            line.error.clone().unwrap_or_default(),
        ]
    });
    holdings::table(["NAME", "ACTIVE", "DRIVER", "STATE", "URL", "SWARM", "DOCKER", "CERT", "ERRORS"], rows)
}

/// How long the certificates of a machine are good for.
fn cert(line: &Listed) -> String {
    match line.cert_days {
        Some(days) if days < 0 => "expired".to_owned(),
        Some(days) => format!("{days}d"),
        None => String::new(),
    }
}

/// The order in which people count: `m2` before `m10`, without case.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (parts(a), parts(b));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (left, right) => left.cmp(&right),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A name as runs of digits, by length and value, and the letters between, in lower case.
fn parts(name: &str) -> impl Iterator<Item = (usize, String)> {
    let runs = name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    runs.map(|run| {
        let text = String::from_utf8_lossy(run).to_lowercase();
        if run[0].is_ascii_digit() {
            let number = text.trim_start_matches('0').to_owned();
            (number.len(), number)
        } else {
            // Behind all numbers.
            (usize::MAX, text)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn names_are_in_the_order_in_which_people_count() {
        let mut names = ["m10", "mB", "m2", "ma", "m1", "m02", "M3", "10", "9-b", "9", "a-100000000000000000000000000"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            ["9", "9-b", "10", "a-100000000000000000000000000", "m1", "m02", "m2", "M3", "m10", "ma", "mB"]
        );
    }
}
