//! `--format`: a template of the user's, and what is said of a wrong one.

use rmachine_gotemplate::{Error as TemplateError, Output, Template, Value};
use rmachine_model::error::{Error, Result};

/// Parses the template of `--format`.
///
/// # Errors
///
/// [`rmachine_model::error::Kind::Usage`] with the place in the template.
pub(super) fn parse(source: &str) -> Result<Template> {
    Template::parse(source).map_err(wrong)
}

/// Executes the template of `--format`.
///
/// # Errors
///
/// As [`parse`].
pub(super) fn execute(template: &Template, data: &Value) -> Result<Output> {
    template.execute(data).map_err(wrong)
}

/// The error of a wrong template.
pub(super) fn wrong(error: TemplateError) -> Error {
    let hint = match error.hint() {
        Some(hint) => hint.to_owned(),
        None => "it is a template of Go, such as '{{.Name}}'; docs/scripting.md has examples".to_owned(),
    };
    Error::usage("the template of --format cannot be used").source(error).hint(hint)
}
