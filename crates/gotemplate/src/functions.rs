//! The table of the functions that templates may call.

use super::{builtins, compare, extras, value::Value};

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// How many arguments it takes at least, and at most.
    pub(super) least: usize,
    pub(super) most: Option<usize>,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// The first argument that is false, or the last; the others are not looked at.
    And,
    /// The first argument that is true, or the last.
    Or,
    Plain(fn(&[Value]) -> Answer),
}

/// What a function answers: a value, or an error in Go's words.
pub(super) type Answer = Result<Value, String>;

const fn plain(name: &'static str, least: usize, most: Option<usize>, body: fn(&[Value]) -> Answer) -> Function {
    Function { name, least, most, body: Body::Plain(body) }
}

/// Those of text/template, those of docker-machine's `inspect` (json, prettyjson), and those of docker's `--format`.
static FUNCTIONS: [Function; 28] = [
    Function { name: "and", least: 1, most: None, body: Body::And },
    Function { name: "or", least: 1, most: None, body: Body::Or },
    plain("not", 1, Some(1), builtins::not),
    plain("eq", 1, None, compare::eq),
    plain("ne", 2, Some(2), compare::ne),
    plain("lt", 2, Some(2), compare::lt),
    plain("le", 2, Some(2), compare::le),
    plain("gt", 2, Some(2), compare::gt),
    plain("ge", 2, Some(2), compare::ge),
    plain("index", 1, None, builtins::index),
    plain("slice", 1, None, builtins::slice),
    plain("len", 1, Some(1), builtins::len),
    plain("print", 0, None, builtins::print),
    plain("println", 0, None, builtins::println),
    plain("printf", 1, None, builtins::printf),
    plain("html", 0, None, builtins::html),
    plain("js", 0, None, builtins::js),
    plain("urlquery", 0, None, builtins::urlquery),
    plain("call", 1, None, builtins::call),
    plain("json", 1, Some(1), extras::json),
    plain("prettyjson", 1, Some(1), extras::prettyjson),
    plain("split", 2, Some(2), extras::split),
    plain("join", 2, Some(2), extras::join),
    plain("lower", 1, Some(1), extras::lower),
    plain("upper", 1, Some(1), extras::upper),
    plain("title", 1, Some(1), extras::title),
    plain("pad", 3, Some(3), extras::pad),
    plain("truncate", 2, Some(2), extras::truncate),
];

/// The function `name`.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Names that look like `name`.
pub(super) fn near(name: &str) -> Vec<String> {
    rmachine_text::near::nearest(name, FUNCTIONS.iter().map(|f| f.name)).into_iter().map(str::to_owned).collect()
}
