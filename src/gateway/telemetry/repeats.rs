//! Bounds how often the log repeats the line of a failure.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::gateway::server::peer::Peer;

/// How many lines of one failure are logged in [`WINDOW`].
const LINES: u32 = 20;
/// The time after which a failure is logged again.
const WINDOW: Duration = Duration::from_secs(10);
/// How many failures are told apart. The further ones of a window count as one.
const FAILURES: usize = 1024;

/// What the lines of one failure have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Failure {
    /// `None` for those that are no longer told apart.
    pub(super) peer: Option<Peer>,
    pub(super) action: &'static str,
    pub(super) status: u16,
    pub(super) error_code: String,
}

/// Counts failures.
pub(super) struct Repeats(Mutex<Window>);

struct Window {
    begun: Instant,
    lines: HashMap<Failure, u32>,
}

impl Default for Repeats {
    fn default() -> Self {
        Self(Mutex::new(Window { begun: Instant::now(), lines: HashMap::new() }))
    }
}

impl Repeats {
    /// Counts a failure. Returns whether to log it.
    pub(super) fn count(&self, mut failure: Failure) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.lines.len() >= FAILURES && !window.lines.contains_key(&failure) {
            failure = Failure { peer: None, action: "other", status: 0, error_code: String::new() };
        }
        let lines = window.lines.entry(failure).or_default();
        *lines += 1;
        *lines <= LINES
    }

    /// Begins a new window if this one is over, or if `now`. Returns how many lines of which failure were left out.
    pub(super) fn left_out(&self, now: bool) -> Vec<(Failure, u32)> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !now && window.begun.elapsed() < WINDOW {
            return Vec::new();
        }
        window.begun = Instant::now();
        let lines = std::mem::take(&mut window.lines);
        drop(window);
        lines.into_iter().filter(|(_, lines)| *lines > LINES).map(|(failure, lines)| (failure, lines - LINES)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(peer: u32) -> Failure {
        let peer = Some(Peer::Ip(std::net::Ipv4Addr::from_bits(peer).into()));
        Failure { peer, action: "find", status: 401, error_code: "InvalidSession".to_owned() }
    }

    #[test]
    fn lines_beyond_the_limit_are_left_out_and_counted() {
        let repeats = Repeats::default();
        let logged = (0..50).filter(|_| repeats.count(failure(1))).count();
        assert_eq!(logged, LINES as usize);
        assert!(repeats.count(failure(2)));
        assert_eq!(repeats.left_out(false), []);
        assert_eq!(repeats.left_out(true), [(failure(1), 50 - LINES)]);
        assert!(repeats.count(failure(1)));
    }

    #[test]
    fn the_number_of_failures_is_limited() {
        let repeats = Repeats::default();
        let logged = (0..2000).filter(|peer| repeats.count(failure(*peer))).count();
        assert_eq!(logged, FAILURES + LINES as usize);
        assert!(repeats.left_out(true).iter().all(|(failure, _)| failure.peer.is_none()));
    }
}
