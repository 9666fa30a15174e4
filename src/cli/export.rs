//! `rmachine export`.

use std::path::{Path, PathBuf};

use rmachine_core::Sealer;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::atomic;
use zeroize::Zeroizing;

use super::{Context, names, secret_file, ui};

/// Write machines to an encrypted file, for another store to go on with
///
/// The file holds all that gives root on the machines: records, login keys, certificates, and cloud keys that are stored
/// for them; not the key of the CA. `import` reads it. The machines stay in this store as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine export -o machines.age web db             asks for a passphrase
  rmachine export -o web.age --passphrase-file pass web
  rmachine export -o web.age --recipient age1… web   for the owner of an age key
  rmachine export -o - --recipient \"$(cat ~/.ssh/id_ed25519.pub)\" web | ssh other rmachine import --identity key -")]
pub struct Args {
    /// Machines to export
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// File to write; one that is there is never overwritten (- for standard output)
    #[arg(short, long, value_name = "FILE", required = true)]
    output: PathBuf,
    /// File with the passphrase, on its first line (- for standard input); else it is asked for
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    passphrase_file: Option<PathBuf>,
    /// Encrypt for this key instead: age1…, or a public key of SSH (may be repeated)
    #[arg(long, value_name = "KEY")]
    recipient: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let to_stdout = args.output.as_os_str() == "-";
    if !to_stdout && args.output.symlink_metadata().is_ok() {
        return Err(there(&args.output));
    }
    if to_stdout && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return Err(Error::usage("an archive is no text for a terminal").hint("write it to a file with -o FILE"));
    }
    let names = names::unique(&args.names);
    // What cannot be exported is said before a passphrase is asked for.
    for name in &names {
        context.core.store().load(name)?;
    }
    let sealer = if args.recipient.is_empty() {
        Sealer::passphrase(passphrase(context, args)?)?
    } else {
        let keys: Vec<String> = args.recipient.iter().map(|text| text.trim().to_owned()).collect();
        Sealer::keys(&keys)?
    };
    let exported = context.core.export(&names, &sealer)?;
    for (name, note) in &exported.notes {
        context.core.talk().about(name).warn(note);
    }
    if to_stdout {
        ui::print_bytes(&exported.bytes)?;
    } else {
        write(&args.output, &exported.bytes)?;
    }
    context.terminal.say(&format!(
        "{} in {}. Whoever can open it has root on them. Read it elsewhere with: {} import FILE",
        names.join(", "),
        if to_stdout { "the standard output".to_owned() } else { args.output.display().to_string() },
        context.program
    ));
    Ok(())
}

fn passphrase(context: &Context, args: &Args) -> Result<Zeroizing<String>> {
    if let Some(file) = &args.passphrase_file {
        return secret_file::first_line(file);
    }
    let ask = |question| {
        context.terminal.secret(question).map_err(|why| {
            why.error(
                "an archive needs a passphrase",
                "give it with --passphrase-file FILE, or encrypt for a key with --recipient KEY",
            )
        })
    };
    let first = ask("Enter a passphrase for the archive: ")?;
    // One that will not do is not typed twice.
    Sealer::passphrase(first.clone())?;
    if first != ask("Enter it again: ")? {
        return Err(Error::usage("the two passphrases differ; nothing was written"));
    }
    Ok(first)
}

fn there(path: &Path) -> Error {
    Error::usage(format!("{} is there already, and is not overwritten", path.display()))
        .hint("name another file, or remove it")
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let path =
        std::path::absolute(path).map_err(|e| Error::usage(format!("invalid file {}", path.display())).source(e))?;
    atomic::write_new(&path, bytes, atomic::PRIVATE).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => there(&path),
        _ => {
            Error::new(Kind::Failure, format!("cannot write {}", path.display())).source(e).hint("nothing was written")
        }
    })
}
