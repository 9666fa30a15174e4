//! The closing lines: what was run, how many points, how long. `tests/run --full` prints them at its end.

use std::{io::Write, time::Instant};

/// One line of the closing table; it is written when the test has come to its end.
pub struct Report {
    what: &'static str,
    began: Instant,
}

impl Report {
    pub fn start(what: &'static str) -> Self {
        Self { what, began: Instant::now() }
    }

    /// Writes the line: what was run, how many points, a figure.
    pub fn end(self, points: usize, note: &str) {
        let line = format!("{:<48} {points:>4}  ok  {:>4} s  {note}\n", self.what, self.began.elapsed().as_secs());
        eprint!("{line}");
        if let Some(path) = std::env::var_os("RMACHINE_FAULTS_REPORT") {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
    }
}

/// Whether all points and the full numbers are wanted.
pub fn full() -> bool {
    std::env::var("RMACHINE_FAULTS_FULL").is_ok_and(|value| value == "1")
}
