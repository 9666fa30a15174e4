//! qemu's monitor: one command, one answer.
//!
//! Protocol: qemu's docs/interop/qmp-spec.

use std::{io, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

/// How long qemu may take to answer; it serves one client at a time.
const ANSWER: Duration = Duration::from_secs(5);

/// Runs `command` (without arguments) at the monitor that listens at `socket`, and answers its `return`.
pub(crate) async fn execute(socket: &Path, command: &str) -> io::Result<Value> {
    timeout(ANSWER, dialogue(socket, command)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn dialogue(socket: &Path, command: &str) -> io::Result<Value> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    // The greeting.
    message(&mut stream).await?;
    ask(&mut stream, "qmp_capabilities").await?;
    ask(&mut stream, command).await
}

async fn ask(stream: &mut BufReader<UnixStream>, command: &str) -> io::Result<Value> {
    let line = format!("{}\n", json!({ "execute": command }));
    stream.get_mut().write_all(line.as_bytes()).await?;
    loop {
        let mut answer = message(stream).await?;
        if let Some(value) = answer.get_mut("return") {
            return Ok(value.take());
        }
        if let Some(error) = answer.get("error") {
            let why = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(io::Error::other(format!("{command}: {why}")));
        }
        // Anything else is an event.
    }
}

async fn message(stream: &mut BufReader<UnixStream>) -> io::Result<Value> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_str(&line).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// A monitor that sends an event before each answer.
    async fn monitor(listener: UnixListener, last: &'static str) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.get_mut().write_all(b"{\"QMP\": {}}\n").await.unwrap();
        for answer in ["{\"return\": {}}", last] {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            stream.get_mut().write_all(format!("{{\"event\": \"RESUME\"}}\n{answer}\n").as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn events_are_skipped_and_errors_told() {
        let base = tempfile::tempdir().unwrap();
        let socket = base.path().join("s");
        for (last, expected) in [
            ("{\"return\": {\"status\": \"running\"}}", Ok("running")),
            ("{\"error\": {\"desc\": \"no such thing\"}}", Err("query-status: no such thing")),
        ] {
            let _ = std::fs::remove_file(&socket);
            let served = tokio::spawn(monitor(UnixListener::bind(&socket).unwrap(), last));
            let answer = execute(&socket, "query-status").await;
            match expected {
                Ok(status) => assert_eq!(answer.unwrap()["status"], status),
                Err(text) => assert_eq!(answer.unwrap_err().to_string(), text),
            }
            served.await.unwrap();
        }
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(execute(&socket, "quit").await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
