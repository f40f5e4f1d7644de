//! The interpreter's exit. It waits for threads, and a thread in a call waits
//! for the server: a server that does not reply must not block the exit.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use tokio::runtime::Handle;

use crate::python::lifecycle::pooled::PooledClient;

/// A client that may have to give up.
trait Leaving: Send + Sync {
    fn leave(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<C: PooledClient> Leaving for C {
    fn leave(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.give_up_if_silent()
    }
}

/// The clients of this process, with their runtimes.
// Locked for a few instructions while the GIL is held, so that a forked child never inherits a locked mutex.
static CLIENTS: Mutex<Vec<(Weak<dyn Leaving>, &'static Handle)>> = Mutex::new(Vec::new());
static EXITING: AtomicBool = AtomicBool::new(false);

/// Registers a client, whose tasks run on `runtime`.
pub(crate) fn made<C: PooledClient>(client: &Arc<C>, runtime: &'static Handle) {
    let weak: Weak<C> = Arc::downgrade(client);
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain(|(client, _)| client.strong_count() > 0);
    clients.push((weak.clone(), runtime));
    drop(clients);
    if EXITING.load(Ordering::Acquire) {
        watch(weak, runtime);
    }
}

/// Forgets the parent's clients in a forked child.
pub(crate) fn forked() {
    std::mem::forget(std::mem::take(&mut *CLIENTS.lock().unwrap_or_else(PoisonError::into_inner)));
}

/// Registers a callback for the end of the main thread, before Python waits for the other threads.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    static PREPARED: AtomicBool = AtomicBool::new(false);
    if PREPARED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let exiting = PyCFunction::new_closure(py, None, None, |_, _| exiting())?;
    // `atexit` callbacks run after that wait, but are all that Pythons other than CPython have.
    // Callbacks run in reverse order of their registration. That of thread pools waits for their
    // threads, so this import registers it first, to run after ours.
    py.import("concurrent.futures.thread")?;
    let registered =
        py.import("threading")?.getattr("_register_atexit").and_then(|register| register.call1((&exiting,)));
    if registered.is_err() {
        py.import("atexit")?.call_method1("register", (&exiting,))?;
    }
    Ok(())
}

fn exiting() {
    EXITING.store(true, Ordering::Release);
    let clients = std::mem::take(&mut *CLIENTS.lock().unwrap_or_else(PoisonError::into_inner));
    clients.into_iter().for_each(|(client, runtime)| watch(client, runtime));
}

/// Watches a client while it has calls or references.
fn watch(client: Weak<dyn Leaving>, runtime: &Handle) {
    runtime.spawn(async move {
        if let Some(client) = client.upgrade() {
            client.leave().await;
        }
    });
}
