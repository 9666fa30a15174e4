//! Wrong command lines, in the words and the form of all our errors.

use std::{ffi::OsString, process::ExitCode};

use clap::{
    ArgAction,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::ui::Terminal;
use crate::error::{Error, Kind};

/// Answers what clap could not parse: the help where it was asked for, else an error.
pub(super) fn answer(
    error: &clap::Error,
    command: &clap::Command,
    arguments: &[OsString],
    terminal: &Terminal,
) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nothing can be said when even this cannot be printed.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            terminal.say(command.clone().render_help().to_string().trim_end());
            ExitCode::from(Kind::Usage.exit_code())
        }
        _ => {
            let error = explain(error, subcommand(command, arguments));
            terminal.fail(&error);
            error.exit_code()
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
            Error::usage(format!("unknown command \"{}\"", text(ContextKind::InvalidSubcommand).unwrap_or_default()))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => Error::usage(format!("unknown flag {argument}")),
        ErrorKind::UnknownArgument => Error::usage(format!("\"{argument}\" is one argument too many")),
        ErrorKind::MissingRequiredArgument => {
            Error::usage(format!("{} is missing", argument.replace(['<', '>'], "").trim_matches('.')))
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
fn subcommand<'a>(command: &'a clap::Command, arguments: &[OsString]) -> Option<&'a str> {
    let named =
        |word: &str| command.get_subcommands().find(|c| c.get_name() == word || c.get_all_aliases().any(|a| a == word));
    arguments.iter().skip(1).filter_map(|a| a.to_str()).find_map(named).map(clap::Command::get_name)
}

/// `--flag=true` and `--flag=false` for flags that take no value, as Go's programs let one write them.
pub(super) fn plain_switches(command: &clap::Command, arguments: &[OsString]) -> Vec<OsString> {
    let named = subcommand(command, arguments);
    let own = named.and_then(|name| command.find_subcommand(name));
    let is_switch = |name: &str| {
        let mut known = command.get_arguments().chain(own.into_iter().flat_map(clap::Command::get_arguments));
        known.any(|arg| arg.get_long() == Some(name) && matches!(arg.get_action(), ArgAction::SetTrue))
    };
    let mut plain = Vec::with_capacity(arguments.len());
    let mut ours = true;
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default();
        // What follows belongs to somebody else: a program on the host.
        ours &= text != "--" && !(text == "ssh" && named == Some("ssh"));
        let switch =
            text.strip_prefix("--").and_then(|rest| rest.split_once('=')).filter(|(name, _)| ours && is_switch(name));
        match switch {
            Some((name, "true" | "t" | "1" | "TRUE" | "True" | "T")) => plain.push(format!("--{name}").into()),
            Some((_, "false" | "f" | "0" | "FALSE" | "False" | "F")) => {}
            _ => plain.push(argument.clone()),
        }
    }
    plain
}
