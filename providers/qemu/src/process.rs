//! qemu's processes, found by the machine's UUID on their command line: a pid alone may be another's by now.

use std::time::{Duration, Instant};

use rmachine_provider_api::{Error, Kind, Result};
use rustix::process::{Pid, Signal};

/// How long a killed process may take to be gone (a core of its disk may have to be written).
const GONE: Duration = Duration::from_secs(30);

/// Processes of this computer that look like a qemu of ours: (pid, UUID).
///
/// # Errors
///
/// When the processes cannot be listed: then nobody knows whether one runs.
pub(crate) fn running() -> Result<Vec<(Pid, String)>> {
    let all = list().map_err(|e| Error::new(Kind::Other, "cannot list the processes of this computer").source(e))?;
    Ok(all.into_iter().filter_map(|(pid, arguments)| Some((Pid::from_raw(pid)?, uuid_of(&arguments)?))).collect())
}

/// Those of the machine with `uuid`: two for a moment, while qemu goes to the background.
pub(crate) fn of(uuid: &str) -> Result<Vec<Pid>> {
    Ok(running()?.into_iter().filter(|(_, found)| found == uuid).map(|(pid, _)| pid).collect())
}

/// The value of `-uuid` where `arguments` are a qemu's.
fn uuid_of(arguments: &[String]) -> Option<String> {
    let program = arguments.first()?.rsplit('/').next()?;
    if !program.contains("qemu") {
        return None;
    }
    let at = arguments.iter().position(|a| a == "-uuid")?;
    arguments.get(at + 1).cloned()
}

#[cfg(target_os = "linux")]
fn list() -> std::io::Result<Vec<(i32, Vec<String>)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile; one that has ended and waits for its parent has no arguments.
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let arguments = line.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        all.push((pid, arguments));
    }
    Ok(all)
}

#[cfg(not(target_os = "linux"))]
fn list() -> std::io::Result<Vec<(i32, Vec<String>)>> {
    let output = std::process::Command::new("ps").args(["-axww", "-o", "pid=,args="]).output()?;
    if !output.status.success() {
        return Err(std::io::Error::other(format!("ps: {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.map(str::to_owned).collect()))
    };
    Ok(text.lines().filter_map(one).collect())
}

/// Waits until no process of `uuid` is left; `false` when one still is after `limit`.
pub(crate) async fn gone(uuid: &str, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(20);
    while !of(uuid)?.is_empty() {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
    Ok(true)
}

/// Kills every process of `uuid` and waits until they are gone; none is success.
pub(crate) async fn kill(uuid: &str) -> Result<()> {
    let deadline = Instant::now() + GONE;
    loop {
        let pids = of(uuid)?;
        for pid in &pids {
            signal(*pid, uuid)?;
        }
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let pids: Vec<String> = pids.iter().map(|p| p.as_raw_nonzero().to_string()).collect();
            return Err(Error::new(Kind::Timeout, format!("qemu does not end (pid {})", pids.join(", ")))
                .hint("it may wait for a disk that does not answer; repeat the command later"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn signal(pid: Pid, uuid: &str) -> Result<()> {
    match rustix::process::kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(Error::new(Kind::Denied, format!("cannot end the qemu of machine {uuid}"))
            .source(e)
            .hint("another user started it; repeat the command as that user")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_a_qemu_with_the_uuid_is_ours() {
        assert_eq!(uuid_of(&words("/usr/bin/qemu-system-x86_64 -name x -uuid u-1 -m 1")), Some("u-1".into()));
        assert_eq!(uuid_of(&words("grep -uuid u-1")), None);
        assert_eq!(uuid_of(&words("qemu-system-x86_64 -m 1")), None);
        assert_eq!(uuid_of(&[]), None);
    }

    #[test]
    fn processes_can_be_listed() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(list().unwrap().iter().any(|(pid, _)| *pid == own));
    }
}
