//! Flags as Go's programs take them: `--flag=true` for switches, and for docker-machine's callers `-flag` with one dash.

use std::ffi::OsString;

use clap::{Arg, ArgAction};

use super::{dialect::Dialect, usage};

/// Go's `strconv.ParseBool`.
fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "t" | "1" | "TRUE" | "True" | "T" => Some(true),
        "false" | "f" | "0" | "FALSE" | "False" | "F" => Some(false),
        _ => None,
    }
}

/// `arguments` in the forms that clap takes. What belongs to a program on the host stays as it is.
pub(super) fn plain(dialect: Dialect, command: &clap::Command, arguments: &[OsString]) -> Vec<OsString> {
    let named = usage::subcommand(command, arguments);
    let own = named.and_then(|name| command.find_subcommand(name));
    let find = |test: &dyn Fn(&Arg) -> bool| {
        let mut known = command.get_arguments().chain(own.into_iter().flat_map(clap::Command::get_arguments));
        known.find(|arg| test(arg))
    };
    let long = |name: &str| {
        find(&|arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name)))
    };
    let is_switch = |arg: &Arg| matches!(arg.get_action(), ArgAction::SetTrue);
    let mut plain = Vec::with_capacity(arguments.len());
    let mut ours = true;
    // Whether the word before is a flag that takes this one for its value.
    let mut is_value = false;
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default();
        if std::mem::take(&mut is_value) {
            plain.push(argument.clone());
            continue;
        }
        ours &= text != "--" && !(text == "ssh" && named == Some("ssh"));
        let body = text.trim_start_matches('-');
        let dashes = text.len() - body.len();
        let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
        let mut letters = name.chars();
        let found = match (ours, dashes, letters.next(), letters.next()) {
            (true, 2, ..) => long(name),
            (true, 1, Some(letter), None) => find(&|arg| arg.get_short() == Some(letter)),
            (true, 1, ..) if dialect.is_docker_machine() => long(name),
            _ => None,
        };
        if ours && text == "-v" && dialect.is_docker_machine() {
            plain.push("--version".into());
            continue;
        }
        let Some(flag) = found else {
            plain.push(argument.clone());
            continue;
        };
        let dash = if name.chars().count() == 1 { "-" } else { "--" };
        match value {
            Some(value) if is_switch(flag) => match truth(value) {
                Some(true) => plain.push(format!("{dash}{name}").into()),
                Some(false) => {}
                None => plain.push(argument.clone()),
            },
            Some(value) => plain.push(format!("{dash}{name}={value}").into()),
            None => {
                is_value = matches!(flag.get_action(), ArgAction::Set | ArgAction::Append);
                plain.push(format!("{dash}{name}").into());
            }
        }
    }
    plain
}
