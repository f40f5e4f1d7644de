//! A call on its way: Rust without Python while it runs, Python at both ends.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use pyo3::prelude::*;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::errors::to_py;
use super::pooled::PooledClient;
use crate::coalesce::{Flush, More, Settle, awaited};
use crate::driver::events::{Heard, Listener};
use crate::error::{Error, ErrorKind, Result};
use crate::mailbox::Wakeup;

/// Work of the core.
pub type Running<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;
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
}

impl Call<()> {
    /// A call that only returns `object`.
    pub fn returning(object: Py<PyAny>) -> Self {
        Self::new(async { Ok(()) }, move |_, _| Ok(object))
    }
}

impl<T: Send + 'static> Call<T> {
    /// The same call, begun already: it goes on whether its result is asked for or not.
    pub fn begun(self, runtime: &Handle) -> Self {
        let running = runtime.spawn(self.running);
        let ended = async move {
            running.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::InvalidOperation, "the call was cancelled")))
        };
        Self { running: Box::pin(ended), finish: self.finish }
    }
}

/// A call that has been made and not been started.
pub trait Startable: Send + 'static {
    /// As the event loop sees it.
    fn pending(self) -> Box<dyn Pending>;
    /// Carries it out in this thread, with the GIL released.
    fn wait(self, py: Python<'_>, runtime: &Handle) -> PyResult<Py<PyAny>>;
    /// The same, of which a listener hears.
    #[must_use]
    fn heard_by(self, heard: Option<Heard>) -> Self;
    /// The same, which fails where its client gives up.
    #[must_use]
    fn of_client(self, client: &impl PooledClient) -> Self;
}

/// `finish`, once listeners have heard what was told until then.
fn after_listeners<T: 'static>(listener: Arc<dyn Listener>, finish: Finish<T>) -> Finish<T> {
    Box::new(move |py, result| {
        listener.settle();
        finish(py, result)
    })
}

impl<T: Send + 'static> Startable for Call<T> {
    fn pending(self) -> Box<dyn Pending> {
        Box::new(PendingCall {
            running: Some(self.running),
            finish: Some(self.finish),
            result: Arc::default(),
            task: None,
        })
    }

    fn wait(self, py: Python<'_>, runtime: &Handle) -> PyResult<Py<PyAny>> {
        let result = wait(py, runtime, self.running)?;
        (self.finish)(py, result)
    }

    fn heard_by(self, heard: Option<Heard>) -> Self {
        let Some(heard) = heard else { return self };
        let finish = after_listeners(Arc::clone(&heard.listener), self.finish);
        Self { running: Box::pin(Heard::scope(Some(heard), self.running)), finish }
    }

    fn of_client(self, client: &impl PooledClient) -> Self {
        Self { running: client.until_given_up(self.running), finish: self.finish }
    }
}

/// Waits for work with the GIL released; signals, as of Ctrl-C, end it.
pub fn wait<T: Send>(
    py: Python<'_>,
    runtime: &Handle,
    mut running: Pin<Box<dyn Future<Output = T> + Send>>,
) -> PyResult<T> {
    // How long Ctrl-C may take to be seen.
    const SLICE: std::time::Duration = std::time::Duration::from_millis(50);
    loop {
        let waited = py.detach(|| runtime.block_on(async { tokio::time::timeout(SLICE, running.as_mut()).await }));
        match waited {
            Ok(result) => return Ok(result),
            // Dropping the work cancels it.
            Err(_) => py.check_signals()?,
        }
    }
}

/// Hands a document over to what merges inserts.
pub type Handing = Box<dyn FnOnce(&Handle, Box<dyn Settle>, More) -> Option<Arc<dyn Flush>> + Send>;

/// An insert: on its own, or handed over to be merged with its neighbours.
pub enum Insert {
    /// On its own.
    Alone(Call<()>),
    /// Handed over to what merges inserts.
    Merged {
        /// Hands it over, with whoever waits for it.
        hand_over: Handing,
        /// Makes the Python result.
        finish: Finish<()>,
    },
}

impl Startable for Insert {
    fn pending(self) -> Box<dyn Pending> {
        match self {
            Self::Alone(call) => call.pending(),
            Self::Merged { hand_over, finish } => {
                Box::new(PendingInsert { hand_over: Some(hand_over), finish: Some(finish), receipt: Arc::default() })
            }
        }
    }

    fn wait(self, py: Python<'_>, runtime: &Handle) -> PyResult<Py<PyAny>> {
        match self {
            Self::Alone(call) => call.wait(py, runtime),
            Self::Merged { hand_over, finish } => {
                let (caller, ended) = awaited();
                hand_over(runtime, caller, More::No);
                let result = wait(py, runtime, Box::pin(ended))?;
                finish(py, result)
            }
        }
    }

    fn heard_by(self, heard: Option<Heard>) -> Self {
        match (self, heard) {
            (Self::Alone(call), heard) => Self::Alone(call.heard_by(heard)),
            // Sent with its neighbours, it is no caller's own.
            (Self::Merged { hand_over, finish }, Some(heard)) => {
                Self::Merged { hand_over, finish: after_listeners(heard.listener, finish) }
            }
            (merged, None) => merged,
        }
    }

    fn of_client(self, client: &impl PooledClient) -> Self {
        match self {
            Self::Alone(call) => Self::Alone(call.of_client(client)),
            // What merges inserts sees to that.
            merged @ Self::Merged { .. } => merged,
        }
    }
}

/// An insert that was handed over.
struct PendingInsert {
    hand_over: Option<Handing>,
    finish: Option<Finish<()>>,
    receipt: Arc<Receipt>,
}

#[derive(Default)]
struct Receipt {
    result: Mutex<Option<Result<()>>>,
    cancelled: AtomicBool,
}

struct Caller {
    receipt: Arc<Receipt>,
    wakeup: Wakeup,
}

impl Settle for Caller {
    fn wanted(&self) -> bool {
        !self.receipt.cancelled.load(Ordering::Relaxed)
    }

    fn settle(self: Box<Self>, result: Result<()>) -> Option<Wakeup> {
        *self.receipt.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        Some(self.wakeup)
    }
}

impl Pending for PendingInsert {
    fn start(&mut self, runtime: &Handle, wakeup: Wakeup, more: More) -> Option<Arc<dyn Flush>> {
        let caller = Caller { receipt: Arc::clone(&self.receipt), wakeup };
        (self.hand_over.take()?)(runtime, Box::new(caller), more)
    }

    fn take(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let result = self.receipt.result.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let finish = self.finish.take()?;
        Some(finish(py, result))
    }

    fn cancel(&mut self) {
        // What is in flight already may still be stored; what waits is not sent.
        self.receipt.cancelled.store(true, Ordering::Relaxed);
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
    /// Starts it; `wakeup` is fired once its result is there. Gives what it
    /// waits for to be told of the end of the loop's turn, if it does.
    fn start(&mut self, runtime: &Handle, wakeup: Wakeup, more: More) -> Option<Arc<dyn Flush>>;
    /// Its result, once `wakeup` has been fired.
    fn take(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>>;
    /// Cancels it.
    fn cancel(&mut self);
}

/// A [`Call`] whose result is picked up by another thread.
struct PendingCall<T> {
    running: Option<Running<T>>,
    finish: Option<Finish<T>>,
    result: Arc<Mutex<Option<Result<T>>>>,
    task: Option<AbortHandle>,
}

impl<T: Send + 'static> Pending for PendingCall<T> {
    fn start(&mut self, runtime: &Handle, wakeup: Wakeup, _more: More) -> Option<Arc<dyn Flush>> {
        let running = self.running.take()?;
        let result = Arc::clone(&self.result);
        let task = runtime.spawn(async move {
            let ended = running.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            wakeup.fire();
        });
        self.task = Some(task.abort_handle());
        None
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
