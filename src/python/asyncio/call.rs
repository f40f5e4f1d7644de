//! A call of the core. It uses Python before and after it runs, not meanwhile.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use pyo3::prelude::*;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::blocking::BlockingRuntime;
use crate::driver::events::{EventContext, Listener};
use crate::driver::time_limit::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::insert_queue::{Completion, Flush, Submission, awaited};
use crate::mailbox::Wakeup;
use crate::python::convert::errors::to_py;
use crate::python::lifecycle::pooled::PooledClient;

/// Work of the core.
pub(crate) type Running<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;
type Finish<T> = Box<dyn FnOnce(Python<'_>, Result<T>) -> PyResult<Py<PyAny>> + Send>;

/// A method's work: `running` runs in the core and holds no Python objects;
/// `finish` converts its result to a Python object.
pub(crate) struct Call<T> {
    running: Running<T>,
    finish: Finish<T>,
}

impl<T: Send + 'static> Call<T> {
    /// A call whose result or error `finish` converts to Python's.
    pub(crate) fn new(
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
    pub(crate) fn returning(object: Py<PyAny>) -> Self {
        Self::new(async { Ok(()) }, move |_, _| Ok(object))
    }
}

impl<T: Send + 'static> Call<T> {
    /// Starts the call. It runs to its end even if its result is never taken.
    pub(crate) fn begun(self, runtime: &Handle) -> Self {
        let running = runtime.spawn(self.running);
        let ended = async move {
            running.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::InvalidOperation, "the call was cancelled")))
        };
        Self { running: Box::pin(ended), finish: self.finish }
    }
}

/// A call that has been made, but not started.
pub(crate) trait Startable: Send + 'static {
    /// As the event loop sees it.
    fn pending(self) -> Box<dyn Pending>;
    /// Runs the call in this thread, with the GIL released.
    fn wait(self, py: Python<'_>, runtime: BlockingRuntime) -> PyResult<Py<PyAny>>;
    /// Sends the call's events to a listener.
    #[must_use]
    fn with_events(self, events: Option<EventContext>) -> Self;
    /// Makes the call fail at its deadline.
    #[must_use]
    fn until(self, deadline: Option<Deadline>) -> Self;
    /// Makes the call fail when its client gives up.
    #[must_use]
    fn until_given_up_by(self, client: &impl PooledClient) -> Self;
}

/// `finish`, after the listeners have received all earlier events.
fn after_listeners<T: 'static>(listener: Arc<dyn Listener>, finish: Finish<T>) -> Finish<T> {
    Box::new(move |py, result| {
        listener.drain();
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

    fn wait(self, py: Python<'_>, runtime: BlockingRuntime) -> PyResult<Py<PyAny>> {
        let result = wait(py, runtime, self.running)?;
        (self.finish)(py, result)
    }

    fn with_events(self, events: Option<EventContext>) -> Self {
        let Some(events) = events else { return self };
        let finish = after_listeners(Arc::clone(&events.listener), self.finish);
        let running = self.running;
        Self { running: Box::pin(async move { EventContext::scope(Some(&events), running).await }), finish }
    }

    fn until(self, deadline: Option<Deadline>) -> Self {
        if deadline.is_none() {
            return self;
        }
        Self { running: Box::pin(Deadline::scope(deadline, self.running)), finish: self.finish }
    }

    fn until_given_up_by(self, client: &impl PooledClient) -> Self {
        Self { running: client.until_given_up(self.running), finish: self.finish }
    }
}

/// Waits for work with the GIL released. A signal such as Ctrl-C's ends the wait.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    runtime: BlockingRuntime,
    mut running: Pin<Box<dyn Future<Output = T> + Send>>,
) -> PyResult<T> {
    // The longest delay before Ctrl-C takes effect.
    const SLICE: std::time::Duration = std::time::Duration::from_millis(50);
    loop {
        if let Some(result) = py.detach(|| runtime.block_on_for(SLICE, &mut running)) {
            return Ok(result);
        }
        // Dropping the work cancels it.
        py.check_signals()?;
    }
}

/// Adds a document to the queue of inserts that are merged.
pub(crate) type Enqueue = Box<dyn FnOnce(&Handle, Box<dyn Completion>, Submission) -> Option<Arc<dyn Flush>> + Send>;

/// An insert: sent by itself, or queued to be merged with others.
pub(crate) enum Insert {
    /// Sent by itself.
    Alone(Call<()>),
    /// Queued to be merged with others.
    Merged {
        /// Queues the document, with its caller.
        enqueue: Enqueue,
        /// Makes the Python result.
        finish: Finish<()>,
    },
}

impl Startable for Insert {
    fn pending(self) -> Box<dyn Pending> {
        match self {
            Self::Alone(call) => call.pending(),
            Self::Merged { enqueue, finish } => {
                Box::new(PendingInsert { enqueue: Some(enqueue), finish: Some(finish), receipt: Arc::default() })
            }
        }
    }

    fn wait(self, py: Python<'_>, runtime: BlockingRuntime) -> PyResult<Py<PyAny>> {
        match self {
            Self::Alone(call) => call.wait(py, runtime),
            Self::Merged { enqueue, finish } => {
                let (caller, ended) = awaited();
                // A task that is spawned by the thread that drives the runtime wakes no other.
                let inserting = async move {
                    enqueue(runtime.handle(), caller, Submission::Blocking);
                    ended.await
                };
                let result = wait(py, runtime, Box::pin(inserting))?;
                finish(py, result)
            }
        }
    }

    fn with_events(self, events: Option<EventContext>) -> Self {
        match (self, events) {
            (Self::Alone(call), events) => Self::Alone(call.with_events(events)),
            // The command is attributed to the callers of all its documents.
            (Self::Merged { enqueue, finish }, Some(events)) => {
                Self::Merged { enqueue, finish: after_listeners(events.listener, finish) }
            }
            (merged, None) => merged,
        }
    }

    fn until(self, deadline: Option<Deadline>) -> Self {
        match self {
            Self::Alone(call) => Self::Alone(call.until(deadline)),
            // An insert with a deadline is sent by itself.
            merged @ Self::Merged { .. } => merged,
        }
    }

    fn until_given_up_by(self, client: &impl PooledClient) -> Self {
        match self {
            Self::Alone(call) => Self::Alone(call.until_given_up_by(client)),
            // The queue fails its inserts when the client gives up.
            merged @ Self::Merged { .. } => merged,
        }
    }
}

/// An insert in the queue.
struct PendingInsert {
    enqueue: Option<Enqueue>,
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

impl Completion for Caller {
    fn wanted(&self) -> bool {
        !self.receipt.cancelled.load(Ordering::Relaxed)
    }

    fn complete(self: Box<Self>, result: Result<()>) -> Option<Wakeup> {
        *self.receipt.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        Some(self.wakeup)
    }
}

impl Pending for PendingInsert {
    fn start(&mut self, runtime: &Handle, wakeup: Wakeup, submission: Submission) -> Option<Arc<dyn Flush>> {
        let caller = Caller { receipt: Arc::clone(&self.receipt), wakeup };
        (self.enqueue.take()?)(runtime, Box::new(caller), submission)
    }

    fn take(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let result = self.receipt.result.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let finish = self.finish.take()?;
        Some(finish(py, result))
    }

    fn cancel(&mut self) {
        // An insert in flight may still be stored; a queued one is not sent.
        self.receipt.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The error for a panic in the core, which is a bug and must not abort the process.
fn bug(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(
        ErrorKind::InvalidOperation,
        format!("a bug in connect-eaas-mongodb ({}): please report it", text.unwrap_or("panic")),
    )
}

/// Converts the core's error to a Python exception.
pub(crate) fn raised<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    result.map_err(|error| to_py(py, error))
}

/// A call as the event loop sees it.
pub(crate) trait Pending: Send {
    /// Starts the call; `wakeup` fires once its result is available. Returns the
    /// client to flush at the end of the loop's turn, if the call waits for that.
    fn start(&mut self, runtime: &Handle, wakeup: Wakeup, submission: Submission) -> Option<Arc<dyn Flush>>;
    /// Its result, if the call has nothing to wait for and need not be started.
    fn immediate(&mut self) -> Option<Py<PyAny>> {
        None
    }
    /// Its result, once `wakeup` has been fired.
    fn take(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>>;
    /// Cancels it.
    fn cancel(&mut self);
}

/// A result that there is already.
pub(crate) struct Immediate(pub(crate) Py<PyAny>);

impl Startable for Immediate {
    fn pending(self) -> Box<dyn Pending> {
        Box::new(Some(self))
    }

    fn wait(self, _py: Python<'_>, _runtime: BlockingRuntime) -> PyResult<Py<PyAny>> {
        Ok(self.0)
    }

    fn with_events(self, _events: Option<EventContext>) -> Self {
        self
    }

    fn until(self, _deadline: Option<Deadline>) -> Self {
        self
    }

    fn until_given_up_by(self, _client: &impl PooledClient) -> Self {
        self
    }
}

impl Pending for Option<Immediate> {
    fn start(&mut self, _runtime: &Handle, wakeup: Wakeup, _submission: Submission) -> Option<Arc<dyn Flush>> {
        wakeup.fire();
        None
    }

    fn immediate(&mut self) -> Option<Py<PyAny>> {
        self.take().map(|Immediate(result)| result)
    }

    fn take(&mut self, _py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        self.immediate().map(Ok)
    }

    fn cancel(&mut self) {}
}

/// A [`Call`] whose result another thread takes.
struct PendingCall<T> {
    running: Option<Running<T>>,
    finish: Option<Finish<T>>,
    result: Arc<Mutex<Option<Result<T>>>>,
    task: Option<AbortHandle>,
}

impl<T: Send + 'static> Pending for PendingCall<T> {
    fn start(&mut self, runtime: &Handle, wakeup: Wakeup, _submission: Submission) -> Option<Arc<dyn Flush>> {
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
