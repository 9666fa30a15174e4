//! A proxy before the engine's socket that fails the call which makes a container, as a test asks.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rmachine_provider_api::conformance::Trouble;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// How an authorization plugin of the engine says no (docs.docker.com/engine/extend/plugins_authorization).
const REFUSAL: &str = r#"{"message":"authorization denied by plugin test: by order of the test"}"#;

#[derive(Debug, Default)]
struct State {
    trouble: Mutex<Option<Trouble>>,
    calls: AtomicUsize,
}

/// The proxy; it ends with the test.
#[derive(Debug)]
pub struct Proxy {
    state: Arc<State>,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Proxy {
    /// Starts one before the engine at the socket `engine`.
    pub fn before(engine: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (state, socket) = (Arc::<State>::default(), directory.path().join("engine.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        let (shared, engine) = (state.clone(), engine.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, engine) = (shared.clone(), engine.clone());
                tokio::spawn(async move { serve(&state, client, &engine).await });
            }
        });
        Self { state, socket, _directory: directory }
    }

    /// Where it listens, as `--docker-host` takes it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Fails the calls that make a container from here on.
    pub fn begin(&self, trouble: Trouble) {
        self.state.calls.store(0, Ordering::SeqCst);
        *self.state.trouble.lock().unwrap() = Some(trouble);
    }

    /// Lets all pass again, and answers how many of those calls came.
    pub fn end(&self) -> usize {
        *self.state.trouble.lock().unwrap() = None;
        self.state.calls.load(Ordering::SeqCst)
    }
}

/// One connection, until either side ends it or a call is to fail.
async fn serve(state: &State, client: UnixStream, engine: &Path) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = UnixStream::connect(engine).await.unwrap().into_split();
    let lost = tokio::sync::Notify::new();
    tokio::select! {
        () = requests(state, &mut from_client, &mut to_engine, &lost) => {
            let refusal = format!(
                "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{REFUSAL}",
                REFUSAL.len()
            );
            let _ = to_client.write_all(refusal.as_bytes()).await;
        }
        () = answers(&mut from_engine, &mut to_client, &lost) => {}
    }
}

/// Passes requests on; returns when one is refused. A connection that the client ends is the answers' to end.
async fn requests(state: &State, client: &mut OwnedReadHalf, engine: &mut OwnedWriteHalf, lost: &tokio::sync::Notify) {
    let mut bytes = vec![0; 1 << 20];
    loop {
        let Ok(count) = client.read(&mut bytes).await else { return std::future::pending().await };
        if count == 0 {
            let _ = engine.shutdown().await;
            return std::future::pending().await;
        }
        // The client writes a request's line and headers at once.
        let line = bytes[..count].split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        if line.starts_with("POST ") && line.contains("/containers/create") {
            state.calls.fetch_add(1, Ordering::SeqCst);
            match *state.trouble.lock().unwrap() {
                Some(Trouble::Refused) => return,
                Some(Trouble::AnswerLost) => lost.notify_one(),
                None => {}
            }
        }
        if engine.write_all(&bytes[..count]).await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Passes answers on, until the one that gets lost.
async fn answers(engine: &mut OwnedReadHalf, client: &mut OwnedWriteHalf, lost: &tokio::sync::Notify) {
    let mut bytes = vec![0; 1 << 20];
    loop {
        let Ok(count) = engine.read(&mut bytes).await else { return };
        // It was notified before the request went on, and this is its answer: nothing else is asked on this connection.
        let is_lost = tokio::time::timeout(std::time::Duration::ZERO, lost.notified()).await.is_ok();
        if count == 0 || is_lost || client.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
