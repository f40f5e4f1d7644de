//! Passwords: their Argon2id hashes, which few threads compute at a time, and the passwords that were verified lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;

use super::keys::random;
use crate::error::Result;
use crate::gateway::config_error::config_error;
use crate::secret::Secret;

/// The memory of a hash in KiB, and its number of passes: OWASP's recommendation for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// The most that a hash in a file may take: a login must not exhaust the gateway.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;
/// How many passwords wait for each thread that computes hashes.
const QUEUED_PER_THREAD: usize = 8;
/// How long a verified password is remembered, and how many are.
const VERIFIED_TIME: Duration = Duration::from_secs(300);
const MAX_VERIFIED: usize = 1024;

fn argon2() -> Result<Argon2<'static>> {
    match Params::new(MEMORY_KIB, PASSES, 1, None) {
        Ok(params) => Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params)),
        Err(_) => config_error("Argon2id cannot be used"),
    }
}

/// Hashes a password with a random salt, as a PHC string.
///
/// # Errors
/// `Configuration` if the system has no random numbers.
pub(super) fn hash(password: &str) -> Result<String> {
    match argon2()?.hash_password_with_salt(password.as_bytes(), &random::<16>()?) {
        Ok(hash) => Ok(hash.to_string()),
        Err(_) => config_error("the password cannot be hashed"),
    }
}

/// Parses the PHC string of an Argon2id hash; `None` if it is another one, or one that takes too much.
pub(super) fn parse(text: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let usable = hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && hash.version == Some(Version::V0x13.into())
        && hash.salt.is_some()
        && hash.hash.is_some_and(|hash| hash.len() >= 16)
        && params.m_cost() <= MAX_MEMORY_KIB
        && params.t_cost() <= MAX_PASSES
        && params.p_cost() <= MAX_LANES;
    usable.then_some(hash)
}

/// The hash that stands in for the one of an unknown user, so that both take the same time. No password matches it.
pub(super) fn stand_in() -> Result<PasswordHash> {
    let (salt, output) = (STANDARD_NO_PAD.encode(random::<16>()?), STANDARD_NO_PAD.encode(random::<32>()?));
    let hash = parse(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${output}"));
    hash.map_or_else(|| config_error("Argon2id cannot be used"), Ok)
}

/// Too many passwords wait to be hashed.
#[derive(Debug)]
pub(super) struct Busy;

/// Verifies passwords on threads of their own, as many at a time as the machine has cores.
pub(super) struct PasswordVerifier {
    queue: Arc<Semaphore>,
    threads: Arc<Semaphore>,
    /// The hashes that were computed.
    hashes: Counter,
}

impl PasswordVerifier {
    pub(super) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        Self {
            queue: Arc::new(Semaphore::new(threads * (1 + QUEUED_PER_THREAD))),
            threads: Arc::new(Semaphore::new(threads)),
            hashes: Counter::default(),
        }
    }

    /// Counts the hashes that are computed.
    pub(super) fn hashes(&self) -> &Counter {
        &self.hashes
    }

    /// Whether the password has this hash.
    ///
    /// # Errors
    /// [`Busy`] if too many passwords wait.
    pub(super) async fn verify(&self, password: Secret, hash: PasswordHash) -> std::result::Result<bool, Busy> {
        let queued = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| Busy)?;
        // The semaphore is never closed.
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| Busy)?;
        self.hashes.inc();
        let verified = tokio::task::spawn_blocking(move || {
            // Held to the end, even if the client has disconnected.
            let _permits = (queued, thread);
            Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok()
        });
        verified.await.map_err(|_| Busy)
    }
}

/// The passwords that were verified lately, as keyed hashes, so that a client that sends its password with each
/// request does not wait for Argon2 each time.
#[derive(Default)]
pub(super) struct VerifiedPasswords(Mutex<HashMap<[u8; 32], Instant>>);

impl VerifiedPasswords {
    /// Whether this one was verified lately.
    pub(super) fn contains(&self, digest: &[u8; 32]) -> bool {
        let verified = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verified.get(digest).is_some_and(|at| at.elapsed() < VERIFIED_TIME)
    }

    /// Remembers a verified one, in place of the oldest if there are too many.
    pub(super) fn insert(&self, digest: [u8; 32]) {
        let mut verified = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= MAX_VERIFIED {
            verified.retain(|_, at| at.elapsed() < VERIFIED_TIME);
        }
        if verified.len() >= MAX_VERIFIED
            && let Some(oldest) = verified.iter().min_by_key(|(_, at)| **at).map(|(digest, _)| *digest)
        {
            verified.remove(&oldest);
        }
        verified.insert(digest, Instant::now());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let text = hash("correct horse").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let parsed = parse(&text).unwrap();
        let verifier = PasswordVerifier::new();
        assert!(verifier.verify(Secret::new("correct horse"), parsed.clone()).await.unwrap());
        assert!(!verifier.verify(Secret::new("correct Horse"), parsed).await.unwrap());
        assert!(!verifier.verify(Secret::new(""), stand_in().unwrap()).await.unwrap());
        assert_eq!(verifier.hashes().get(), 3);
    }

    #[test]
    fn hashes_of_other_kinds_are_rejected() {
        let tail = "$c29tZXNhbHRzb21lc2FsdA$xnSZGEQLAVrkFyqRVEQEnqYTkFsKgVdSGBqTu8i8gG0";
        assert!(parse(&format!("$argon2id$v=19$m=19456,t=2,p=1{tail}")).is_some());
        for head in [
            "$argon2i$v=19$m=19456,t=2,p=1",
            "$argon2d$v=19$m=19456,t=2,p=1",
            "$argon2id$v=16$m=19456,t=2,p=1",
            "$argon2id$m=19456,t=2,p=1",
            "$argon2id$v=19$m=4194304,t=2,p=1",
            "$argon2id$v=19$m=19456,t=1000,p=1",
            "$argon2id$v=19$m=1,t=2,p=1",
            "$2b$12",
        ] {
            assert!(parse(&format!("{head}{tail}")).is_none(), "{head}");
        }
        for text in ["", "hunter2", "$argon2id$v=19$m=19456,t=2,p=1", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn verified_passwords_are_bounded() {
        let verified = VerifiedPasswords::default();
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&(number as u64).to_le_bytes());
            digest
        };
        for number in 0..MAX_VERIFIED + 10 {
            verified.insert(digest(number));
        }
        assert!(verified.contains(&digest(MAX_VERIFIED + 9)) && !verified.contains(&digest(0)));
        assert_eq!(verified.0.lock().unwrap().len(), MAX_VERIFIED);
    }
}
