//! The runtime of blocking calls, which the calling thread drives.
//!
//! A thread that waits for a call while another thread does its I/O costs two thread switches per call. So the calling
//! thread polls the sockets and runs the runtime's tasks itself. In between, the clients' own tasks (the pools, the
//! monitoring of servers) have to run too: a thread of the runtime, the attendant, drives it whenever no call does.
//!
//! Handing the runtime over costs two thread switches as well. The attendant therefore leaves it to the callers only
//! after [`ALONE`] calls in a row that neither overlapped nor had long pauses in between, and takes it back as soon as
//! calls overlap or pause. Whoever drives, every call makes progress: this decides only which thread does the work.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::task::unconstrained;
use tokio::time::timeout;

/// The number of calls in a row after which the calling thread drives the runtime.
const ALONE: u32 = 16;

/// How long no thread may drive the runtime. It delays only tasks that no call waits for.
const PAUSE: Duration = Duration::from_millis(2);

/// A runtime as blocking calls use it.
#[derive(Clone, Copy)]
pub enum BlockingRuntime {
    /// One that its callers drive.
    OfCallers(&'static CallersRuntime),
    /// One with threads of its own.
    OfThreads(&'static Handle),
}

impl BlockingRuntime {
    /// Returns the handle, to spawn tasks.
    pub fn handle(self) -> &'static Handle {
        match self {
            Self::OfCallers(runtime) => runtime.runtime.handle(),
            Self::OfThreads(handle) => handle,
        }
    }

    /// Waits in this thread until `work` has finished.
    pub fn block_on<F: Future>(self, work: F) -> F::Output {
        match self {
            Self::OfCallers(runtime) => runtime.block_on(work),
            Self::OfThreads(handle) => handle.block_on(work),
        }
    }

    /// Waits in this thread until `work` has finished, or for this time. Work that has not finished can be waited for again.
    pub fn block_on_for<F: Future + Unpin>(self, time: Duration, work: &mut F) -> Option<F::Output> {
        // Without a budget: a future that has used it up, such as one of many in a `join_all`, is woken by the same
        // `block_on`, or never if that ends before.
        self.block_on(async { timeout(time, unconstrained(work)).await }).ok()
    }

    /// Has a thread of the runtime drive it, for tasks that must make progress between calls.
    pub fn attend(self) {
        if let Self::OfCallers(runtime) = self {
            runtime.attend();
        }
    }
}

/// A runtime that its callers drive.
pub struct CallersRuntime {
    runtime: Runtime,
    /// Whether the attendant is to drive.
    attended: AtomicBool,
    /// Tells the attendant that it is not.
    leave: Notify,
    /// The number of calls that wait.
    waiting: AtomicUsize,
    /// The number of calls so far. It may overflow.
    calls: AtomicU32,
    /// The number of calls in a row that neither overlapped nor paused. It may overflow.
    alone: AtomicU32,
    attendant: OnceLock<Thread>,
}

impl CallersRuntime {
    /// Starts a runtime that is never stopped.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn start(thread_name: &str) -> std::io::Result<&'static Self> {
        let runtime: &'static Self = Box::leak(Box::new(Self {
            runtime: Builder::new_current_thread().enable_all().thread_name(thread_name).build()?,
            attended: AtomicBool::new(true),
            leave: Notify::new(),
            waiting: AtomicUsize::new(0),
            calls: AtomicU32::new(0),
            alone: AtomicU32::new(0),
            attendant: OnceLock::new(),
        }));
        let thread = std::thread::Builder::new().name(thread_name.to_owned()).spawn(move || runtime.stand_in())?;
        drop(runtime.attendant.set(thread.thread().clone()));
        Ok(runtime)
    }

    /// The attendant's thread.
    fn stand_in(&self) {
        loop {
            self.runtime.block_on(async {
                while self.attended.load(Ordering::Acquire) {
                    self.leave.notified().await;
                }
            });
            while !self.attended.load(Ordering::Acquire) {
                let before = self.calls.load(Ordering::Relaxed);
                std::thread::park_timeout(PAUSE);
                let paused = self.waiting.load(Ordering::Acquire) == 0 && self.calls.load(Ordering::Relaxed) == before;
                if paused {
                    self.alone.store(0, Ordering::Relaxed);
                    self.attended.store(true, Ordering::Release);
                }
            }
        }
    }

    fn attend(&self) {
        self.alone.store(0, Ordering::Relaxed);
        if !self.attended.swap(true, Ordering::AcqRel)
            && let Some(attendant) = self.attendant.get()
        {
            attendant.unpark();
        }
    }

    fn block_on<F: Future>(&self, work: F) -> F::Output {
        let _waiting = Waiting::new(self);
        self.runtime.block_on(work)
    }
}

/// A call that waits.
struct Waiting<'a>(&'a CallersRuntime);

impl<'a> Waiting<'a> {
    fn new(runtime: &'a CallersRuntime) -> Self {
        runtime.calls.fetch_add(1, Ordering::Relaxed);
        if runtime.waiting.fetch_add(1, Ordering::AcqRel) > 0 {
            runtime.attend();
        } else if runtime.alone.fetch_add(1, Ordering::Relaxed) >= ALONE
            && runtime.attended.load(Ordering::Acquire)
            && runtime.attended.swap(false, Ordering::AcqRel)
        {
            runtime.leave.notify_one();
        }
        Self(runtime)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::mpsc;
    use std::thread;

    /// Runs a task in a call, and returns the name of the thread that ran it.
    fn driver(runtime: &'static CallersRuntime) -> Option<String> {
        let name = async { thread::current().name().map(str::to_owned) };
        runtime.block_on(async { tokio::spawn(name).await.unwrap() })
    }

    fn drive_alone(runtime: &'static CallersRuntime) {
        let this = thread::current().name().map(str::to_owned);
        assert!((0..100_000).any(|_| driver(runtime) == this && !runtime.attended.load(Ordering::Acquire)));
    }

    #[test]
    fn a_thread_that_calls_often_drives_the_runtime() {
        let runtime = CallersRuntime::start("attendant").unwrap();
        drive_alone(runtime);
    }

    #[test]
    fn the_attendant_drives_when_it_is_asked_to() {
        let runtime = CallersRuntime::start("attendant").unwrap();
        drive_alone(runtime);
        assert!((0..100_000).any(|_| {
            runtime.attend();
            driver(runtime).as_deref() == Some("attendant")
        }));
        drive_alone(runtime);
    }

    #[test]
    fn tasks_run_between_calls() {
        let runtime = CallersRuntime::start("attendant").unwrap();
        drive_alone(runtime);
        let (sender, receiver) = mpsc::channel();
        runtime.runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            sender.send(thread::current().name().map(str::to_owned))
        });
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("attendant"));
        assert!(runtime.attended.load(Ordering::Acquire));
    }

    /// Waits for work in slices of no time.
    fn work_in_slices<F: Future + Unpin>(runtime: &'static CallersRuntime, mut work: F) -> Option<F::Output> {
        let runtime = BlockingRuntime::OfCallers(runtime);
        (0..1_000).find_map(|_| runtime.block_on_for(Duration::ZERO, &mut work))
    }

    #[test]
    fn work_that_is_waited_for_in_slices_is_woken() {
        let runtime = CallersRuntime::start("attendant").unwrap();
        drive_alone(runtime);
        let results = (0..50_000).map(|_| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            sender.send(()).unwrap();
            receiver
        });
        let results = work_in_slices(runtime, join_all(results));
        assert_eq!(results.unwrap().len(), 50_000);
    }

    #[test]
    fn calls_that_overlap_all_finish() {
        const CALLS: usize = 2_000;
        let runtime = CallersRuntime::start("attendant").unwrap();
        drive_alone(runtime);
        let threads: Vec<_> = (0..8)
            .map(|number| {
                thread::spawn(move || {
                    for call in 0..CALLS {
                        let wait = Duration::from_micros(if call % 100 == number { 500 } else { 0 });
                        let call = async move { tokio::time::sleep(wait).await };
                        runtime.block_on(async { tokio::spawn(call).await.unwrap() });
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(runtime.waiting.load(Ordering::Acquire), 0);
        drive_alone(runtime);
    }
}
