//! `rmachine import`.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use rmachine_core::{
    ArchiveOptions, Consent, FirstContact, ImportOptions, ImportReport, Opener, Outcome, TakenAuthority,
};
use rmachine_model::error::{Error, Kind, Result};

use super::{Context, names, secret_file, ui};

/// An archive is no larger than this; a machine has some 50 KB.
const MOST: u64 = 64 << 20;

/// Take over the machines of docker-machine, or of an archive that `export` made
///
/// A directory is docker-machine's store. It is only read: records, login keys and certificates are copied, cloud keys
/// go to a private file, and docker clients go on as before. Where it is the store in use itself, its records get a section
/// of ours in their place. Hosts that answer have their key pinned and certificates
/// that have expired renewed; the others wait. A second run takes what is new.
///
/// Records were written by others, so little of them is believed: addresses, ids and names, each checked. Whom calls would
/// go to is shown and asked for first. Without a terminal and without --yes nobody is asked over the network, and an archive
/// is taken with --keep-owner only.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine import                                   all machines of ~/.docker/machine
  rmachine import --dry-run /backup/machine         what would be taken, and changes nothing
  rmachine import --machine web --trust-on-first-use
                                                    one machine; the key that its host shows now is trusted
  rmachine import machines.age                      an archive; asks for its passphrase
  rmachine import --identity key.txt machines.age   an archive for a key
  rmachine import --passphrase-file pass --yes machines.age
                                                    in a script: agrees with what --dry-run shows")]
pub struct Args {
    /// docker-machine's store, or an archive (- for standard input); else $MACHINE_STORAGE_PATH or ~/.docker/machine
    #[arg(value_name = "SOURCE")]
    source: Option<PathBuf>,
    /// Take this machine only (may be repeated)
    #[arg(long = "machine", value_name = "NAME")]
    machines: Vec<String>,
    /// Show what would be taken, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Trust the host keys that are shown now, where no known_hosts file has them; docker-machine pinned none
    #[arg(long)]
    trust_on_first_use: bool,
    /// The host key, or its fingerprint, of the one machine that --machine names
    #[arg(long, value_name = "KEY", conflicts_with_all = ["trust_on_first_use", "offline"])]
    host_key: Option<String>,
    /// Ask nobody over the network: host keys are pinned and certificates renewed later
    #[arg(long)]
    offline: bool,
    /// File with the passphrase of an archive, on its first line (- for standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    passphrase_file: Option<PathBuf>,
    /// File with the private key of an archive for keys: of age, or of SSH (may be repeated)
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Agree with the hosts, accounts and endpoints that the records name, without being asked
    #[arg(short = 'y', long)]
    yes: bool,
    /// Leave the machines of an archive to the store that they come from, as their tags have it
    #[arg(long)]
    keep_owner: bool,
    /// Leave those whom a machine of an archive is shared with their access; else their shares end
    #[arg(long)]
    keep_shares: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &mut Context, args: &Args) -> Result<()> {
    if args.trust_on_first_use {
        context.core.set_first_contact(FirstContact::Take);
    }
    if let Some(key) = &args.host_key {
        if args.machines.len() != 1 {
            return Err(Error::usage("--host-key is the key of one machine").hint("name that with --machine NAME"));
        }
        context.core.set_first_contact(FirstContact::Given(key.clone()));
    }
    let source = match &args.source {
        Some(source) => source.clone(),
        None => default_source(context)?,
    };
    let report = if source.as_os_str() == "-" || source.is_file() {
        if args.host_key.is_some() {
            return Err(Error::usage(
                "--host-key is for docker-machine's machines: an archive has the keys of its hosts",
            ));
        }
        archive(context, args, &source)?
    } else {
        for (given, flag) in [
            (args.passphrase_file.is_some(), "--passphrase-file"),
            (!args.identity.is_empty(), "--identity"),
            (args.keep_owner, "--keep-owner"),
            (args.keep_shares, "--keep-shares"),
        ] {
            if given {
                return Err(Error::usage(format!("{flag} is for archives, and {} is none", source.display()))
                    .hint("an archive is a file that `rmachine export` made"));
            }
        }
        let source = std::path::absolute(&source)
            .map_err(|e| Error::usage(format!("invalid directory {}", source.display())).source(e))?;
        let options = ImportOptions {
            source,
            machines: names::unique(&args.machines),
            dry_run: args.dry_run,
            offline: args.offline,
            consent: consent(args),
        };
        context.run(context.core.import(&options))?
    };
    conclude(context, args, report)
}

fn consent(args: &Args) -> Consent {
    if args.yes { Consent::Given } else { Consent::Ask }
}

fn default_source(context: &Context) -> Result<PathBuf> {
    let named = std::env::var_os("MACHINE_STORAGE_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    // Where it names a store that is rmachine's already, it is not docker-machine's that is meant.
    let is_ours = |path: &PathBuf| path.as_path() == context.core.store().root() && path.join("rmachine.json").exists();
    if let Some(path) = named.filter(|path| !is_ours(path)) {
        return Ok(path);
    }
    let dirs = directories::BaseDirs::new().ok_or_else(|| {
        Error::usage("there is no home directory to look for docker-machine's store in")
            .hint("name it: `rmachine import DIR`")
    })?;
    Ok(dirs.home_dir().join(".docker").join("machine"))
}

fn archive(context: &Context, args: &Args, source: &Path) -> Result<ImportReport> {
    if source.as_os_str() == "-" && args.passphrase_file.as_deref() == Some(Path::new("-")) {
        return Err(Error::usage("the archive and its passphrase cannot both come from the standard input"));
    }
    let sealed = read_archive(source)?;
    let options = ArchiveOptions {
        machines: names::unique(&args.machines),
        keep_owner: args.keep_owner,
        keep_shares: args.keep_shares,
        offline: args.offline,
        dry_run: args.dry_run,
        consent: consent(args),
    };
    let ask = || match &args.passphrase_file {
        Some(file) => secret_file::first_line(file),
        None => context
            .terminal
            .secret("Enter the passphrase of the archive: ")
            .map_err(|why| why.error("the archive wants a passphrase", "give it with --passphrase-file FILE")),
    };
    let opener = match args.identity.as_slice() {
        [] => Opener::Passphrase(&ask),
        files => Opener::Keys(files.iter().map(|file| secret_file::whole(file)).collect::<Result<_>>()?),
    };
    context.run(context.core.import_archive(source, &sealed, &opener, &options))
}

fn read_archive(source: &Path) -> Result<Vec<u8>> {
    let unread =
        |e: io::Error| Error::new(Kind::Failure, format!("cannot read the archive {}", source.display())).source(e);
    let mut bytes = Vec::new();
    if source.as_os_str() == "-" {
        io::stdin().lock().take(MOST + 1).read_to_end(&mut bytes).map_err(unread)?;
    } else {
        std::fs::File::open(source).map_err(unread)?.take(MOST + 1).read_to_end(&mut bytes).map_err(unread)?;
    }
    if bytes.len() as u64 > MOST {
        return Err(Error::new(Kind::Store, "the archive is too large to be one of rmachine's"));
    }
    Ok(bytes)
}

/// Prints what was done; a machine that failed is an error of the whole.
fn conclude(context: &Context, args: &Args, mut report: ImportReport) -> Result<()> {
    if args.json {
        let json = serde_json::to_string_pretty(&report)
            .map_err(|e| Error::new(Kind::Failure, "the report cannot be printed").source(e))?;
        ui::print(&format!("{json}\n"))?;
    } else {
        for taken in &report.machines {
            let voice = context.core.talk().about(&taken.name);
            taken.notes.iter().for_each(|note| voice.warn(note));
        }
        let rows = report.machines.iter().map(|taken| {
            let driver = taken.driver.clone().unwrap_or_else(|| "-".to_owned());
            [taken.name.clone(), driver, taken.outcome.word().to_owned()]
        });
        let table: Vec<[String; 3]> = rows.collect();
        if !table.is_empty() {
            ui::print(&super::holdings::table(["NAME", "DRIVER", "RESULT"], table))?;
        }
        say(context, args, &report);
    }
    let failed: Vec<Error> = report.machines.iter_mut().filter_map(|taken| taken.error.take()).collect();
    let mut failed = failed.into_iter().rev();
    let Some(last) = failed.next() else { return Ok(()) };
    failed.rev().for_each(|error| context.terminal.fail(&error));
    Err(last)
}

fn say(context: &Context, args: &Args, report: &ImportReport) {
    let count = |outcome| report.machines.iter().filter(|taken| taken.outcome == outcome).count();
    let done = count(Outcome::Imported);
    if report.machines.is_empty() {
        context.terminal.say(&format!("There is no machine in {}.", report.source.display()));
    }
    match report.authority {
        TakenAuthority::Taken if args.dry_run => context.terminal.say("docker-machine's CA would be this store's."),
        TakenAuthority::Taken => context
            .terminal
            .say("docker-machine's CA is this store's now: whoever has its certificates goes on with them."),
        TakenAuthority::Unusable => {
            context.terminal.say("docker-machine's CA has expired or is not whole, so this store has one of its own.");
        }
        TakenAuthority::Same | TakenAuthority::Other => {}
    }
    if done > 0 {
        let (program, source) = (&context.called, &report.source);
        let whole = |path: &Path| std::fs::canonicalize(path).ok();
        let said = match whole(source) == whole(context.core.store().root()) {
            true => format!("{done} imported where they are"),
            false => format!("{done} imported; {} was only read", source.display()),
        };
        context.terminal.say(&format!("{said}. See them with: {program} ls"));
    }
}
