//! Per-process state: the tokio runtimes and the `ObjectId` generator. All are created on
//! first use. A forked child creates its own: threads do not survive a fork, so the parent's
//! state is leaked in the child, not dropped.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bson::oid::ObjectId;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::blocking::{BlockingRuntime, CallersRuntime};
use crate::error::{Error, ErrorKind, Result};

/// The environment variable that sets the number of worker threads of the
/// runtime (default 1, maximum 64). One thread saturates a core with
/// inserts; more help if TLS or large documents keep the first one busy.
pub const WORKER_THREADS_VARIABLE: &str = "CONNECT_MONGODB_WORKER_THREADS";

const THREAD_NAME: &str = "connect-mongodb";

/// The state of one process.
pub struct Process {
    /// The process ID.
    pub pid: u32,
    worker_threads: usize,
    runtime: OnceLock<std::result::Result<Runtime, String>>,
    blocking: OnceLock<std::result::Result<BlockingRuntime, String>>,
    object_ids: ObjectIds,
}

// The lock is held for a few instructions only. Python forks under the GIL, which every
// caller of `process` on a Python thread holds, and no runtime thread calls it. So a child
// never inherits a locked mutex.
static PROCESS: Mutex<Option<&'static Process>> = Mutex::new(None);

/// Returns the state of this process. The first call creates it, also in a forked child.
pub fn process() -> &'static Process {
    let mut current = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    current.get_or_insert_with(|| {
        let pid = std::process::id();
        Box::leak(Box::new(Process {
            pid,
            worker_threads: worker_threads(std::env::var(WORKER_THREADS_VARIABLE).ok().as_deref()),
            runtime: OnceLock::new(),
            blocking: OnceLock::new(),
            object_ids: ObjectIds::new(),
        }))
    })
}

/// Resets the state. A forked child must call this before anything else of this crate.
/// (Checking the process ID in every call would cost a system call each.)
pub fn forked() {
    *PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

impl Process {
    /// Returns the runtime that the awaited clients of this process share.
    ///
    /// # Errors
    /// `InvalidOperation` if the system limits of threads or file descriptors are reached.
    pub fn runtime(&'static self) -> Result<&'static Handle> {
        self.runtime
            .get_or_init(|| {
                Builder::new_multi_thread()
                    .worker_threads(self.worker_threads)
                    .thread_name(THREAD_NAME)
                    .enable_all()
                    .build()
                    .map_err(|error| error.to_string())
            })
            .as_ref()
            .map(Runtime::handle)
            .map_err(|error| not_started(error))
    }

    /// Returns the runtime that the blocking clients of this process share: one that the calling threads drive, or that
    /// of the awaited clients if several worker threads are set.
    ///
    /// # Errors
    /// As [`Self::runtime`].
    pub fn blocking_runtime(&'static self) -> Result<BlockingRuntime> {
        if self.worker_threads > 1 {
            return self.runtime().map(BlockingRuntime::OfThreads);
        }
        let start = || CallersRuntime::start(THREAD_NAME).map(BlockingRuntime::OfCallers);
        let runtime = self.blocking.get_or_init(|| start().map_err(|error| error.to_string()));
        runtime.as_ref().copied().map_err(|error| not_started(error))
    }

    /// Generates an `ObjectId` that is unique even across forked processes.
    pub fn object_id(&self) -> ObjectId {
        self.object_ids.next()
    }
}

fn not_started(error: &str) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("the I/O threads could not be started ({error}): raise the limit of threads or open files"),
    )
}

fn worker_threads(setting: Option<&str>) -> usize {
    setting.and_then(|text| text.trim().parse().ok()).filter(|count| (1..=64).contains(count)).unwrap_or(1)
}

// Replaces `ObjectId::new`, whose random part survives a fork, so that parent and child
// generate the same IDs.
#[derive(Debug)]
struct ObjectIds {
    random: [u8; 5],
    counter: AtomicU32,
}

impl ObjectIds {
    fn new() -> Self {
        // The driver generates IDs on the runtime's threads. Initialize its generator here,
        // where no fork can interrupt it.
        let _first = ObjectId::new();
        let mut seed = [0_u8; 9];
        if getrandom::fill(&mut seed).is_err() {
            // Without a random source, the clock and the process ID distinguish processes.
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
    fn object_ids_are_unique_and_contain_the_time() {
        let ids: HashSet<_> = (0..10_000).map(|_| process().object_id()).collect();
        assert_eq!(ids.len(), 10_000);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        for id in ids {
            assert!((id.timestamp().timestamp_millis() / 1000 - now).abs() < 5);
        }
    }

    #[test]
    fn an_invalid_number_of_worker_threads_is_ignored() {
        assert_eq!(worker_threads(None), 1);
        assert_eq!(worker_threads(Some("4")), 4);
        assert_eq!(worker_threads(Some("0")), 1);
        assert_eq!(worker_threads(Some("many")), 1);
        assert_eq!(worker_threads(Some("100000")), 1);
    }
}
