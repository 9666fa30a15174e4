//! `rmachine inspect`.

use rmachine_model::error::{Error, Kind, Result};
use serde::Serialize;

use super::{Context, names::OneName, template, ui};

/// Print all that is recorded of a machine, as JSON and without secrets
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine inspect aws-test | jq -r .Driver.IPAddress
  rmachine inspect aws-test --format '{{.Driver.IPAddress}}'
  rmachine inspect aws-test -f '{{json .HostOptions.EngineOptions.Labels}}'
  rmachine inspect aws-test -f '{{range $k, $v := .Driver}}{{println $k $v}}{{end}}'")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Print JSON; it always does
    #[arg(long)]
    json: bool,
    /// Print by a Go template instead
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let _always = args.json;
    let format = args.format.as_deref().filter(|format| !format.is_empty());
    let format = format.map(template::parse).transpose()?;
    let document = context.core.store().load_document(&args.name.name)?;
    if let Some(format) = format {
        let output = template::execute(&format, &document.into())?;
        // docker-machine prints <no value> for these and is content.
        for unknown in &output.unknown {
            let near = if unknown.near.is_empty() {
                String::new()
            } else {
                format!("; did you mean {}?", unknown.near.join(", "))
            };
            context.terminal.say(&format!("Warning: the record has no {}{near}", unknown.field));
        }
        return ui::print(&format!("{}\n", output.text));
    }
    let mut text = Vec::new();
    let indent = context.dialect.words("  ", "    ");
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    document
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|e| Error::new(Kind::Failure, "the record cannot be printed").source(e))?;
    text.push(b'\n');
    ui::print_bytes(&text)
}
