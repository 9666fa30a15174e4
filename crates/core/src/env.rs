//! Shell exports: pure text from a plan, for every shell that docker-machine knew and nushell.

use std::{collections::BTreeMap, path::Path};

use rmachine_model::error::{Error, Result};

/// A shell whose language `env` speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// POSIX shells: sh, bash, zsh, dash, ksh.
    Posix,
    /// fish.
    Fish,
    /// csh and tcsh.
    Tcsh,
    /// Windows PowerShell and PowerShell.
    PowerShell,
    /// Windows' cmd.exe.
    Cmd,
    /// Emacs Lisp.
    Emacs,
    /// Nushell.
    Nushell,
}

/// What to print.
#[derive(Debug, Clone)]
pub struct EnvPlan {
    /// Variables to set, in this order.
    pub set: Vec<(&'static str, String)>,
    /// Variables to unset, in this order.
    pub unset: Vec<&'static str>,
    /// Whether what is unset has docker-machine's spelling, which its callers compare.
    pub docker_machine: bool,
    /// The command that made this text, for the closing comment.
    pub command: String,
}

impl Shell {
    /// The shell called `name`.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Usage`] that names those known.
    pub fn parse(name: &str) -> Result<Self> {
        Self::known(name).ok_or_else(|| {
            Error::usage(format!("unknown shell \"{name}\""))
                .hint("shells are bash, zsh, sh, fish, powershell, cmd, tcsh, emacs and nushell")
        })
    }

    fn known(name: &str) -> Option<Self> {
        Some(match name.trim_start_matches('-') {
            "sh" | "bash" | "zsh" | "dash" | "ksh" | "ash" | "mksh" | "posix" => Self::Posix,
            "fish" => Self::Fish,
            "tcsh" | "csh" => Self::Tcsh,
            "powershell" | "pwsh" => Self::PowerShell,
            "cmd" => Self::Cmd,
            "emacs" => Self::Emacs,
            "nu" | "nushell" => Self::Nushell,
            _ => return None,
        })
    }

    /// Finds out the shell: the calling process where it is one, else `$SHELL`, else POSIX.
    pub fn detect() -> Self {
        Self::parent().or_else(Self::of_variable).unwrap_or(if cfg!(windows) { Self::Cmd } else { Self::Posix })
    }

    /// The shell that `$SHELL` names, if it is known.
    pub fn of_variable() -> Option<Self> {
        let shell = std::env::var("SHELL").ok()?;
        Self::known(Path::new(&shell).file_name()?.to_str()?)
    }

    /// The shell that called us; a command substitution's subshell has the shell's name too.
    #[cfg(target_os = "linux")]
    fn parent() -> Option<Self> {
        let parent = rustix::process::getppid()?;
        let name = std::fs::read_to_string(format!("/proc/{}/comm", parent.as_raw_nonzero())).ok()?;
        Self::known(name.trim())
    }

    #[cfg(not(target_os = "linux"))]
    fn parent() -> Option<Self> {
        None
    }

    fn set(self, name: &str, value: &str) -> String {
        match self {
            Self::Posix => format!("export {name}={}\n", escaped(value, &['"', '\\', '$', '`'], "\\")),
            Self::Fish => format!("set -gx {name} {};\n", escaped(value, &['"', '\\', '$'], "\\")),
            Self::Tcsh => format!("setenv {name} {};\n", tcsh(value)),
            Self::PowerShell => format!("$Env:{name} = {}\n", powershell(value)),
            // `FOR /f` runs each line as it is: `%` and `&` have no meaning there, and no variable has two lines.
            Self::Cmd => format!("SET {name}={}\n", value.replace(['\n', '\r'], " ")),
            Self::Emacs => format!("(setenv \"{name}\" {})\n", escaped(value, &['"', '\\'], "\\")),
            Self::Nushell => String::new(),
        }
    }

    fn unset(self, name: &str) -> String {
        match self {
            Self::Posix => format!("unset {name}\n"),
            Self::Fish => format!("set -e {name};\n"),
            Self::Tcsh => format!("unsetenv {name};\n"),
            Self::PowerShell => format!("Remove-Item -ErrorAction Ignore Env:\\{name}\n"),
            Self::Cmd => format!("SET {name}=\n"),
            Self::Emacs => format!("(setenv \"{name}\" nil)\n"),
            Self::Nushell => format!("hide-env --ignore-errors {name}\n"),
        }
    }

    /// The comment that says how to use the text.
    fn usage(self, command: &str, sets: bool) -> String {
        match self {
            Self::Posix => format!("# Run this command to configure your shell: \n# eval $({command})\n"),
            Self::Fish => format!("# Run this command to configure your shell: \n# {command} | source\n"),
            Self::Tcsh => format!("# Run this command to configure your shell: \n# eval `{command}`\n"),
            Self::PowerShell => {
                format!("# Run this command to configure your shell: \n# & {command} | Invoke-Expression\n")
            }
            Self::Cmd => format!(
                "REM Run this command to configure your shell: \nREM \t@FOR /f \"tokens=*\" %i IN ('{command}') DO @%i\n"
            ),
            Self::Emacs => {
                format!(
                    ";; Run this command to configure your shell: \n;; (with-temp-buffer (shell-command \"{command}\" (current-buffer)) (eval-buffer))\n"
                )
            }
            Self::Nushell if sets => String::new(),
            Self::Nushell => format!("# {command} | save --force unset.nu; source unset.nu\n"),
        }
    }
}

/// `value` in double quotes, with `mark` before each of `special`.
fn escaped(value: &str, special: &[char], mark: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        if special.contains(&c) {
            text.push_str(mark);
        }
        text.push(c);
    }
    text.push('"');
    text
}

/// Typographic quotes end a string of PowerShell as well, and what comes from a pipe is evaluated line by line.
fn powershell(value: &str) -> String {
    let special = ['"', '\u{201c}', '\u{201d}', '\u{201e}', '`', '$'];
    escaped(value, &special, "`").replace('\n', "`n").replace('\r', "`r")
}

/// csh expands `$` and `!` also in double quotes: single quotes, with what they cannot hold outside.
fn tcsh(value: &str) -> String {
    if value.chars().all(|c| !matches!(c, '"' | '\'' | '$' | '`' | '!' | '\\' | '\n')) {
        return format!("\"{value}\"");
    }
    let mut text = String::from("'");
    for c in value.chars() {
        match c {
            '\'' => text.push_str("'\\''"),
            '!' => text.push_str("\\!"),
            '\n' => text.push_str("\\\n"),
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

/// The text for `shell`.
pub fn render(shell: Shell, plan: &EnvPlan) -> String {
    let mut text = String::new();
    for name in &plan.unset {
        match shell {
            // To PowerShell it is the same, but for an error where the variable is not set.
            Shell::PowerShell if plan.docker_machine => text.push_str(&format!("Remove-Item Env:\\\\{name}\n")),
            _ => text.push_str(&shell.unset(name)),
        }
    }
    if shell == Shell::Nushell && !plan.set.is_empty() {
        let record: BTreeMap<_, _> = plan.set.iter().map(|(name, value)| (*name, value)).collect();
        // `rmachine env --shell nushell NAME | from json | load-env`
        text.push_str(&serde_json::json!(record).to_string());
        text.push('\n');
    }
    for (name, value) in &plan.set {
        text.push_str(&shell.set(name, value));
    }
    text.push_str(&shell.usage(&plan.command, !plan.set.is_empty()));
    text
}

/// `NO_PROXY` with `host` added, under the spelling that the environment uses already.
pub fn no_proxy(host: &str, lookup: impl Fn(&str) -> Option<String>) -> (&'static str, String) {
    let (name, value) = match (lookup("no_proxy"), lookup("NO_PROXY")) {
        (Some(lower), upper) if !lower.is_empty() || upper.is_none() => ("no_proxy", lower),
        (_, upper) => ("NO_PROXY", upper.unwrap_or_default()),
    };
    if value.split(',').any(|entry| entry.trim() == host) {
        return (name, value);
    }
    (name, if value.is_empty() { host.to_owned() } else { format!("{value},{host}") })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
