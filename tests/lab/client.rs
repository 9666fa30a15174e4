//! The lab as tests see it: what `tests/lab/up` exports, and its control API.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

/// A value that `tests/lab/up` exports.
pub fn lab_variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `tests/run`, or `eval \"$(tests/lab/up)\"` before `cargo test --test e2e`")
    })
}

/// Calls the control API of the lab that the environment names.
pub fn lab(method: &str, path: &str, body: Option<&Value>) -> Value {
    lab_at(&lab_variable("RMACHINE_LAB"), method, path, body)
}

/// Calls the control API of the lab at this URL.
pub fn lab_at(control: &str, method: &str, path: &str, body: Option<&Value>) -> Value {
    let url = format!("{control}/{path}");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-X", method, &url]);
    if body.is_some() {
        // What is sent is nobody's business who lists processes.
        curl.args(["-H", "Content-Type: application/json", "--data-binary", "@-"]);
    }
    let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let sent = body.map(Value::to_string).unwrap_or_default();
    curl.stdin.take().unwrap().write_all(sent.as_bytes()).unwrap();
    let output = curl.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{method} {url}: {e}: {text}"));
    assert!(value.get("error").is_none(), "{method} {url}: {value}");
    value
}

/// Runs a shell command as root on the lab's host `id`, with this standard input.
#[allow(dead_code, reason = "the driver's own tests have no hosts")]
pub fn exec_on(id: &str, command: &str, stdin: &str) -> Value {
    lab("POST", &format!("hosts/{id}/exec"), Some(&serde_json::json!({ "command": command, "stdin": stdin })))
}

/// Everything that the account holds, as one flat list of `kind/id`.
pub fn resources() -> Vec<String> {
    resources_at(&lab_variable("RMACHINE_LAB"))
}

/// Everything that the account of the lab at this URL holds.
pub fn resources_at(control: &str) -> Vec<String> {
    let held = lab_at(control, "GET", "resources", None);
    let kinds = held.as_object().unwrap();
    kinds
        .iter()
        .flat_map(|(kind, ids)| {
            ids.as_array().unwrap().iter().map(move |id| format!("{kind}/{}", id.as_str().unwrap()))
        })
        .collect()
}
