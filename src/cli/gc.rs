//! `rmachine gc`.

use std::time::Duration;

use clap::ArgMatches;
use rmachine_core::{GcOptions, GcReport, Standing};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::Owner;

use super::{
    Context,
    flags::{self, Which},
    holdings, ui,
};

/// Find what machines left behind, and delete it with --yes
///
/// Looks for everything that carries rmachine's tags and has no record in this store: where machines of
/// the store are or ever were, or where --driver and its flags say. Without --yes nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine gc                              what is left, with age, owner and monthly cost
  rmachine gc --yes                        delete what this store left
  rmachine gc --driver amazonec2 --region us-east-1 --region eu-west-1
  rmachine gc --driver amazonec2 --owner 5f0c… --yes
                                           delete what a lost store left; others' things are listed, never touched
  rmachine gc --all-regions --older-than 2h --json")]
pub struct Args {
    /// Look where this driver's flags say, instead of everywhere that the store knows
    #[arg(short, long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Look in this region (may be repeated)
    #[arg(long = "region", value_name = "REGION", value_delimiter = ',')]
    regions: Vec<String>,
    /// Look in all regions of the account
    #[arg(long, conflicts_with = "regions")]
    all_regions: bool,
    /// Take this store for one's own: its id, as the list shows it
    #[arg(long, value_name = "ID")]
    owner: Option<Owner>,
    /// Leave alone what is younger: 90s, 30m, 2h or 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Delete; without it the list is all there is
    #[arg(short = 'y', long = "yes")]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads `90s`, `30m`, `2h`, `7d`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; one is 90s, 30m, 2h or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

pub(super) fn run(context: &Context, args: &Args, matches: &ArgMatches) -> Result<()> {
    let drivers = context.core.drivers();
    let driver = match args.driver.as_ref().filter(|name| !name.is_empty()) {
        Some(name) => {
            let values =
                flags::values(drivers, drivers.get(name)?.as_ref(), matches, Which::Connecting, context.dialect)?;
            Some((name.clone(), values))
        }
        None => {
            if let Some(flag) = flags::any_given(drivers, matches) {
                return Err(Error::usage(format!("--{flag} needs --driver"))
                    .hint("without --driver, gc looks wherever this store has made machines"));
            }
            None
        }
    };
    let options = GcOptions {
        driver,
        regions: args.regions.clone(),
        all_regions: args.all_regions,
        owner: args.owner.clone(),
        older_than: args.older_than,
        delete: args.yes,
    };
    let mut report = context.run(context.core.gc(&options))?;
    if args.json {
        let json = serde_json::to_string_pretty(&report)
            .map_err(|e| Error::new(Kind::Failure, "the list cannot be printed").source(e))?;
        ui::print(&format!("{json}\n"))?;
    } else {
        ui::print(&list(&report))?;
        conclude(context, args, &report);
    }
    let result = report.conclude();
    for failure in &report.failures {
        context.terminal.fail(failure);
    }
    result
}

fn list(report: &GcReport) -> String {
    if report.found.is_empty() {
        return String::new();
    }
    let rows = report.found.iter().map(|orphan| {
        let [kind, id, place, age, detail, cost] = holdings::cells(&orphan.resource);
        let whose = match orphan.standing {
            Standing::Orphan => "this store".to_owned(),
            Standing::Young => "(too young)".to_owned(),
            Standing::Named | Standing::Foreign => {
                orphan.resource.owner.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
            }
        };
        let machine = orphan.resource.machine.clone().unwrap_or_else(|| "-".to_owned());
        [machine, kind, id, place, age, whose, cost, detail]
    });
    holdings::table(["MACHINE", "KIND", "ID", "PLACE", "AGE", "OWNER", "USD/MONTH", "DETAIL"], rows)
}

fn conclude(context: &Context, args: &Args, report: &GcReport) {
    let say = |line: String| context.terminal.say(&line);
    let program = &context.called;
    let count = report.found.iter().filter(|orphan| orphan.standing.is_deleted()).count();
    let foreign = report.found.iter().filter(|orphan| orphan.standing == Standing::Foreign).count();
    if !report.places.is_empty() {
        say(format!("Looked at: {}.", report.places.join("; ")));
    }
    let (usd, known) = report.monthly_usd();
    let about = format!("{}{usd:.2} US dollars a month", if known { "about " } else { "at least " });
    match (args.yes, count) {
        // The failures that follow say why this is no answer.
        (_, 0) if !report.failures.is_empty() => {}
        (_, 0) if args.owner.is_some() => say("That store has left nothing there.".to_owned()),
        (_, 0) => say("This store has left nothing there.".to_owned()),
        (true, _) => say(format!("Deleted {} of {count} things ({about}).", report.deleted)),
        (false, _) => {
            say(format!("{count} things without a record cost {about}. Nothing was deleted: add --yes for that."));
        }
    }
    for forgotten in &report.forgotten {
        let (name, path) = (&forgotten.machine, forgotten.directory.display());
        say(format!("Machine \"{name}\" was forgotten by force; `{program} gc --yes` finishes its removal ({path})."));
    }
    if foreign > 0 && args.owner.is_none() {
        say(format!(
            "{foreign} things belong to other stores and may be in use: `{program} gc --owner ID --yes` deletes those of a lost one."
        ));
    }
}
