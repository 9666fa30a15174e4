//! `rmachine completion`, and the answers to the shells that have run what it prints.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    process::ExitCode,
};

use clap::Arg;
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter},
    env::Shells,
};
use rmachine_model::{
    drivers::Drivers,
    error::{Error, Kind, Result},
};
use rmachine_store::Store;

use super::{
    Context,
    dialect::{Dialect, program_name},
    store_root, ui,
};

/// The variable by which a shell asks.
const VARIABLE: &str = "RMACHINE_COMPLETE";

/// Print a script for a shell that completes commands, flags and machines
///
/// It asks this program for each word, so that it fits the version that is installed and the machines that there are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, each for the start-up file of its shell:
  source <(rmachine completion bash)
  source <(rmachine completion zsh)     # after compinit
  rmachine completion fish | source
  rmachine completion powershell | Out-String | Invoke-Expression")]
pub struct Args {
    /// Which shell
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish", "powershell", "elvish"])]
    shell: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let failed = || Error::new(Kind::Failure, format!("the script for {} cannot be made", args.shell));
    let shells = Shells::builtins();
    let shell = shells.completer(&args.shell).ok_or_else(failed)?;
    // By its name it is found in PATH then, too; called by a path, that one is meant.
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let completer = match called.components().count() {
        0 | 1 => context.program.clone(),
        _ => std::path::absolute(&called).unwrap_or(called).to_string_lossy().into_owned(),
    };
    let name = context.program.replace('-', "_");
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, &name, &context.program, &completer, &mut script)
        .map_err(|e| failed().source(e))?;
    ui::print(&String::from_utf8_lossy(&script))
}

/// Answers a shell that completes; `None` when this is a run like others.
pub(super) fn answer(drivers: &Drivers, arguments: &[OsString]) -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let here = std::env::current_dir().ok();
    let complete = CompleteEnv::with_factory(|| with_candidates(drivers, arguments)).var(VARIABLE);
    match complete.try_complete(arguments, here.as_deref()) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => {
            // A shell that completes shows nothing; a user who tries it by hand sees why.
            let _ = error.print();
            Some(ExitCode::FAILURE)
        }
    }
}

/// The command, which knows what its words may be.
fn with_candidates(drivers: &Drivers, arguments: &[OsString]) -> clap::Command {
    let names: Vec<String> = drivers.iter().map(|driver| driver.info().name.clone()).collect();
    let machines = machines(arguments);
    super::command(drivers, arguments).mut_subcommands(|command| {
        let makes = matches!(command.get_name(), "create" | "adopt");
        command.mut_args(|arg| {
            let value = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default();
            match value.as_str() {
                // `rename OLD NEW`: the new one is no machine's.
                "NAME" | "OLD" if arg.is_positional() && !makes => {
                    let machines = machines.clone();
                    arg.add(ArgValueCandidates::new(move || machines.iter().map(CompletionCandidate::new).collect()))
                }
                "PLACE" => place(arg, machines.clone()),
                "DRIVER" => {
                    let names = names.clone();
                    arg.add(ArgValueCandidates::new(move || names.iter().map(CompletionCandidate::new).collect()))
                }
                _ => arg,
            }
        })
    })
}

/// `MACHINE:`, and the files of this computer.
fn place(arg: Arg, machines: Vec<String>) -> Arg {
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let typed_text = typed.to_string_lossy();
        let fitting = machines.iter().filter(|name| name.starts_with(&*typed_text));
        let mut all: Vec<_> = fitting.map(|name| CompletionCandidate::new(format!("{name}:"))).collect();
        all.extend(PathCompleter::any().complete(typed));
        all
    }))
}

/// The machines of the store that `arguments` mean; none where there is no store.
fn machines(arguments: &[OsString]) -> Vec<String> {
    let given = typed_store(arguments).or_else(|| std::env::var_os("MACHINE_STORAGE_PATH")).map(PathBuf::from);
    let root = store_root(given.as_deref(), Dialect::of(&program_name(arguments)));
    root.and_then(|root| Store::at(root).names()).unwrap_or_default()
}

/// The store that `arguments` name: `-s DIR`, `--storage-path DIR`, and both with `=`. bash makes that a word of its own.
fn typed_store(arguments: &[OsString]) -> Option<OsString> {
    arguments.iter().enumerate().find_map(|(at, word)| {
        let word = word.as_bytes();
        let after = ["--storage-path", "-s"].iter().find_map(|flag| word.strip_prefix(flag.as_bytes()))?;
        match after {
            b"" if arguments.get(at + 1).is_some_and(|next| next == "=") => arguments.get(at + 2).cloned(),
            b"" => arguments.get(at + 1).cloned(),
            [b'=', path @ ..] => Some(OsStr::from_bytes(path).to_owned()),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::typed_store;

    #[test]
    fn a_store_is_typed_in_several_ways() {
        for words in ["-s /x", "-s=/x", "--storage-path /x", "--storage-path=/x", "-s = /x", "--storage-path = /x"] {
            let line: Vec<_> = format!("rmachine {words} ip").split(' ').map(Into::into).collect();
            assert_eq!(typed_store(&line), Some("/x".into()), "{words}");
        }
        for words in ["ssh m", "--storage-pathology=/x", "-sx", "-s"] {
            let line: Vec<_> = format!("rmachine {words}").split(' ').map(Into::into).collect();
            assert_eq!(typed_store(&line), None, "{words}");
        }
    }
}
