//! The interpreter's exit: it waits for threads, and a thread in a call waits
//! for the server. A server that answers nothing must not hold it up.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use super::pooled::PooledClient;
use crate::runtime::process;

/// A client that may have to give up.
trait Leaving: Send + Sync {
    fn leave(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<C: PooledClient> Leaving for C {
    fn leave(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.give_up_if_silent()
    }
}

/// The clients of this process.
// Locked for a few instructions, with the GIL held: a forked child never inherits it locked.
static CLIENTS: Mutex<Vec<Weak<dyn Leaving>>> = Mutex::new(Vec::new());
static EXITING: AtomicBool = AtomicBool::new(false);

/// Takes note of a client.
pub fn made<C: PooledClient>(client: &Arc<C>) {
    let weak: Weak<C> = Arc::downgrade(client);
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain(|client| client.strong_count() > 0);
    clients.push(weak.clone());
    drop(clients);
    if EXITING.load(Ordering::Acquire) {
        watch(weak);
    }
}

/// To be called in a forked child: its parent's clients are not its own.
pub fn forked() {
    std::mem::forget(std::mem::take(&mut *CLIENTS.lock().unwrap_or_else(PoisonError::into_inner)));
}

/// Has Python call us when the main thread has ended, before it waits for others.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    static PREPARED: AtomicBool = AtomicBool::new(false);
    if PREPARED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let exiting = PyCFunction::new_closure(py, None, None, |_, _| exiting())?;
    // What `atexit` calls comes after the wait, but is all that other Pythons than CPython have.
    // Pools of threads have theirs called when they were registered later: it waits for their threads.
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
    clients.into_iter().for_each(watch);
}

/// Watches a client for as long as it has calls or holders.
fn watch(client: Weak<dyn Leaving>) {
    let Ok(runtime) = process().runtime() else { return };
    runtime.spawn(async move {
        if let Some(client) = client.upgrade() {
            client.leave().await;
        }
    });
}
