//! Attempts: how many each peer may have.

use std::net::IpAddr;
use std::time::Duration;

use super::rate::RateLimiter;
use crate::gateway::server::peer::of_one_client;

/// Limits the attempts of each peer that count, such as failed authentications.
pub(super) struct PeerLimiter(RateLimiter<IpAddr>);

impl PeerLimiter {
    /// Allows this many attempts per minute and peer, and as many at once.
    pub(super) fn per_minute(number: f64) -> Self {
        Self(RateLimiter::per_minute(number))
    }

    /// Counts an attempt, or a failure.
    ///
    /// # Errors
    /// How long to wait before the next attempt, if the peer has had too many.
    pub(super) fn count(&self, peer: IpAddr) -> Result<(), Duration> {
        self.0.count(&of_one_client(peer))
    }

    /// Takes back an attempt that succeeded.
    pub(super) fn take_back(&self, peer: IpAddr) {
        self.0.take_back(&of_one_client(peer));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_client_share_a_limit() {
        let same =
            |one: &str, other: &str| of_one_client(one.parse().unwrap()) == of_one_client(other.parse().unwrap());
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    }

    #[test]
    fn an_attempt_that_succeeds_is_not_counted() {
        let limiter = PeerLimiter::per_minute(2.0);
        let peer = "192.0.2.1".parse().unwrap();
        for _ in 0..5 {
            limiter.count(peer).unwrap();
            limiter.take_back(peer);
        }
        assert!(limiter.count(peer).is_ok() && limiter.count(peer).is_ok() && limiter.count(peer).is_err());
    }
}
