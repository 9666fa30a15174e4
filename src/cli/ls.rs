//! `rmachine ls`.

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::{Context, ls_format::Format, ui};
use crate::{
    error::{Error, Kind, Result},
    machine::{Filter, Listed},
};

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
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let filter = Filter::parse(&args.filter)?;
    // docker-machine's own table, with its columns, where its callers count them.
    let own = context.dialect.is_docker_machine().then_some("");
    let format = args.format.as_deref().or(own).filter(|_| !args.quiet && !args.json);
    let format = format.map(Format::parse).transpose()?;
    if args.quiet && !filter.needs_state() && args.filter.is_empty() {
        let mut names = context.core.store.names()?.join("\n");
        if !names.is_empty() {
            names.push('\n');
        }
        return ui::print(&names);
    }
    let lines = if args.quiet && !filter.needs_state() {
        context.core.list_recorded(&filter)?
    } else {
        context.run(context.core.list(&filter, Duration::from_secs(args.timeout)))?
    };
    if args.json {
        let json = serde_json::to_string_pretty(&lines)
            .map_err(|e| Error::new(Kind::Failure, "the list cannot be printed").source(e))?;
        return ui::print(&format!("{json}\n"));
    }
    if args.quiet {
        return ui::print(&lines.iter().map(|line| format!("{}\n", line.name)).collect::<String>());
    }
    if let Some(format) = format {
        return ui::print(&format.render(&lines, |name| context.core.store.load_document(name).ok())?);
    }
    ui::print(&table(&lines))
}

fn table(lines: &[Listed]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["NAME", "ACTIVE", "DRIVER", "STATE", "URL", "SWARM", "DOCKER", "CERT", "ERRORS"]);
    for line in lines {
        table.add_row([
            line.name.as_str(),
            if line.active { "*" } else { "-" },
            &line.driver,
            line.state.word(),
            line.url.as_deref().unwrap_or_default(),
            "",
            line.docker.as_deref().unwrap_or("Unknown"),
            &cert(line),
            line.error.as_deref().unwrap_or_default(),
        ]);
    }
    let text = table.to_string();
    text.lines().map(|line| format!("{}\n", line.trim())).collect()
}

/// How long the certificates of a machine are good for.
fn cert(line: &Listed) -> String {
    match line.cert_days {
        Some(days) if days < 0 => "expired".to_owned(),
        Some(days) => format!("{days}d"),
        None => String::new(),
    }
}
