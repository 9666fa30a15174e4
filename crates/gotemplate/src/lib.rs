//! Templates in the syntax and with the answers of Go's text/template, for `--format`.
//!
//! The language is that of <https://pkg.go.dev/text/template> (Go 1.27: also `range` over integers, `break`, `else with`) and
//! of <https://pkg.go.dev/fmt> for `printf`. `golden/golden.json` holds what Go itself answers to several hundred
//! templates. Left out: complex numbers, hexadecimal floats in templates, methods; strings are UTF-8, what a slice cuts
//! apart becomes U+FFFD. Where Go refuses to compare an integer with a float, the numbers are compared.
//!
//! A template comes from the command line and is bounded: nesting, steps and sizes have limits, and nothing panics.

mod builtins;
mod compare;
mod escape;
mod eval;
mod extras;
mod float;
mod functions;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
#[cfg(test)]
mod golden;
mod json;
mod lex;
mod literal;
mod parse;
mod printf;
#[cfg(test)]
mod properties;
mod tree;
mod value;
mod verbs;

use std::{collections::HashMap, fmt};

pub use value::{Record, Value};

/// How deep blocks, parentheses and calls of templates may nest.
const MAX_DEPTH: usize = 200;
/// How many steps one execution may take.
const MAX_STEPS: usize = 1_000_000;
/// How many bytes one text, and the output, may have.
const MAX_TEXT: usize = 4 << 20;

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    source: String,
    /// The bodies by name; that of the template itself has the name "".
    bodies: HashMap<String, Vec<tree::Node>>,
}

/// What a template made.
#[derive(Debug)]
pub struct Output {
    /// The text.
    pub text: String,
    /// The fields that are not there and were printed as `<no value>`.
    pub unknown: Vec<Unknown>,
}

/// A field that a map does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The field as the template names it, such as `.Driver.Adress`.
    pub field: String,
    /// The fields beside it that look like it.
    pub near: Vec<String>,
}

/// Why a template cannot be parsed or executed, in the words of Go's text/template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
    hint: Option<String>,
}

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// What was probably meant.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Template {
    /// Parses `source`.
    ///
    /// # Errors
    ///
    /// When it is no template, uses a function that there is none of, or nests too deeply; the text has the line.
    pub fn parse(source: &str) -> Result<Self, Error> {
        let bodies = parse::parse(source)?;
        Ok(Self { source: source.to_owned(), bodies })
    }

    /// Executes the template on `data`.
    ///
    /// # Errors
    ///
    /// When a value does not serve where it is used, or a limit is passed; the text has line, column and the words there.
    pub fn execute(&self, data: &Value) -> Result<Output, Error> {
        eval::execute(self, data)
    }
}

/// "did you mean", of `near` names.
fn did_you_mean(near: &[String]) -> Option<String> {
    (!near.is_empty()).then(|| format!("did you mean {}?", near.join(", ")))
}
