//! How far a copy is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rmachine_provider_api::Notify;

use super::place::shown;

/// Counts, and says so now and then.
pub(super) struct Meter {
    notify: Arc<dyn Notify>,
    every: Option<Duration>,
    began: Instant,
    said: Instant,
    name: String,
    size: u64,
    done: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Meter {
    /// Says it `every` so often; `None`: never.
    pub(super) fn new(notify: Arc<dyn Notify>, every: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { notify, every, began: now, said: now, name: String::new(), size: 0, done: 0, files: 0, bytes: 0 }
    }

    /// A file of `size` bytes begins.
    pub(super) fn begin(&mut self, path: &[u8], size: u64) {
        (self.name, self.size, self.done) = (shown(super::place::last(path).unwrap_or(path)), size, 0);
        self.tell();
    }

    /// `bytes` of it have gone over.
    pub(super) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        self.bytes += bytes as u64;
        self.tell();
    }

    /// It is whole.
    pub(super) fn end(&mut self) {
        self.files += 1;
    }

    fn tell(&mut self) {
        let Some(every) = self.every else { return };
        if self.said.elapsed() < every {
            return;
        }
        self.said = Instant::now();
        let percent = match self.size {
            0 => String::new(),
            size => format!(" {}%", u128::from(self.done.min(size)) * 100 / u128::from(size)),
        };
        let milliseconds = self.began.elapsed().as_millis().max(1);
        let rate = u64::try_from(u128::from(self.bytes) * 1000 / milliseconds).unwrap_or(u64::MAX);
        let others = if self.files > 0 { format!(", {} files done", self.files) } else { String::new() };
        self.notify.progress(&format!(
            "copying {}{percent} of {}, {}/s{others}",
            self.name,
            amount(self.size.max(self.done)),
            amount(rate)
        ));
    }
}

/// Bytes for people, in decimal units.
pub fn amount(bytes: u64) -> String {
    let mut unit = 1;
    for name in ["bytes", "kB", "MB", "GB"] {
        if bytes < unit * 1000 {
            return match unit {
                1 => format!("{bytes} {name}"),
                _ => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
            };
        }
        unit *= 1000;
    }
    format!("{}.{} TB", bytes / unit, bytes % unit * 10 / unit)
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts_have_one_digit_after_the_point() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1_299_999, "1.2 MB"),
            (2_000_000_000, "2.0 GB"),
            (u64::MAX, "18446744.0 TB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }
}
