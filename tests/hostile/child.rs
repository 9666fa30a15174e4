//! The child: the program with the drivers `generic` and `none`, and little patience.

use std::{process::ExitCode, sync::Arc, time::Duration};

use rmachine_model::drivers::Drivers;
use rmachine_ssh::{Budget, Budgets};

/// The file that takes the most memory that the child had, as the kernel writes it (proc_pid_status(5), VmHWM).
pub const PEAK: &str = "HOSTILE_PEAK";
/// Which patience the child has, by its name.
pub const PATIENCE: &str = "HOSTILE_PATIENCE";

/// How long a child waits for its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As users do.
    Usual,
    /// Not long, so that time-outs are seen in seconds.
    Little,
    /// Too long for time to end anything on a busy computer: what pours without end has to be ended by its bytes.
    OfBytes,
}

fn budgets() -> Budgets {
    let patience = std::env::var(PATIENCE).unwrap();
    let (idle, total) = match patience.as_str() {
        "Little" => (2, 8),
        "OfBytes" => (30, 50),
        _ => return Budgets::default(),
    };
    let budget =
        Budget { idle: Duration::from_secs(idle), total: Duration::from_secs(total), ..Budgets::default().look };
    let open = Duration::from_secs(idle);
    Budgets { open, sftp: open, listing: 1024 * 1024, look: budget, restart: budget, install: budget }
}

/// Runs the program when this process is a child, and answers its exit code.
pub fn run() -> Option<ExitCode> {
    let peak = std::env::var_os(PEAK)?;
    let drivers = Drivers::of(vec![
        Arc::new(rmachine_provider_generic::Generic),
        Arc::new(rmachine_provider_none::NoneDriver::default()),
    ]);
    let code = rmachine::cli::main_within(drivers, budgets(), std::env::args_os());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    std::fs::write(peak, line.split_whitespace().next().unwrap()).unwrap();
    Some(code)
}
