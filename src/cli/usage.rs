//! Wrong command lines, in the words and the form of all our errors.

use std::{ffi::OsString, process::ExitCode};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use rmachine_model::error::{Error, Kind};

use super::ui::Terminal;

/// Answers what clap could not parse: the help where it was asked for, else an error.
pub(super) fn answer(
    error: &clap::Error,
    command: &clap::Command,
    arguments: &[OsString],
    terminal: &Terminal,
) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayVersion if terminal.dialect().is_docker_machine() => {
            let _ = super::ui::print(&format!("{}\n", terminal.dialect().version("docker-machine")));
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
            if terminal.dialect().is_docker_machine() && subcommand(command, arguments).is_none() =>
        {
            let _ = super::ui::print(&terminal.dialect().help(&command.clone().render_help().to_string()));
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelp if terminal.dialect().is_docker_machine() => {
            let _ = super::ui::print(&terminal.dialect().help(&error.to_string()));
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nothing can be said when even this cannot be printed.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            terminal.say_block(command.clone().render_help().to_string().trim_end());
            terminal.dialect().exit_code(&Error::new(Kind::Usage, String::new()))
        }
        _ => {
            let error = explain(error, subcommand(command, arguments));
            terminal.fail(&error);
            terminal.dialect().exit_code(&error)
        }
    }
}

fn explain(error: &clap::Error, subcommand: Option<&str>) -> Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        // The nearest one comes last.
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let mut explained = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            Error::usage(format!("unknown command \"{name}\"")).known_as(format!(
                "docker-machine: '{name}' is not a docker-machine command. See 'docker-machine --help'."
            ))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let name = argument.trim_start_matches('-');
            Error::usage(format!("unknown flag {argument}")).known_as(format!("flag provided but not defined: -{name}"))
        }
        ErrorKind::UnknownArgument => {
            Error::usage(format!("\"{argument}\" is one argument too many")).known_as(match subcommand {
                Some("create") => format!("Invalid command line. Found extra arguments [{argument}]"),
                Some("active") => "Error: Too many arguments given".to_owned(),
                Some("mount" | "scp") => "Improper number of arguments".to_owned(),
                _ => "Error: Expected one machine name as an argument".to_owned(),
            })
        }
        ErrorKind::MissingRequiredArgument => {
            Error::usage(format!("{} is missing", argument.replace(['<', '>'], "").trim_matches('.'))).known_as(
                match subcommand {
                    Some("create") => "Error: No machine name specified",
                    Some("mount" | "scp") => "Improper number of arguments",
                    _ => "Error: Expected to get one or more machine names as arguments",
                },
            )
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            let error_text = if value.is_empty() {
                format!("{argument} needs a value")
            } else {
                format!("invalid value \"{value}\" for {argument}")
            };
            match std::error::Error::source(error) {
                Some(source) => Error::usage(error_text).source(source.to_string()),
                None => Error::usage(error_text),
            }
        }
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            Error::usage(first.trim_start_matches("error: "))
        }
    };
    for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg] {
        if let Some(near) = text(kind).filter(|near| !near.is_empty()) {
            explained = explained.hint(format!("did you mean \"{near}\"?"));
        }
    }
    explained.hint(match subcommand {
        Some(name) => format!("`rmachine {name} --help` shows what it takes"),
        None => "`rmachine --help` lists the commands".to_owned(),
    })
}

/// The subcommand that `arguments` name.
pub(super) fn subcommand<'a>(command: &'a clap::Command, arguments: &[OsString]) -> Option<&'a str> {
    let named =
        |word: &str| command.get_subcommands().find(|c| c.get_name() == word || c.get_all_aliases().any(|a| a == word));
    arguments.iter().skip(1).filter_map(|a| a.to_str()).find_map(named).map(clap::Command::get_name)
}
