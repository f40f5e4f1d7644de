//! From the runtime's threads back to an event loop.
//!
//! A thread of the runtime never waits for the GIL: it puts a finished call's
//! token into the loop's mailbox and, where the mailbox was empty, raises a
//! signal that the loop watches (`loop.add_reader`). The loop's own
//! thread then takes all tokens at once. A loop that has no
//! `add_reader` (Windows' proactor) gets a thread that waits for it and
//! calls `call_soon_threadsafe`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefReference};

use crate::insert_queue::{Flush, Submission};
use crate::mailbox::{Mailbox, Signal, Wakeup};
use crate::python::convert::errors::to_py;
use crate::python::lifecycle::once::{Once, intern};
use crate::runtime::process;

/// An event loop's end of the bridge.
#[pyclass(module = "connect.eaas.mongodb._native", frozen, weakref)]
pub(crate) struct LoopBridge {
    mailbox: Arc<Mailbox>,
    /// The futures of running calls. A future references the task that waits for it,
    /// which may have no other reference.
    waiting: Mutex<HashMap<u64, Py<PyAny>>>,
    next_token: AtomicU64,
    event_loop: Py<PyWeakrefReference>,
    /// The clients to flush at the end of the loop's turn.
    flushes: Mutex<Vec<Arc<dyn Flush>>>,
    /// Whether a call was started since results were last delivered.
    begun: AtomicBool,
}

// The loop owns its bridge; all other references are weak. A loop that is
// closed while calls run is therefore collected together with its bridge,
// the futures and the tasks.
thread_local! {
    static LAST: RefCell<Option<Py<PyWeakrefReference>>> = const { RefCell::new(None) };
}

// Loop ► bridge. Both references are weak.
static BRIDGES: Once<Py<PyAny>> = Once::new();

impl LoopBridge {
    /// The bridge of the running event loop, and the loop.
    pub(crate) fn of_running_loop(py: Python<'_>) -> PyResult<(Py<Self>, Bound<'_, PyAny>)> {
        static RUNNING_LOOP: Once<Py<PyAny>> = Once::new();
        let running_loop = RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
        // A thread runs one loop at a time, usually the same one.
        let last = LAST.with_borrow(|last| last.as_ref().map(|bridge| bridge.clone_ref(py)));
        if let Some(bridge) = last.and_then(|last| known(last.bind(py)))
            && bridge.get().event_loop.bind(py).upgrade().is_some_and(|known| known.is(&running_loop))
        {
            return Ok((bridge.unbind(), running_loop));
        }
        let bridge = Self::of(&running_loop)?;
        let previous = LAST.replace(Some(PyWeakrefReference::new(bridge.bind(py))?.unbind()));
        drop(previous);
        Ok((bridge, running_loop))
    }

    fn of(running_loop: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let py = running_loop.py();
        let bridges = BRIDGES
            .get(py, || {
                let bridges = py.import("weakref")?.getattr("WeakKeyDictionary")?.call0()?;
                Ok(bridges.unbind())
            })?
            .bind(py);
        let there = bridges.call_method1(intern!(py, "get"), (running_loop,))?;
        if let Some(bridge) = there.cast::<PyWeakrefReference>().ok().and_then(known) {
            return Ok(bridge.unbind());
        }
        let bridge = Self::watching(running_loop)?;
        bridges.set_item(running_loop, PyWeakrefReference::new(bridge.bind(py))?)?;
        Ok(bridge)
    }

    fn watching(running_loop: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let py = running_loop.py();
        let new = |signal| {
            Bound::new(
                py,
                Self {
                    mailbox: Arc::new(Mailbox::new(signal)),
                    waiting: Mutex::default(),
                    next_token: AtomicU64::new(0),
                    event_loop: PyWeakrefReference::new(running_loop)?.unbind(),
                    flushes: Mutex::default(),
                    begun: AtomicBool::new(false),
                },
            )
        };
        #[cfg(unix)]
        if let Ok(signal) = Signal::new() {
            let descriptor = signal.descriptor();
            let bridge = new(Some(signal))?;
            let drain = bridge.getattr(intern!(py, "_drain"))?;
            match running_loop.call_method1(intern!(py, "add_reader"), (descriptor, drain)) {
                Ok(_) => return Ok(bridge.unbind()),
                Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {}
                Err(error) => return Err(error),
            }
        }
        let bridge = new(None)?;
        running_loop.setattr(intern!(py, "_connect_mongodb_bridge"), &bridge)?;
        let waiting = Bound::new(
            py,
            Waiting {
                mailbox: Arc::clone(&bridge.get().mailbox),
                event_loop: PyWeakrefReference::new(running_loop)?.unbind(),
                bridge: PyWeakrefReference::new(&bridge)?.unbind(),
            },
        )?;
        let arguments = PyDict::new(py);
        arguments.set_item("target", waiting.getattr(intern!(py, "_watch"))?)?;
        arguments.set_item("name", "connect-mongodb-wakeup")?;
        arguments.set_item("daemon", true)?;
        let thread = py.import("threading")?.getattr("Thread")?.call((), Some(&arguments))?;
        // The thread ends with its loop, and before the interpreter's exit: it
        // must not run Python code then.
        let close = waiting.getattr(intern!(py, "_close"))?;
        py.import("weakref")?.getattr("finalize")?.call1((running_loop, close, &thread))?;
        thread.call_method0("start")?;
        Ok(bridge.unbind())
    }

    /// The token of the next call, and the wakeup that signals its end.
    pub(crate) fn next_call(&self) -> (u64, Wakeup) {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        (token, Wakeup::new(Arc::clone(&self.mailbox), token))
    }

    /// Keeps `future` until its call has ended. The loop's thread calls this in the same turn as [`Self::next_call`].
    pub(crate) fn expect(&self, token: u64, future: Py<PyAny>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(token, future);
    }

    /// Drops the future of a cancelled call.
    pub(crate) fn forget(&self, token: u64) {
        let _future = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&token);
    }

    /// Whether the call that starts now is the first in this iteration of the loop.
    pub(crate) fn submission(&self) -> Submission {
        if self.begun.swap(true, Ordering::Relaxed) { Submission::LaterInTurn } else { Submission::FirstOfTurn }
    }

    /// Calls `flush` once, at the end of the loop's turn.
    pub(crate) fn flush_after_turn(
        slf: &Py<Self>,
        event_loop: &Bound<'_, PyAny>,
        flush: Arc<dyn Flush>,
    ) -> PyResult<()> {
        let py = event_loop.py();
        {
            let mut flushes = slf.get().flushes.lock().unwrap_or_else(PoisonError::into_inner);
            let first = flushes.is_empty();
            if !flushes.iter().any(|known| Arc::ptr_eq(known, &flush)) {
                flushes.push(flush);
            }
            if !first {
                return Ok(());
            }
        }
        let callback = slf.getattr(py, intern!(py, "_flush"))?;
        event_loop.call_method1(intern!(py, "call_soon"), (callback,))?;
        Ok(())
    }

    fn arrived(&self, token: u64) -> Option<Py<PyAny>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&token)
    }
}

fn known<'py>(bridge: &Bound<'py, PyWeakrefReference>) -> Option<Bound<'py, LoopBridge>> {
    bridge.upgrade()?.cast_into::<LoopBridge>().ok()
}

#[pymethods]
impl LoopBridge {
    /// Wakes the tasks whose calls have ended. Runs on the loop's own thread.
    fn _drain(&self, py: Python<'_>) -> PyResult<()> {
        self.begun.store(false, Ordering::Relaxed);
        for token in self.mailbox.take() {
            let Some(future) = self.arrived(token) else { continue };
            let future = future.bind(py);
            if let Err(error) = future.call_method1(intern!(py, "set_result"), (py.None(),))
                && !future.call_method0(intern!(py, "done"))?.is_truthy()?
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Flushes the clients at the end of the loop's turn.
    fn _flush(&self, py: Python<'_>) -> PyResult<()> {
        self.begun.store(false, Ordering::Relaxed);
        let flushes = std::mem::take(&mut *self.flushes.lock().unwrap_or_else(PoisonError::into_inner));
        let runtime = process().runtime().map_err(|error| to_py(py, error))?;
        for client in flushes {
            client.flush(runtime);
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(waiting) = self.waiting.try_lock() {
            waiting.values().try_for_each(|future| visit.call(future))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        drop(waiting);
    }
}

/// Waits for finished calls on behalf of a loop without `add_reader`. It
/// keeps neither the loop nor its bridge alive.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub(crate) struct Waiting {
    mailbox: Arc<Mailbox>,
    event_loop: Py<PyWeakrefReference>,
    bridge: Py<PyWeakrefReference>,
}

#[pymethods]
impl Waiting {
    fn _watch(&self, py: Python<'_>) -> PyResult<()> {
        while py.detach(|| self.mailbox.wait()) {
            let (Some(event_loop), Some(bridge)) = (self.event_loop.bind(py).upgrade(), known(self.bridge.bind(py)))
            else {
                break;
            };
            let drain = bridge.getattr(intern!(py, "_drain"))?;
            match event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (drain,)) {
                Ok(_) => {}
                // The loop is closed.
                Err(error) if error.is_instance_of::<PyRuntimeError>(py) => break,
                Err(error) => return Err(error),
            }
            drop((event_loop, bridge));
            // The loop takes all tokens now; the next wait is for later ones.
            py.detach(|| std::thread::sleep(std::time::Duration::from_millis(1)));
        }
        Ok(())
    }

    /// Stops the waiting thread.
    fn _close(&self, thread: &Bound<'_, PyAny>) -> PyResult<()> {
        // In seconds: the thread only has to return from one call.
        const LONGEST: f64 = 2.0;
        self.mailbox.close();
        let current = thread.py().import("threading")?.call_method0("current_thread")?;
        if !thread.is(&current) && thread.call_method0("is_alive")?.is_truthy()? {
            thread.call_method1("join", (LONGEST,))?;
        }
        Ok(())
    }
}
