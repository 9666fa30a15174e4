//! `rmachine share`.

use std::{
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use rmachine_certs::Recipient;
use rmachine_core::{Given, Share, ShareState};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::atomic;
use serde::Serialize;
use time::OffsetDateTime;

use super::{Context, gc, holdings, parcel, ui};

/// Give somebody access to one machine's engine, until it ends
///
/// The other one sends a public key or a certificate request and gets a certificate for it; no private key travels. It
/// opens this machine and no other, and is root on it until the time is over or `rmachine unshare` ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem    the other one makes a key
  openssl pkey -in key.pem -pubout -out pub.pem                                  and sends pub.pem
  rmachine share build-7 --to pub.pem --ttl 8h                                   writes build-7-share/
  rmachine share build-7                                                         lists its shares
  rmachine share build-7 --ca >ca.pem                                            what they need after rotate-ca
  rmachine unshare build-7 --all                                                 ends them")]
pub struct Args {
    /// Name of the machine
    #[arg(value_name = "NAME")]
    name: String,
    /// File with the other one's public key or certificate request in PEM; - is the standard input
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// How long: 30m, 8h, 7d
    #[arg(long, value_name = "TIME", value_parser = gc::age, default_value = "8h", requires = "to")]
    ttl: Duration,
    /// Directory to write for the other one [default: NAME-share]
    #[arg(short, long, value_name = "DIR", requires = "to")]
    output: Option<PathBuf>,
    /// Print the ca.pem that those it is shared with need, such as after `rotate-ca`
    #[arg(long, conflicts_with_all = ["to", "json"])]
    ca: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (core, name) = (&context.core, &args.name);
    if args.ca {
        return ui::print(&core.ca_of_shares(name)?);
    }
    let Some(to) = &args.to else {
        core.store().load(name)?;
        return list(&core.shares(name)?, args.json);
    };
    let recipient = Recipient::parse(&read(to)?)?;
    let directory = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}-share")));
    let life = time::Duration::try_from(args.ttl).map_err(|e| Error::usage("invalid --ttl").source(e))?;
    let made = parcel::prepare(core, name, &directory)?;
    let hand_over = |given: &Given| parcel::write(&directory, name, given);
    let given = context.run(core.share(name, &recipient, life, hand_over)).inspect_err(|_| {
        if made && let Err(error) = atomic::remove_directory(&directory) {
            tracing::debug!("{} stays: {error}", directory.display());
        }
    })?;
    if args.json {
        let text = serde_json::json!({
            "id": given.share.id, "key": given.share.key, "until": until(&given.share), "url": given.url, "directory": directory,
        });
        return ui::print(&format!("{text:#}\n"));
    }
    let say = |line: String| context.terminal.say(&line);
    say(format!("Machine \"{name}\" is shared until {} (share {}).", until(&given.share), given.share.id));
    say(format!("Send {} to the other one: {} in it says what to do with it.", directory.display(), parcel::README));
    say(format!(
        "Where a firewall admits your address only, `{} allow {name} YOURS OTHERS` admits both.",
        context.called
    ));
    Ok(())
}

/// A share as it stands now.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Standing<'a> {
    #[serde(flatten)]
    share: &'a Share,
    state: ShareState,
    seconds_left: i64,
}

fn list(shares: &[Share], json: bool) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let standing =
        shares.iter().map(|share| Standing { share, state: share.state(now), seconds_left: share.seconds_left(now) });
    if json {
        let text = serde_json::to_string_pretty(&standing.collect::<Vec<_>>())
            .map_err(|e| Error::new(Kind::Failure, "the list cannot be printed").source(e))?;
        return ui::print(&format!("{text}\n"));
    }
    if shares.is_empty() {
        return Ok(());
    }
    let rows = standing.map(|Standing { share, state, seconds_left }| {
        let left = holdings::span(seconds_left);
        [share.id.clone(), state.word().to_owned(), left, until(share), share.key.clone()]
    });
    ui::print(&holdings::table(["ID", "STATE", "LEFT", "UNTIL", "KEY"], rows))
}

pub(super) fn until(share: &Share) -> String {
    share.until.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| share.until.to_string())
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let result = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    result.map_err(|e| {
        Error::usage(format!("cannot read {}", path.display())).source(e).hint(
            "--to takes a file with the other one's public key or certificate request in PEM; - is the standard input",
        )
    })?;
    Ok(text)
}
