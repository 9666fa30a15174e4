//! Power: start, stop and reboot, by qemu's process and its monitor.

use std::{
    ffi::OsString,
    process::Stdio,
    time::{Duration, Instant},
};

use rmachine_provider_api::{Cx, Error, Kind, Notify, Result, StopMode};
use tokio::{io::AsyncReadExt, process::Command};

use crate::{
    accel, command,
    create::require_ports,
    files,
    machine::{Machine, Place},
    process, qmp,
    tools::Tools,
};

/// How long a system may take to shut down; emulated ones are slow.
const SHUTDOWN: Duration = Duration::from_secs(150);
/// How often the power button is pressed: a system that still boots does not hear it.
const BUTTON: Duration = Duration::from_secs(5);
/// How long qemu may take to end by itself, before it is killed.
const QUIT: Duration = Duration::from_secs(3);

/// How long qemu may take until its monitor answers.
const START: Duration = Duration::from_secs(60);
/// What of its words is kept.
const MOST_WORDS: u64 = 64 << 10;

/// Starts the machine; one that runs is left alone, one that qemu has paused goes on. `about_accel` hears
/// why it is emulated, where it is.
pub(crate) async fn start(machine: &Machine, place: &Place, cx: &Cx<'_>, about_accel: &dyn Notify) -> Result<()> {
    cx.check()?;
    let uuid = place.uuid();
    if !process::of(&uuid)?.is_empty() {
        return resume(place).await;
    }
    let resolved = &machine.resolved;
    let Some(base) = machine.base.as_ref().filter(|_| machine.complete) else {
        return Err(Error::new(Kind::Conflict, format!("machine \"{}\" was never finished", machine.name))
            .hint(format!("remove it with `rmachine rm -y {}`, then create it again", machine.name)));
    };
    if !base.file.exists() {
        return Err(Error::new(Kind::NotFound, format!("the image below its disk is gone: {}", base.file.display()))
            .hint("put it back: the disk has only what differs from it"));
    }
    let tools = cx.until_cancelled(Tools::find(resolved.arch, resolved.binary.as_deref())).await?;
    require_ports(machine)?;
    files::require_room(&place.directory, 1 << 20)?;
    let choice = accel::choose(resolved.accel_asked, resolved.arch, &tools, &resolved.directory, about_accel);
    let accel = cx.until_cancelled(choice).await?;
    let arguments = command::arguments(machine, base, place, accel, place.seed().exists());
    tracing::debug!("{}", command::shown(&tools.system, &arguments));
    cx.check()?;
    cx.progress("starting qemu");
    // What it says since this start.
    files::write(&place.console(), b"")?;
    let failed = || Error::new(Kind::Other, format!("qemu does not start machine \"{}\"", machine.name));
    // It is started, whether anybody waits for its monitor or not; `destroy` and `stop` find it.
    let launched = async { launch(&tools.system, &arguments, place).await.map_err(|e| failed().source(e)) };
    let words = match cx.until_cancelled(launched).await? {
        Started::Runs(words) => words,
        Started::Ended(words) if words.contains("No space left on device") => {
            return Err(files::failed("start", &place.directory, std::io::ErrorKind::StorageFull.into()));
        }
        Started::Ended(words) => return Err(failed().source(words).hint("--debug shows the command line")),
    };
    if !words.is_empty() {
        tracing::debug!("qemu: {words}");
    }
    Ok(())
}

/// What became of a qemu, with what it said.
enum Started {
    Runs(String),
    Ended(String),
}

/// Starts qemu in the background.
async fn launch(program: &str, arguments: &[OsString], place: &Place) -> std::io::Result<Started> {
    // In a session of its own, where this terminal's signals do not come.
    let mut command = if command::FILTERED {
        let mut command = Command::new("setsid");
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir("/").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let Some(stderr) = child.stderr.take() else { return Err(std::io::Error::other("no standard error")) };
    let mut stderr = stderr.take(MOST_WORDS);
    let mut said = Vec::new();
    // A qemu that goes to the background by itself closes its standard error; the other one is there when its monitor
    // answers, and does not mind that nobody reads any more what it says (it ignores SIGPIPE).
    let ended = tokio::select! {
        read = stderr.read_to_end(&mut said) => {
            read?;
            Some(child.wait().await?)
        }
        () = answers(place), if command::FILTERED => None,
        () = tokio::time::sleep(START) => {
            child.start_kill()?;
            Some(child.wait().await?)
        }
    };
    let words = String::from_utf8_lossy(&said).trim().to_owned();
    Ok(match ended {
        Some(status) if !status.success() => Started::Ended(if words.is_empty() { status.to_string() } else { words }),
        _ => Started::Runs(words),
    })
}

/// Waits until qemu's monitor answers: the machine runs then.
async fn answers(place: &Place) {
    let mut pause = Duration::from_millis(10);
    while qmp::execute(&place.socket(), "query-status").await.is_err() {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Lets a machine go on that was paused because the disk was full.
async fn resume(place: &Place) -> Result<()> {
    if paused(place).await.is_none() {
        return Ok(());
    }
    let went_on = qmp::execute(&place.socket(), "cont").await;
    went_on.map_err(|e| Error::new(Kind::Other, "qemu does not let the paused machine go on").source(e))?;
    // The write that failed is tried again at once.
    tokio::time::sleep(Duration::from_millis(300)).await;
    match paused(place).await {
        None => Ok(()),
        Some(why) => Err(Error::new(Kind::Other, "the machine is paused again")
            .source(why)
            .hint("make room on the disk of this computer, then start it again")),
    }
}

/// Why qemu has paused the machine; `None` when it runs, or does not answer.
pub(crate) async fn paused(place: &Place) -> Option<String> {
    let status = qmp::execute(&place.socket(), "query-status").await.ok()?;
    match status.get("status")?.as_str()? {
        "io-error" => {
            Some("qemu has paused it, as a write to its disk failed: the disk of this computer is full".to_owned())
        }
        other @ ("paused" | "internal-error" | "guest-panicked" | "watchdog" | "suspended") => {
            Some(format!("qemu has paused it: {other}"))
        }
        _ => None,
    }
}

pub(crate) async fn stop(machine: &Machine, place: &Place, mode: StopMode, cx: &Cx<'_>) -> Result<()> {
    cx.check()?;
    match mode {
        StopMode::Force => force(place).await,
        StopMode::Graceful => shut_down(machine, place, cx).await,
    }
}

/// Pulls the plug: qemu writes out what it has, and ends.
pub(crate) async fn force(place: &Place) -> Result<()> {
    let uuid = place.uuid();
    if process::of(&uuid)?.is_empty() {
        return Ok(());
    }
    if qmp::execute(&place.socket(), "quit").await.is_ok() && process::gone(&uuid, QUIT).await? {
        return Ok(());
    }
    process::kill(&uuid).await
}

/// Presses the power button until the system has shut down.
async fn shut_down(machine: &Machine, place: &Place, cx: &Cx<'_>) -> Result<()> {
    let uuid = place.uuid();
    let deadline = Instant::now() + SHUTDOWN;
    let mut trouble = None;
    loop {
        if process::gone(&uuid, Duration::ZERO).await? {
            return Ok(());
        }
        if let Some(why) = paused(place).await {
            return Err(Error::new(Kind::Conflict, format!("machine \"{}\" cannot shut down", machine.name))
                .source(why)
                .hint(format!(
                    "make room, then `rmachine start {0}` lets it go on; `rmachine kill {0}` pulls the plug",
                    machine.name
                )));
        }
        cx.check()?;
        if let Err(error) = qmp::execute(&place.socket(), "system_powerdown").await {
            trouble = Some(error);
        }
        if cx.until_cancelled(process::gone(&uuid, BUTTON)).await? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            break;
        }
        cx.progress("waiting for the system to shut down");
    }
    let error = Error::new(
        Kind::Timeout,
        format!("machine \"{}\" has not shut down in {} s", machine.name, SHUTDOWN.as_secs()),
    )
    .hint(format!(
        "`rmachine kill {}` pulls the plug; {} has what it says",
        machine.name,
        place.console().display()
    ));
    Err(match trouble {
        Some(trouble) => error.source(trouble),
        None => error,
    })
}
