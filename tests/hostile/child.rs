//! The child: the program with the drivers `generic` and `none`, and little patience.

use std::{process::ExitCode, sync::Arc, time::Duration};

use rmachine::{
    drivers::Drivers,
    ssh::{Budget, Budgets},
};

/// The file that takes the most memory that the child had, as the kernel writes it (proc_pid_status(5), VmHWM).
pub const PEAK: &str = "HOSTILE_PEAK";
/// `yes`: with the patience that users have.
pub const PATIENT: &str = "HOSTILE_PATIENT";

/// Little time for all that a host may do slowly.
fn budgets() -> Budgets {
    if std::env::var(PATIENT).is_ok_and(|value| value == "yes") {
        return Budgets::default();
    }
    let budget = |seconds| Budget {
        idle: Duration::from_secs(2),
        total: Duration::from_secs(seconds),
        ..Budgets::default().look
    };
    Budgets {
        open: Duration::from_secs(2),
        sftp: Duration::from_secs(2),
        listing: 1024 * 1024,
        look: budget(4),
        restart: budget(4),
        install: budget(4),
    }
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
