//! `rmachine rm`.

use rmachine_core::{RemoveMode, Talk, for_each};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_text::printable;

use super::{Context, holdings, names, ui};

/// Remove machines with all that was made for them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine rm aws-test        asks first
  rmachine rm -y one two      does not ask; both at once
  rmachine rm --dry-run one   what would go, and what it costs a month
  rmachine rm -f broken       forgets the record also when the cloud cannot be asked")]
pub struct Args {
    /// Names of the machines
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Forget the record even when the cloud refuses; what may be left is said. Does not ask
    #[arg(short, long)]
    force: bool,
    /// Do not ask
    #[arg(short = 'y', long = "yes")]
    yes: bool,
    /// Show what would be deleted, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = names::unique(&args.names);
    if args.dry_run {
        return look(context, &names);
    }
    let drop_in = context.dialect.is_docker_machine();
    if drop_in {
        context.terminal.say(&format!("About to remove {}", names.join(", ")));
        context.terminal.say("WARNING: This action will delete both local reference and remote instance.");
    }
    if drop_in && !args.yes && !args.force {
        // Scripts answer it through a pipe.
        if !context.terminal.confirm_line("Are you sure? (y/n): ") {
            return Err(Error::usage("nothing was removed: not confirmed"));
        }
    } else if !args.yes && !args.force {
        let question = format!("remove {} with all data on it?", names.join(", "));
        match context.terminal.confirm(&question) {
            Some(true) => {}
            Some(false) => return Err(Error::usage("nothing was removed: not confirmed")),
            None => {
                return Err(Error::usage("nothing was removed: there is no terminal to confirm on")
                    .hint("add -y to remove without a question"));
            }
        }
    }
    let mode = if args.force { RemoveMode::Force } else { RemoveMode::Normal };
    names::each(
        context,
        &names,
        |name| async move {
            let removed = context.core.remove(name, mode).await.map_err(|error| {
                let what = error.known_as_text().map_or_else(|| error.to_string(), str::to_owned);
                error.known_as(format!("Error removing host \"{name}\": {}", printable::line(&what)))
            });
            match removed {
                // Scripts clean up with it, whether there is something or not.
                Err(error) if drop_in && args.force && error.kind() == Kind::NoSuchMachine => {
                    context.terminal.fail(&error);
                    Ok(false)
                }
                removed => removed.map(|()| true),
            }
        },
        |name, removed| {
            let own = format!("Machine \"{name}\" is removed.");
            removed.then(|| context.dialect.words(&own, &format!("Successfully removed {name}")).to_owned())
        },
    )
}

/// What the providers hold for `names`.
fn look(context: &Context, names: &[String]) -> Result<()> {
    let results = context.run(async { Ok(for_each(names, |name| context.core.holdings(name)).await) })?;
    let (mut rows, mut failures, mut usd) = (Vec::new(), names::Failures::of(context), 0.0);
    for (name, result) in results {
        match result {
            Ok(found) => rows.extend(found.iter().map(|resource| {
                usd += resource.monthly_usd.unwrap_or(0.0);
                let [kind, id, place, age, detail, cost] = holdings::cells(resource);
                [name.to_owned(), kind, id, place, age, cost, detail]
            })),
            Err(error) => failures.add(error),
        }
    }
    let count = rows.len();
    if count > 0 {
        ui::print(&holdings::table(["MACHINE", "KIND", "ID", "PLACE", "AGE", "USD/MONTH", "DETAIL"], rows))?;
    }
    context.terminal.say(&format!(
        "Nothing was removed. It would be {count} things ({usd:.2} US dollars a month) and the record of {}.",
        names.join(", ")
    ));
    failures.last()
}
