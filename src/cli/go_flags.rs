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
    let drop_in = dialect.is_docker_machine();
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
    let mut plain: Vec<OsString> = Vec::with_capacity(arguments.len());
    let mut ours = true;
    // Whether the word before is a flag that takes this one for its value.
    let mut is_value = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_str().unwrap_or_default();
        if std::mem::take(&mut is_value) {
            // Go takes it whatever it looks like.
            match plain.pop() {
                Some(mut flag) if text.starts_with('-') => {
                    flag.push("=");
                    flag.push(argument);
                    plain.push(flag);
                }
                flag => plain.extend(flag.into_iter().chain([argument.clone()])),
            }
            continue;
        }
        if ours && text == "ssh" && named == Some("ssh") {
            ours = false;
            plain.push(argument.clone());
            if drop_in {
                plain.extend(to_ssh(rest.by_ref()));
            }
            continue;
        }
        ours &= text != "--";
        let body = text.trim_start_matches('-');
        let dashes = text.len() - body.len();
        let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
        if drop_in && ours && matches!(dashes, 1 | 2) {
            let asked = match name {
                "help" | "h" => Some("--help"),
                "version" | "v" => Some("--version"),
                _ => None,
            };
            if let (Some(asked), Some(is_on)) = (asked, value.map_or(Some(true), truth)) {
                plain.extend(is_on.then(|| asked.into()));
                continue;
            }
        }
        let mut letters = name.chars();
        let short = |letter| find(&|arg| arg.get_short() == Some(letter));
        let found = match (ours, dashes, letters.next(), letters.next()) {
            (true, 2, Some(letter), None) if drop_in => short(letter),
            (true, 2, ..) => long(name),
            (true, 1, Some(letter), None) => short(letter),
            (true, 1, ..) if drop_in => long(name),
            _ => None,
        };
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
                let takes_next = matches!(flag.get_action(), ArgAction::Set | ArgAction::Append);
                is_value = takes_next && !flag.is_require_equals_set();
                plain.push(format!("{dash}{name}").into());
            }
        }
    }
    plain
}

/// What follows docker-machine's `ssh`: a machine, and what is ssh(1)'s from there on, our own flags' names included.
fn to_ssh<'a>(mut rest: impl Iterator<Item = &'a OsString>) -> Vec<OsString> {
    let Some(name) = rest.next() else { return Vec::new() };
    let mut words = vec![name.clone()];
    let mut rest = rest.peekable();
    let is_help = matches!(name.to_str(), Some("-h" | "--help" | "-help"));
    if !is_help && rest.peek().is_some_and(|word| *word != "--") {
        words.push("--".into());
    }
    words.extend(rest.cloned());
    words
}
