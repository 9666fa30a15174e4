//! What systemd knows of the engine's unit, and the drop-in that is made of it.

use std::collections::BTreeSet;

use rmachine_model::EngineSpec;

use super::{Answer, Error, HostFacts, Result, host};

/// The engine's unit as it stands, our own drop-in included.
#[derive(Debug, Clone, Default)]
pub(super) struct UnitFacts {
    /// The words of ExecStart, variables not expanded.
    pub(super) argv: Vec<String>,
    /// Whether docker.socket hands it its local socket.
    pub(super) has_socket: bool,
    /// Whether it runs.
    pub(super) is_active: bool,
    /// Variables of its environment files.
    pub(super) variables: Vec<(String, String)>,
    /// `/etc/docker/daemon.json` as it stands.
    pub(super) daemon_json: String,
    /// What the install has to say.
    pub(super) notes: Vec<String>,
}

impl UnitFacts {
    /// Reads the answer of `templates/unit.sh`.
    pub(super) fn read(answer: &Answer) -> Result<Self> {
        if answer.get("load_state") != Some("loaded") {
            return Err(Error::engine("the engine is installed, but there is no docker.service", String::new()));
        }
        let exec = answer.decoded("exec_start");
        let argv = exec
            .rsplit_once("argv[]=")
            .and_then(|(_, rest)| rest.split_once(" ; "))
            .map(|(argv, _)| argv.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .unwrap_or_default();
        if argv.is_empty() {
            return Err(Error::Script(format!("docker.service has no ExecStart that can be read: {exec:?}")));
        }
        let variables = answer.all("environment").flat_map(|file| environment(&host::decode(file))).collect();
        Ok(Self {
            argv,
            has_socket: answer.is("socket"),
            is_active: answer.get("active") == Some("active"),
            variables,
            daemon_json: answer.decoded("daemon_json"),
            notes: answer.all("note").map(str::to_owned).collect(),
        })
    }

    /// The drop-in: the unit's own command without what we set, and with it.
    ///
    /// `settled` are the options that daemon.json sets: dockerd refuses an option that is set in both.
    pub(super) fn drop_in(&self, facts: &HostFacts, spec: &EngineSpec, settled: &BTreeSet<String>) -> String {
        let (program, rest) = self.argv.split_first().map_or(("/usr/bin/dockerd", &[][..]), |(p, r)| (p.as_str(), r));
        let mut words: Vec<String> = vec![program.to_owned()];
        if self.has_socket {
            words.extend(["-H".to_owned(), "fd://".to_owned()]);
        } else {
            words.extend(["-H".to_owned(), "unix:///var/run/docker.sock".to_owned()]);
        }
        let address = match (spec.on_loopback, facts.ipv6) {
            (true, _) => "127.0.0.1",
            (false, true) => "[::]",
            (false, false) => "0.0.0.0",
        };
        words.extend(["-H".to_owned(), format!("tcp://{address}:{}", spec.port)]);
        for (option, file) in [("tlscacert", "ca.pem"), ("tlscert", "server.pem"), ("tlskey", "server-key.pem")] {
            words.push(format!("--{option}=/etc/docker/{file}"));
        }
        words.push("--tlsverify".to_owned());
        words.extend(without(rest.to_vec(), settled).into_iter().flat_map(|word| self.expand(word, settled)));
        let mut text = String::from("# Made by rmachine.\n[Service]\n");
        for variable in &spec.env {
            text.push_str(&format!("Environment={}\n", systemd_quoted(variable)));
        }
        text.push_str(&format!("ExecStart=\nExecStart={}", words.join(" ")));
        text
    }

    /// Keeps `$VARIABLE`, so that its file stays in force, unless it sets what we or daemon.json set.
    fn expand(&self, word: String, settled: &BTreeSet<String>) -> Vec<String> {
        let Some(name) = word.strip_prefix('$') else { return vec![word] };
        let name = name.trim_matches(['{', '}']);
        let Some((_, value)) = self.variables.iter().rev().find(|(known, _)| known == name) else { return vec![word] };
        let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
        let kept = without(words.clone(), settled);
        if kept == words { vec![word] } else { kept }
    }
}

/// `words` without the options that we set ourselves and those in `settled`.
pub(super) fn without(words: Vec<String>, settled: &BTreeSet<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let option = word.trim_start_matches('-').split('=').next().unwrap_or_default();
        let dashed = word.starts_with('-');
        let ours = matches!(option, "H" | "host" | "tls" | "tlsverify" | "tlscacert" | "tlscert" | "tlskey");
        if !dashed || !(ours || settled.contains(option)) {
            kept.push(word);
            continue;
        }
        let takes_value = !word.contains('=') && !matches!(option, "tls" | "tlsverify");
        if takes_value && words.peek().is_some_and(|next| !next.starts_with('-')) {
            words.next();
        }
    }
    kept
}

/// Reads an environment file (systemd.exec(5), EnvironmentFile): `KEY=VALUE`, comments, quotes.
pub(super) fn environment(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| {
            let value = value.trim();
            let bare = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
            (key.trim().to_owned(), bare.to_owned())
        })
        .collect()
}

/// Quotes for a unit file (systemd.syntax(7)); `%` begins a specifier.
pub(super) fn systemd_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
