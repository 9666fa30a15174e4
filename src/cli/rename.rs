//! `rmachine rename`.

use rmachine_model::error::Result;

use super::Context;

/// Give a machine another name
///
/// The name changes here, in the tags of the cloud, and in the certificate of the engine, whose containers run on. The
/// host's own name stays. Shells that have the old name in their environment need a new `eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine rename build-1 build-old
  rmachine rename --offline web db     leaves the certificate for the next command that renews it")]
pub struct Args {
    /// Its name now
    #[arg(value_name = "OLD")]
    old: String,
    /// Its new name
    #[arg(value_name = "NEW")]
    new: String,
    /// Do not change the engine's certificate now; clients dial an address, so they work all the same
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (old, new, program) = (&args.old, &args.new, &context.called);
    context.run(context.core.rename(old, new))?;
    context.terminal.say(&format!(
        "Machine \"{old}\" is called \"{new}\" now. Point docker at it with: eval $({program} env {new})"
    ));
    if args.offline {
        return Ok(());
    }
    // The rename is done; a certificate that waits is no failure of it.
    if let Err(error) = context.run(context.core.follow_name(new)) {
        let causes = error.causes().into_iter().next().map(|cause| format!(" ({cause})")).unwrap_or_default();
        let hints = error.hints().first().map(|hint| format!("; {hint}")).unwrap_or_default();
        context.terminal.say(&format!("Warning: ({new}) {error}{causes}{hints}"));
    }
    Ok(())
}
