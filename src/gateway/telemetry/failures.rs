//! How many failed authentications the log lists: attempts without limit must not fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The period that [`FailureLog`] counts in.
const PERIOD: Duration = Duration::from_secs(10);
/// How many failures of a period get a line of their own.
const LINES_PER_PERIOD: u32 = 100;

/// Decides which failed authentications get a line in the log, and counts the others.
pub(super) struct FailureLog(Mutex<Period>);

struct Period {
    began: Instant,
    lines: u32,
    unlisted: u64,
}

impl FailureLog {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Period { began: Instant::now(), lines: 0, unlisted: 0 }))
    }

    /// Counts a failure. Returns whether it gets a line: never if its peer `is_limited`.
    pub(super) fn lists(&self, is_limited: bool) -> bool {
        let mut period = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if period.began.elapsed() >= PERIOD {
            (period.began, period.lines) = (Instant::now(), 0);
        }
        let listed = !is_limited && period.lines < LINES_PER_PERIOD;
        match listed {
            true => period.lines += 1,
            false => period.unlisted += 1,
        }
        listed
    }

    /// Returns the message about failures without a line since the last call, if there were any.
    pub(super) fn summary(&self) -> Option<String> {
        let unlisted = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).unlisted);
        (unlisted > 0)
            .then(|| format!("{unlisted} failed authentications have no line in this log: there are too many"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_beyond_the_limit_are_counted() {
        let log = FailureLog::new();
        assert_eq!(log.summary(), None);
        let listed = (0..LINES_PER_PERIOD + 20).filter(|_| log.lists(false)).count();
        assert_eq!(listed, LINES_PER_PERIOD as usize);
        assert!(log.summary().is_some_and(|message| message.starts_with("20 failed")));
        assert_eq!(log.summary(), None);
    }

    #[test]
    fn a_limited_peer_gets_no_line() {
        let log = FailureLog::new();
        assert!(!log.lists(true) && log.lists(false));
        assert!(log.summary().is_some_and(|message| message.starts_with("1 failed")));
    }
}
