//! Bounds how often the log repeats the line of a failure.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::gateway::server::peer::Peer;

/// How many lines of one failure are logged between two calls of [`Repeats::left_out`].
const LINES: u32 = 20;
/// How many failures are told apart. The further ones count as one.
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
#[derive(Default)]
pub(super) struct Repeats(Mutex<HashMap<Failure, u32>>);

impl Repeats {
    /// Counts a failure. Returns whether to log it.
    pub(super) fn count(&self, mut failure: Failure) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= FAILURES && !counted.contains_key(&failure) {
            failure = Failure { peer: None, action: "other", status: 0, error_code: String::new() };
        }
        let lines = counted.entry(failure).or_default();
        *lines += 1;
        *lines <= LINES
    }

    /// Counts anew. Returns how many lines of which failure were left out.
    pub(super) fn left_out(&self) -> Vec<(Failure, u32)> {
        let counted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        counted
            .into_iter()
            .filter(|(_, lines)| *lines > LINES)
            .map(|(failure, lines)| (failure, lines - LINES))
            .collect()
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
        assert_eq!(repeats.left_out(), [(failure(1), 50 - LINES)]);
        assert!(repeats.count(failure(1)));
    }

    #[test]
    fn the_number_of_failures_is_limited() {
        let repeats = Repeats::default();
        let logged = (0..2000).filter(|peer| repeats.count(failure(*peer))).count();
        assert_eq!(logged, FAILURES + LINES as usize);
        let left_out = repeats.left_out();
        assert!(left_out.iter().all(|(failure, _)| failure.peer.is_none()));
        assert_eq!(left_out.iter().map(|(_, lines)| lines).sum::<u32>(), 2000 - FAILURES as u32 - LINES);
    }
}
