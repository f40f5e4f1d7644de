//! What exists once in a process: the tokio runtime, and the source of
//! `ObjectId`s. Nothing is made before it is needed, and a forked child starts
//! with none of its parent's: threads do not survive a fork, so whatever
//! rested on them is left alone (leaked, not dropped) and made anew.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bson::oid::ObjectId;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, ErrorKind, Result};

/// The environment variable that sets the number of worker threads of the
/// runtime (default 1, at most 64). One is enough to saturate a core with
/// inserts; more help where TLS or large documents keep the first one busy.
pub const WORKER_THREADS_VARIABLE: &str = "CONNECT_MONGODB_WORKER_THREADS";

/// What one process owns.
#[derive(Debug)]
pub struct Process {
    /// The operating system's id of this process.
    pub pid: u32,
    runtime: OnceLock<std::result::Result<Runtime, String>>,
    object_ids: ObjectIds,
}

// The lock is held for a few instructions only. A fork from Python happens
// under the GIL, which every caller of `process` on a Python thread holds, and
// no runtime thread calls it, so that a child never inherits it locked.
static PROCESS: Mutex<Option<&'static Process>> = Mutex::new(None);

/// This process's own state; made at the first call, and again in a forked child.
pub fn process() -> &'static Process {
    let mut current = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    current.get_or_insert_with(|| {
        let pid = std::process::id();
        Box::leak(Box::new(Process { pid, runtime: OnceLock::new(), object_ids: ObjectIds::new() }))
    })
}

/// To be called in a forked child, before anything else of this crate. (Asking
/// for the process id at every call would cost a system call each.)
pub fn forked() {
    *PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

impl Process {
    /// The runtime that all clients of this process share.
    ///
    /// # Errors
    /// `InvalidOperation` where the system gives no threads or descriptors.
    pub fn runtime(&'static self) -> Result<&'static Handle> {
        self.runtime
            .get_or_init(|| {
                Builder::new_multi_thread()
                    .worker_threads(worker_threads(std::env::var(WORKER_THREADS_VARIABLE).ok().as_deref()))
                    .thread_name("connect-mongodb")
                    .enable_all()
                    .build()
                    .map_err(|error| error.to_string())
            })
            .as_ref()
            .map(Runtime::handle)
            .map_err(|error| {
                Error::new(
                    ErrorKind::InvalidOperation,
                    format!("the I/O threads could not be started ({error}): raise the limit of threads or open files"),
                )
            })
    }

    /// A new `ObjectId`, unique also across forked processes.
    pub fn object_id(&self) -> ObjectId {
        self.object_ids.next()
    }
}

fn worker_threads(setting: Option<&str>) -> usize {
    setting.and_then(|text| text.trim().parse().ok()).filter(|count| (1..=64).contains(count)).unwrap_or(1)
}

// Not `ObjectId::new`: its random part is drawn once and survives a fork, and
// then parent and child make the same ids.
#[derive(Debug)]
struct ObjectIds {
    random: [u8; 5],
    counter: AtomicU32,
}

impl ObjectIds {
    fn new() -> Self {
        // The driver makes ids of its own, on the runtime's threads. What they
        // rest on is made here, where no fork can come in between.
        let _first = ObjectId::new();
        let mut seed = [0_u8; 9];
        if getrandom::fill(&mut seed).is_err() {
            // No source of randomness: the clock and the process id tell processes apart.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            seed[..8].copy_from_slice(&(now ^ (u64::from(std::process::id()) << 32)).to_le_bytes());
        }
        let [a, b, c, d, e, rest @ ..] = seed;
        Self { random: [a, b, c, d, e], counter: AtomicU32::new(u32::from_le_bytes(rest)) }
    }

    fn next(&self) -> ObjectId {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
        let count = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut bytes = [0_u8; 12];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..9].copy_from_slice(&self.random);
        bytes[9..].copy_from_slice(&count[1..]);
        ObjectId::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn object_ids_are_unique_and_carry_the_time() {
        let ids: HashSet<_> = (0..10_000).map(|_| process().object_id()).collect();
        assert_eq!(ids.len(), 10_000);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        for id in ids {
            assert!((id.timestamp().timestamp_millis() / 1000 - now).abs() < 5);
        }
    }

    #[test]
    fn a_senseless_number_of_workers_is_ignored() {
        assert_eq!(worker_threads(None), 1);
        assert_eq!(worker_threads(Some("4")), 4);
        assert_eq!(worker_threads(Some("0")), 1);
        assert_eq!(worker_threads(Some("many")), 1);
        assert_eq!(worker_threads(Some("100000")), 1);
    }
}
