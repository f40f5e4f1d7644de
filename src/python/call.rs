//! A call on its way: Rust without Python while it runs, Python at both ends.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use pyo3::prelude::*;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::bridge::Wakeup;
use super::errors::to_py;
use crate::error::{Error, ErrorKind, Result};

type Running<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;
type Finish<T> = Box<dyn FnOnce(Python<'_>, Result<T>) -> PyResult<Py<PyAny>> + Send>;

/// What a method does: `running` in the core, which holds nothing of
/// Python's, and `finish`, which makes a Python object of its result.
pub struct Call<T> {
    running: Running<T>,
    finish: Finish<T>,
}

impl<T: Send + 'static> Call<T> {
    /// A call whose result, or error, `finish` turns into Python's.
    pub fn new(
        running: impl Future<Output = Result<T>> + Send + 'static,
        finish: impl FnOnce(Python<'_>, Result<T>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let running =
            AssertUnwindSafe(running).catch_unwind().map(|ended| ended.unwrap_or_else(|panic| Err(bug(&*panic))));
        Self { running: Box::pin(running), finish: Box::new(finish) }
    }

    /// Waits for it with the GIL released; signals, as of Ctrl-C, end it.
    pub fn wait(self, py: Python<'_>, runtime: &Handle) -> PyResult<Py<PyAny>> {
        // How long Ctrl-C may take to be seen.
        const SLICE: std::time::Duration = std::time::Duration::from_millis(50);
        let Self { mut running, finish } = self;
        loop {
            let waited = py.detach(|| runtime.block_on(async { tokio::time::timeout(SLICE, running.as_mut()).await }));
            match waited {
                Ok(result) => return finish(py, result),
                // Dropping the call cancels it.
                Err(_) => py.check_signals()?,
            }
        }
    }
}

/// The error for a panic in the core: a bug, which must not take Python along.
fn bug(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(
        ErrorKind::InvalidOperation,
        format!("a bug in connect-eaas-mongodb ({}): please report it", text.unwrap_or("panic")),
    )
}

/// For calls that fail with an exception of their own making only.
pub fn raised<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    result.map_err(|error| to_py(py, error))
}

/// A call as the event loop sees it.
pub trait Pending: Send {
    /// Starts it; `wakeup` is fired once its result is there.
    fn start(&mut self, runtime: &Handle, wakeup: Wakeup);
    /// Its result, once `wakeup` has been fired.
    fn take(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>>;
    /// Cancels it.
    fn cancel(&mut self);
}

/// A [`Call`] whose result is picked up by another thread.
pub struct PendingCall<T> {
    running: Option<Running<T>>,
    finish: Option<Finish<T>>,
    result: Arc<Mutex<Option<Result<T>>>>,
    task: Option<AbortHandle>,
}

impl<T> From<Call<T>> for PendingCall<T> {
    fn from(call: Call<T>) -> Self {
        Self { running: Some(call.running), finish: Some(call.finish), result: Arc::default(), task: None }
    }
}

impl<T: Send + 'static> Pending for PendingCall<T> {
    fn start(&mut self, runtime: &Handle, wakeup: Wakeup) {
        let Some(running) = self.running.take() else { return };
        let result = Arc::clone(&self.result);
        let task = runtime.spawn(async move {
            let ended = running.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            wakeup.fire();
        });
        self.task = Some(task.abort_handle());
    }

    fn take(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let finish = self.finish.take()?;
        Some(finish(py, result))
    }

    fn cancel(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
