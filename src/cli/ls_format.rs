//! `ls --format`: docker-machine's fields of a machine, in its templates and tables.
//!
//! Fields, headers and what `table`, `\t` and `\n` mean are those of docker-machine 0.16.2 (commands/ls.go).

use std::time::Duration;

use rmachine_core::{Listed, Status};
use rmachine_gotemplate::{Template, Value};
use rmachine_model::error::Result;
use rmachine_text::printable;
use serde_json::Value as Json;

use super::{tabs, template};

/// The table that docker-machine prints by itself.
const DEFAULT: &str =
    "table {{.Name}}\t{{.Active}}\t{{.DriverName}}\t{{.State}}\t{{.URL}}\t{{.Swarm}}\t{{.DockerVersion}}\t{{.Error}}";

/// The fields and their headers.
const FIELDS: [(&str, &str); 13] = [
    ("Name", "NAME"),
    ("Active", "ACTIVE"),
    ("ActiveHost", "ACTIVE_HOST"),
    ("ActiveSwarm", "ACTIVE_SWARM"),
    ("DriverName", "DRIVER"),
    ("State", "STATE"),
    ("URL", "URL"),
    ("SwarmOptions", "SWARM_OPTIONS"),
    ("Swarm", "SWARM"),
    ("EngineOptions", "ENGINE_OPTIONS"),
    ("Error", "ERRORS"),
    ("DockerVersion", "DOCKER"),
    ("ResponseTime", "RESPONSE"),
];

/// What the errors call a machine.
const TYPE: &str = "HostListItem";

/// A template for each machine, and perhaps a header.
#[derive(Debug)]
pub(super) struct Format {
    template: Template,
    header: Option<String>,
}

impl Format {
    /// Reads `format`; an empty one is docker-machine's own table.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Usage`] for what is no template, and for a field that no machine has.
    pub(super) fn parse(format: &str) -> Result<Self> {
        let format = if format.is_empty() { DEFAULT } else { format };
        let body = format.strip_prefix("table");
        let template = template::parse(&(unescaped(body.unwrap_or(format).trim_matches(' ')) + "\n"))?;
        // A wrong field is known before anybody is asked.
        if let Err(error) = template.execute(&item(|_| Value::Missing))
            && error.hint().is_some()
        {
            return Err(template::wrong(error));
        }
        let header = match body {
            Some(_) => Some(template::execute(&template, &item(Value::text))?.text),
            None => None,
        };
        Ok(Self { template, header })
    }

    /// The text for `lines`; `document` answers the record of a machine as `inspect` prints it.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Usage`] when the template cannot be executed.
    pub(super) fn render(&self, lines: &[Listed], document: impl Fn(&str) -> Option<Json>) -> Result<String> {
        let mut text = self.header.clone().unwrap_or_default();
        for line in lines {
            let mut options = document(&line.name).and_then(|mut d| d.get_mut("HostOptions").map(Json::take));
            // A row of a table is one line, whoever wrote what is in it; other output is the caller's to read.
            let is_table = self.header.is_some();
            let shown = |json: Json| if is_table { on_lines(json) } else { json };
            let mut section = |name: &'static str| {
                let found = options.as_mut().and_then(|all| all.get_mut(name)).map(Json::take);
                found.map_or(Value::Missing, |section| record(name, shown(section)))
            };
            let (engine, swarm) = (section("EngineOptions"), section("SwarmOptions"));
            let machine = item(|header| match header {
                "ENGINE_OPTIONS" => engine.clone(),
                "SWARM_OPTIONS" => swarm.clone(),
                header => match field(line, header) {
                    Value::Text(text) if is_table => Value::text(printable::line(&text)),
                    value => value,
                },
            });
            text.push_str(&template::execute(&self.template, &machine)?.text);
        }
        Ok(if self.header.is_some() { tabs::align(&text) } else { text })
    }
}

/// A machine with what `value` says for each header.
fn item(value: impl Fn(&'static str) -> Value) -> Value {
    Value::record(TYPE, FIELDS.iter().map(|(name, header)| ((*name).to_owned(), value(header))).collect())
}

/// `json` with each of its texts on one line.
fn on_lines(json: Json) -> Json {
    match json {
        Json::String(text) => Json::String(printable::line(&text).into_owned()),
        Json::Array(list) => list.into_iter().map(on_lines).collect(),
        Json::Object(fields) => fields.into_iter().map(|(name, value)| (name, on_lines(value))).collect(),
        other => other,
    }
}

/// A section of the document as a struct.
fn record(name: &'static str, section: Json) -> Value {
    match section {
        Json::Object(fields) => {
            Value::record(name, fields.into_iter().map(|(name, value)| (name, value.into())).collect())
        }
        _ => Value::Missing,
    }
}

fn field(line: &Listed, header: &str) -> Value {
    // docker-machine knows nothing of a machine whose record does not read or that did not answer.
    let unread = line.driver.is_empty();
    let unknown = unread || line.state == Status::Timeout;
    Value::text(match header {
        "NAME" => &line.name,
        "ACTIVE" | "DOCKER" if unknown => "",
        "ACTIVE" if line.active => "*",
        "ACTIVE" => "-",
        "ACTIVE_HOST" => return Value::Bool(line.active),
        // No machine is of a swarm of the old kind.
        "ACTIVE_SWARM" => return Value::Bool(false),
        "DRIVER" if unread => "not found",
        "DRIVER" => &line.driver,
        "STATE" => line.state.word(),
        "URL" => line.url.as_deref().unwrap_or_default(),
        "DOCKER" => line.docker.as_deref().unwrap_or("Unknown"),
        "ERRORS" => return Value::text(line.error.as_deref().unwrap_or_default().replace('\n', " ")),
        "RESPONSE" => return Value::text(duration(line.response_time)),
        _ => "",
    })
}

/// A duration as Go prints it, to the millisecond: `12ms`, `1.5s`, `1m0.25s`.
fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let fraction = format!(".{rest:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}{fraction}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}{fraction}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

/// `\t` and `\n` as shells pass them on, outside of actions, are a tab and a new line.
fn unescaped(format: &str) -> String {
    let mut text = String::with_capacity(format.len());
    let mut rest = format;
    while !rest.is_empty() {
        let (outside, inside) = rest.split_at(rest.find("{{").unwrap_or(rest.len()));
        text.push_str(&outside.replace("\\t", "\t").replace("\\n", "\n"));
        let (action, behind) = inside.split_at(action_length(inside));
        text.push_str(action);
        rest = behind;
    }
    text
}

/// Length of the action that `text` begins with; a `}}` in quotes does not end it.
fn action_length(text: &str) -> usize {
    let (mut quote, mut escaped) = (None, false);
    for (index, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(mark) if c == mark => quote = None,
            Some(mark) => escaped = c == '\\' && mark != '`',
            None if text[index..].starts_with("}}") => return index + 2,
            None => quote = Some(c).filter(|c| matches!(c, '"' | '`' | '\'')),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, unescaped};

    #[test]
    fn durations_are_written_as_by_go() {
        let cases = [(0, "0s"), (7, "7ms"), (1000, "1s"), (1230, "1.23s"), (60_000, "1m0s"), (3_723_004, "1h2m3.004s")];
        for (millis, text) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn tabs_and_new_lines_are_typed_as_two_characters() {
        assert_eq!(unescaped(r"{{.Name}}\t{{.URL}}\n"), "{{.Name}}\t{{.URL}}\n");
        assert_eq!(unescaped(r#"\t{{printf "}}\t%s\"\n" .Name}}\t"#), "\t{{printf \"}}\\t%s\\\"\\n\" .Name}}\t");
        assert_eq!(unescaped(r"\\t{{`\`}}\t{{.Name"), "\\\t{{`\\`}}\t{{.Name");
    }
}
