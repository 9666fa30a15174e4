//! The child: the program over the fake cloud, with an end at one of its side effects.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt::{Debug, Write as _},
    fs::File,
    io::Write as _,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use rmachine_model::drivers::Drivers;
use rmachine_provider_api::Capabilities;
use rmachine_provider_fake::{Account, FakeDriver};
use rustix::process::{Signal, getpid, kill_process};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

/// The file of the account.
pub const ACCOUNT: &str = "FAULTS_ACCOUNT";
/// `yes` when there is a host behind the account.
pub const HOST: &str = "FAULTS_HOST";
/// The file that takes a line for each side effect.
pub const TRACE: &str = "FAULTS_TRACE";
/// The side effect at which it ends, as the trace has it.
pub const AT: &str = "FAULTS_AT";
/// `tunnel` when that is about the process that serves a tunnel, and not about the command that starts it.
pub const OF: &str = "FAULTS_OF";
/// The signal that it sends itself there: `KILL`, `INT` or `STOP`.
pub const SIGNAL: &str = "FAULTS_SIGNAL";

/// Runs the program when this process is a child, and answers its exit code.
pub fn run() -> Option<ExitCode> {
    let account = Account::in_file(std::env::var_os(ACCOUNT)?);
    let host = std::env::var(HOST).is_ok_and(|value| value == "yes");
    let capabilities = Capabilities { ssh: host, engine: host, power: true, ingress: true };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Watch::of_environment())).unwrap();
    let drivers = Drivers::of(vec![Arc::new(FakeDriver::with(account, capabilities))]);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    Some(rmachine::cli::main_with(drivers, arguments.into_iter()))
}

/// Counts side effects, writes them down, and sends a signal at one of them.
struct Watch {
    seen: Mutex<HashMap<String, usize>>,
    trace: Option<File>,
    at: Option<(String, Signal)>,
}

impl Watch {
    fn of_environment() -> Self {
        // Whoever a command starts has its environment as well.
        let is_tunnel = std::env::args().any(|word| word == "--foreground");
        if is_tunnel != std::env::var(OF).is_ok_and(|of| of == "tunnel") {
            return Self { seen: Mutex::default(), trace: None, at: None };
        }
        let trace = std::env::var_os(TRACE).map(|path| File::create(path).unwrap());
        let at = std::env::var(AT).ok().map(|at| {
            let signal = match std::env::var(SIGNAL).as_deref() {
                Ok("KILL") => Signal::KILL,
                Ok("INT") => Signal::INT,
                Ok("STOP") => Signal::STOP,
                other => panic!("{SIGNAL} is {other:?}"),
            };
            (at, signal)
        });
        Self { seen: Mutex::default(), trace, at }
    }
}

/// `1st before write config.json`: of parallel work too, a name means one side effect.
struct Words(String);

impl Words {
    /// Takes off the eight random digits that some directories' names end with.
    fn without_random_end(&mut self) {
        if let Some((name, end)) = self.0.rsplit_once('-')
            && end.len() == 8
            && end.bytes().all(|b| b.is_ascii_hexdigit())
        {
            self.0.truncate(name.len());
        }
    }
}

impl Visit for Words {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        write!(self.0, " {value:?}").unwrap();
    }

    fn record_str(&mut self, _: &Field, value: &str) {
        write!(self.0, " {value}").unwrap();
    }
}

impl<S: Subscriber> Layer<S> for Watch {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == "rmachine::effect" { Interest::always() } else { Interest::never() }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        words.without_random_end();
        let count = {
            let mut seen = self.seen.lock().unwrap();
            let count = seen.entry(words.0.clone()).or_default();
            *count += 1;
            *count
        };
        let effect = format!("{count}.{}", words.0);
        if let Some(mut trace) = self.trace.as_ref() {
            trace.write_all(format!("{effect}\n").as_bytes()).unwrap();
        }
        if let Some((_, signal)) = self.at.as_ref().filter(|(at, _)| *at == effect) {
            kill_process(getpid(), *signal).unwrap();
        }
    }
}
