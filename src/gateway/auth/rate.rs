//! How often each caller, or each peer, may do something: a token bucket for each.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bson::{Document, doc};

/// The maximum number of buckets. The names of callers with tokens, and addresses, come from outside.
const MAX_BUCKETS: usize = 10_000;

/// Limits what each owner of a bucket does to a rate, with a burst.
pub(in crate::gateway) struct RateLimiter<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// What the owner could do at once at `updated`.
    tokens: f64,
    updated: Instant,
    /// What other instances do not know of.
    unsent: u32,
}

/// How many seconds' requests callers can be in arrears with, beyond the burst, after they have used several instances at
/// once.
const MOST_ARREARS: f64 = 10.0;

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// Allows `per_second` per second, and `burst` at once.
    pub(in crate::gateway) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, buckets: Mutex::default() }
    }

    /// Allows this many per minute, and as many at once.
    pub(super) fn per_minute(number: f64) -> Self {
        Self::new(number / 60.0, number.max(1.0))
    }

    /// Counts one more, if the limit is not exceeded.
    ///
    /// # Errors
    /// How long to wait before the next attempt, if the limit is exceeded.
    pub(in crate::gateway) fn count(&self, owner: &K) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(owner) {
            // A full bucket is the same as no bucket.
            buckets.retain(|_, bucket| self.refilled(*bucket, now) < self.burst);
            if buckets.len() >= MAX_BUCKETS {
                return Err(Duration::from_secs(1));
            }
        }
        let full = Bucket { tokens: self.burst, updated: now, unsent: 0 };
        let bucket = buckets.entry(owner.clone()).or_insert(full);
        let tokens = self.refilled(*bucket, now);
        (bucket.tokens, bucket.updated) = (tokens, now);
        if tokens < 1.0 {
            let wait = Duration::try_from_secs_f64((1.0 - tokens) / self.per_second);
            return Err(wait.unwrap_or(Duration::from_secs(3600)));
        }
        bucket.tokens = tokens - 1.0;
        bucket.unsent = bucket.unsent.saturating_add(1);
        Ok(())
    }

    /// Takes back one that [`Self::count`] counted.
    pub(super) fn take_back(&self, owner: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(owner) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.burst);
        }
    }

    fn refilled(&self, bucket: Bucket, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(bucket.updated).as_secs_f64();
        elapsed.mul_add(self.per_second, bucket.tokens).min(self.burst)
    }
}

impl RateLimiter<Arc<str>> {
    /// Takes the numbers of requests that other instances do not know of, of at most `most` callers.
    pub(super) fn take_unsent(&self, most: usize) -> Vec<(Arc<str>, u32)> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let unsent = buckets.iter_mut().filter(|(_, bucket)| bucket.unsent > 0).take(most);
        unsent.map(|(caller, bucket)| (Arc::clone(caller), std::mem::take(&mut bucket.unsent))).collect()
    }

    /// Goes on with the level of a caller's bucket that all instances share.
    pub(super) fn set_level(&self, caller: &str, tokens: f64) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(caller) {
            bucket.tokens = tokens.min(self.burst) - f64::from(bucket.unsent);
            bucket.updated = Instant::now();
        }
    }

    /// The stage of an update that refills a shared bucket, and takes `requests` from it.
    pub(super) fn level_after(&self, requests: u32) -> Document {
        let elapsed = doc! {
            "$divide": [
                { "$subtract": [{ "$toLong": "$$NOW" }, { "$toLong": { "$ifNull": ["$at", "$$NOW"] } }] },
                1000.0,
            ],
        };
        let refilled = doc! {
            "$add": [{ "$ifNull": ["$tokens", self.burst] }, { "$multiply": [elapsed, self.per_second] }],
        };
        let tokens = doc! { "$subtract": [{ "$min": [self.burst, refilled] }, f64::from(requests)] };
        doc! { "$set": { "tokens": { "$max": [-self.most_arrears(), tokens] }, "at": "$$NOW" } }
    }

    fn most_arrears(&self) -> f64 {
        MOST_ARREARS.mul_add(self.per_second, self.burst)
    }

    /// How long it takes to fill a bucket.
    pub(super) fn refill_time(&self) -> Duration {
        let seconds = (self.burst + self.most_arrears()) / self.per_second;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_exceeds_its_rate_waits_and_others_do_not() {
        let limiter = RateLimiter::new(0.001, 2.0);
        assert!(limiter.count(&"one").is_ok() && limiter.count(&"one").is_ok());
        assert!(limiter.count(&"one").is_err_and(|wait| wait > Duration::from_secs(900)));
        assert!(limiter.count(&"other").is_ok());
        limiter.take_back(&"one");
        assert!(limiter.count(&"one").is_ok() && limiter.count(&"one").is_err());
    }

    #[test]
    fn the_number_of_buckets_is_limited() {
        let limiter = RateLimiter::new(0.001, 1.0);
        for number in 0..MAX_BUCKETS + 10 {
            let counted = limiter.count(&number);
            assert_eq!(counted.is_ok(), number < MAX_BUCKETS);
        }
        assert_eq!(limiter.buckets.lock().map(|buckets| buckets.len()).ok(), Some(MAX_BUCKETS));
    }
}
