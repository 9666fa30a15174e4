//! The scripts of `templates/`, and the one way to put values into them.

use std::sync::LazyLock;

use minijinja::{Environment, Error as RenderError, ErrorKind, UndefinedBehavior, Value};
use rmachine_model::EngineSpec;
use rmachine_text::url;

use super::{Error, Repository, Result};

pub(super) const PROBE: &str = include_str!("../../../templates/probe.sh");
pub(super) const UNIT: &str = include_str!("../../../templates/unit.sh");
pub(super) const HOST_KEY_GENERATE: &str = include_str!("../../../templates/host-key-generate.sh");
pub(super) const HOST_KEY_INSTALL: &str = include_str!("../../../templates/host-key-install.sh");
pub(super) const AUTHORIZE_KEY: &str = include_str!("../../../templates/authorize-key.sh");
pub(super) const AUTHORIZED_KEYS: &str = include_str!("../../../templates/authorized-keys.sh");
pub(super) const AUTHORIZED_KEYS_REMOVE: &str = include_str!("../../../templates/authorized-keys-remove.sh");
pub(super) const LOG: &str = include_str!("../../../templates/log.sh");
pub(super) const REBOOT: &str = include_str!("../../../templates/reboot.sh");
pub(super) const APPLY: &str = include_str!("../../../templates/apply.sh");
pub(super) const BOOT: &str = include_str!("../../../templates/boot.sh");
pub(super) const CLOUD_CONFIG: &str = include_str!("../../../templates/cloud-config.yaml");
pub(super) const CLOUD_CONFIG_HOST: &str = include_str!("../../../templates/cloud-config-host.yaml");
pub(super) const FIRST_BOOT: &str = include_str!("../../../templates/first-boot.sh");
const INSTALL: &str = include_str!("../../../templates/install.sh");
const UPGRADE: &str = include_str!("../../../templates/upgrade.sh");

/// Fills `template`; a value that is missing is an error, never an empty string.
pub(super) fn render(template: &str, values: Value) -> Result<String> {
    let failed = |e: RenderError| match e.kind() {
        ErrorKind::InvalidOperation => Error::Invalid(e.detail().unwrap_or("a value cannot be quoted").to_owned()),
        _ => Error::Script(format!("a template does not render: {e:#}")),
    };
    ENVIRONMENT.render_str(template, values).map_err(failed)
}

static ENVIRONMENT: LazyLock<Environment<'_>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("sh", quote);
    environment.add_filter("yaml", yaml);
    environment
});

/// Quotes for a POSIX shell. A NUL cannot be quoted: refused.
fn quote(value: &str) -> Result<String, RenderError> {
    shlex::try_quote(value).map(std::borrow::Cow::into_owned).map_err(|_| {
        RenderError::new(ErrorKind::InvalidOperation, "a value with a NUL character cannot be given to a shell")
    })
}

/// A YAML scalar; JSON strings are YAML (YAML 1.2, section 10.2), but for what YAML 1.1, which cloud-init reads, takes
/// for a line break or a byte order mark (YAML 1.1, section 4.2).
fn yaml(value: &str) -> String {
    let mut text = String::new();
    for c in serde_json::Value::from(value).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text
}

/// `script` without the lines that are comments: first-boot data may not be large.
fn without_comments(script: &str) -> String {
    let counts = |(at, line): &(usize, &str)| *at == 0 || !(line.is_empty() || line.trim_start().starts_with('#'));
    script.lines().enumerate().filter(counts).flat_map(|(_, line)| [line, "\n"]).collect()
}

/// The install script for `spec`.
pub(super) fn install(spec: &EngineSpec, repository: &Repository) -> Result<String> {
    render(
        &without_comments(INSTALL),
        minijinja::context! {
            source => spec.source.word(),
            install_url => spec.install_url.as_deref().unwrap_or_default(),
            install_sha256 => spec.install_sha256().unwrap_or_default(),
            repository => repository.url.as_str(),
            repository_shown => url::without_secrets(&repository.url),
            apt_fingerprint => repository.apt_fingerprint.as_str(),
            rpm_fingerprint => repository.rpm_fingerprint.as_str(),
        },
    )
}

/// The script that upgrades an engine from `spec`'s source.
pub(super) fn upgrade(spec: &EngineSpec) -> Result<String> {
    render(&without_comments(UPGRADE), minijinja::context! { source => spec.source.word() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_left_out_and_nothing_else() {
        assert_eq!(
            without_comments("#!/bin/sh\n# a\n\nx=${1##*/} # b\n    # c\n  y\n"),
            "#!/bin/sh\nx=${1##*/} # b\n  y\n"
        );
    }

    #[test]
    fn a_nul_and_a_missing_value_are_refused() {
        assert!(matches!(render("{{ v | sh }}", minijinja::context! { v => "a\0b" }), Err(Error::Invalid(_))));
        assert!(render("{{ w }}", minijinja::context! { v => 1 }).is_err());
    }
}
