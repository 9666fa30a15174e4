//! Fuzz target of templates.

use serde_json::json;

use super::{MAX_TEXT, Template, Value};

/// A template, executed: an answer within its limits, or an error.
///
/// # Panics
///
/// Where the answer is longer: that is a bug.
pub fn template(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let value = Value::from(json!({ "A": { "B": ["x", null, -1.5, true], "C": "é%d" }, "N": 7, "S": "text" }));
    if let Ok(output) = Template::parse(source).and_then(|template| template.execute(&value)) {
        assert!(output.text.len() <= 2 * MAX_TEXT + source.len());
    }
}
