//! The state of a session, and its calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mongodb::options::{SessionOptions, TransactionOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::driver::DriverClient;
use crate::driver::session::Session;
use crate::driver::time_limit::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::python::asyncio::call::{Call, Startable, raised, wait};
use crate::python::asyncio::mode::Mode;
use crate::python::codec::DEFAULT;
use crate::python::convert::errors::invalid_operation;
use crate::python::convert::scope::concerns;
use crate::python::lifecycle::once::Once;
use crate::python::lifecycle::pooled::Pooled;
use crate::python::monitoring::event_context;
use crate::python::time_limit;

/// The state of a session, in either mode.
pub(crate) struct SessionCore {
    /// The core's session.
    pub(crate) session: Arc<Session>,
    pooled: Arc<Pooled<DriverClient>>,
    /// The client that started it.
    pub(crate) client: Py<PyAny>,
    /// PyMongo's `SessionOptions`.
    pub(crate) options: Py<PyAny>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Starting,
    InProgress,
    Committed,
    CommittedEmpty,
    Aborted,
}

struct State {
    transaction: Transaction,
    ended: bool,
}

impl SessionCore {
    /// A session of `client.start_session`.
    pub(crate) fn new(
        py: Python<'_>,
        client: Py<PyAny>,
        pooled: Arc<Pooled<DriverClient>>,
        causal_consistency: Option<bool>,
        default_transaction_options: Option<&Bound<'_, PyAny>>,
        snapshot: Option<bool>,
    ) -> PyResult<Self> {
        let class = py.import("pymongo.client_session")?.getattr("SessionOptions")?;
        // PyMongo's own checks.
        let options = class.call1((causal_consistency, default_transaction_options, snapshot))?;
        let snapshot = snapshot.unwrap_or(false);
        let mut settings = SessionOptions::default();
        settings.causal_consistency = Some(causal_consistency.unwrap_or(!snapshot));
        settings.snapshot = Some(snapshot);
        if let Some(defaults) = default_transaction_options {
            settings.default_transaction_options = Some(transaction_options(
                py,
                given(defaults.getattr("read_concern")?).as_ref(),
                given(defaults.getattr("write_concern")?).as_ref(),
                given(defaults.getattr("read_preference")?).as_ref(),
                defaults.getattr("max_commit_time_ms")?.extract()?,
            )?);
        }
        Ok(Self {
            session: Arc::new(Session::new(settings)),
            pooled,
            client,
            options: options.unbind(),
            state: Mutex::new(State { transaction: Transaction::None, ended: false }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, py: Python<'_>) -> PyResult<()> {
        let ended = self.state().ended;
        if ended { Err(invalid_operation(py, "Cannot use ended session")) } else { Ok(()) }
    }

    /// The core's session for a call of `pooled`'s client.
    fn for_call(&self, py: Python<'_>, pooled: &Arc<Pooled<DriverClient>>) -> PyResult<Arc<Session>> {
        self.check(py)?;
        if !Arc::ptr_eq(&self.pooled, pooled) {
            return Err(invalid_operation(py, "Can only use session with the MongoClient that started it"));
        }
        let mut state = self.state();
        state.transaction = match state.transaction {
            Transaction::Starting | Transaction::InProgress => Transaction::InProgress,
            _ => Transaction::None,
        };
        Ok(Arc::clone(&self.session))
    }

    /// The core's session for a call of `pooled`'s client where this session is bound.
    fn for_bound_call(&self, py: Python<'_>, pooled: &Arc<Pooled<DriverClient>>) -> PyResult<Arc<Session>> {
        if !Arc::ptr_eq(&self.pooled, pooled) {
            let message =
                "Only the client that created the bound session can perform operations within its context block";
            return Err(invalid_operation(py, message));
        }
        self.for_call(py, pooled)
    }

    /// Whether the session has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Whether a transaction is in progress.
    pub(crate) fn in_transaction(&self) -> bool {
        matches!(self.state().transaction, Transaction::Starting | Transaction::InProgress)
    }

    /// `start_transaction`.
    pub(crate) fn start_transaction(
        &self,
        py: Python<'_>,
        read_concern: Option<&Py<PyAny>>,
        write_concern: Option<&Py<PyAny>>,
        read_preference: Option<&Py<PyAny>>,
        max_commit_time_ms: Option<u64>,
    ) -> PyResult<()> {
        self.check(py)?;
        if self.options.bind(py).getattr("snapshot")?.is_truthy()? {
            return Err(invalid_operation(py, "Transactions are not supported in snapshot sessions"));
        }
        if self.in_transaction() {
            return Err(invalid_operation(py, "Transaction already in progress"));
        }
        let options = transaction_options(py, read_concern, write_concern, read_preference, max_commit_time_ms)?;
        if write_concern.is_none() && self.pooled.settings.unacknowledged {
            // The transaction inherits the client's write concern, unless the session has a default.
            let defaults = self.options.bind(py).getattr("default_transaction_options")?;
            if defaults.is_none() || defaults.getattr("write_concern")?.is_none() {
                let inherited = self.client.getattr(py, "write_concern")?;
                transaction_options(py, None, Some(&inherited), None, None)?;
            }
        }
        self.session.start_transaction(options);
        self.state().transaction = Transaction::Starting;
        Ok(())
    }

    /// When a call that starts now must end.
    fn deadline(&self, py: Python<'_>) -> PyResult<Option<Deadline>> {
        time_limit::deadline(py, self.pooled.settings.time_limits.call)
    }

    /// The call of `commit_transaction`.
    pub(crate) fn commit(slf: &Arc<Self>, py: Python<'_>) -> PyResult<Call<()>> {
        slf.check(py)?;
        let transaction = slf.state().transaction;
        match transaction {
            Transaction::None => return Err(invalid_operation(py, "No transaction started")),
            Transaction::Aborted => {
                let message = "Cannot call commitTransaction after calling abortTransaction";
                return Err(invalid_operation(py, message));
            }
            Transaction::Starting | Transaction::CommittedEmpty => {
                slf.session.forget_transaction();
                slf.state().transaction = Transaction::CommittedEmpty;
                return Ok(nothing());
            }
            Transaction::InProgress | Transaction::Committed => {}
        }
        slf.state().transaction = Transaction::Committed;
        let client = slf.pooled.client(py, "the client")?;
        let events = event_context(py, client.listener())?;
        let (session, deadline) = (Arc::clone(&slf.session), slf.deadline(py)?);
        let call = Call::new(async move { session.commit(&client).await }, |py, ended: Result<()>| {
            raised(py, ended.map_err(maybe_committed))?;
            Ok(py.None())
        });
        Ok(call.until(deadline).with_events(events))
    }

    /// The call of `abort_transaction`.
    pub(crate) fn abort(slf: &Arc<Self>, py: Python<'_>) -> PyResult<Call<()>> {
        slf.check(py)?;
        let transaction = slf.state().transaction;
        let wrong = match transaction {
            Transaction::None => "No transaction started",
            Transaction::Aborted => "Cannot call abortTransaction twice",
            Transaction::Committed | Transaction::CommittedEmpty => {
                "Cannot call abortTransaction after calling commitTransaction"
            }
            Transaction::Starting => {
                slf.session.forget_transaction();
                slf.state().transaction = Transaction::Aborted;
                return Ok(nothing());
            }
            Transaction::InProgress => {
                slf.state().transaction = Transaction::Aborted;
                let client = slf.pooled.client(py, "the client")?;
                let events = event_context(py, client.listener())?;
                let (session, deadline) = (Arc::clone(&slf.session), slf.deadline(py)?);
                let aborting = async move {
                    // The server aborts it by itself after a while.
                    drop(session.abort(&client).await);
                    Ok(())
                };
                return Ok(Call::new(aborting, |py, _| Ok(py.None())).until(deadline).with_events(events));
            }
        };
        Err(invalid_operation(py, wrong))
    }

    /// The call at the end of a transaction's context: a commit, or an abort if the block failed.
    pub(crate) fn leave(slf: &Arc<Self>, py: Python<'_>, failed: bool) -> PyResult<Call<()>> {
        match (slf.in_transaction(), failed) {
            (false, _) => Ok(nothing()),
            (true, false) => Self::commit(slf, py),
            (true, true) => Self::abort(slf, py),
        }
    }

    /// The call of `end_session`.
    pub(crate) fn end(slf: &Arc<Self>, py: Python<'_>) -> PyResult<Call<()>> {
        let (ended, in_progress) = {
            let mut state = slf.state();
            let in_progress = state.transaction == Transaction::InProgress;
            state.transaction = Transaction::None;
            (std::mem::replace(&mut state.ended, true), in_progress)
        };
        if ended {
            return Ok(nothing());
        }
        let client = match in_progress {
            true => Some(slf.pooled.client(py, "the client")?),
            false => None,
        };
        let events = match &client {
            Some(client) => event_context(py, client.listener())?,
            None => None,
        };
        let session = Arc::clone(&slf.session);
        let ending = async move {
            if let Some(client) = client {
                drop(session.abort(&client).await);
            }
            session.end().await;
            Ok(())
        };
        Ok(Call::new(ending, |py, _| Ok(py.None())).with_events(events))
    }

    /// The session's id on the server, which is fetched if there is none yet.
    pub(crate) fn id(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check(py)?;
        let client = self.pooled.client(py, "the client")?;
        let session = Arc::clone(&self.session);
        let runtime = self.pooled.mode.waiting(py)?;
        let id = wait(py, runtime, Box::pin(async move { session.id(&client).await }))?;
        DEFAULT.decode_value(py, bson::Bson::Document(raised(py, id)?))
    }
}

fn given(value: Bound<'_, PyAny>) -> Option<Py<PyAny>> {
    (!value.is_none()).then(|| value.unbind())
}

fn nothing() -> Call<()> {
    Call::new(async { Ok(()) }, |py, _| Ok(py.None()))
}

fn transaction_options(
    py: Python<'_>,
    read_concern: Option<&Py<PyAny>>,
    write_concern: Option<&Py<PyAny>>,
    read_preference: Option<&Py<PyAny>>,
    max_commit_time_ms: Option<u64>,
) -> PyResult<TransactionOptions> {
    // PyMongo's own checks.
    let class = py.import("pymongo.client_session")?.getattr("TransactionOptions")?;
    class.call1((read_concern, write_concern, read_preference, max_commit_time_ms))?;
    let concerns = concerns(py, read_concern, write_concern, read_preference)?;
    let mut options = TransactionOptions::default();
    options.read_concern = concerns.read_concern;
    options.write_concern = concerns.write_concern;
    options.selection_criteria = concerns.read_preference;
    options.max_commit_time = max_commit_time_ms.map(Duration::from_millis);
    Ok(options)
}

/// After some errors it is unknown whether the transaction was committed.
/// Committing again is then safe, and a label marks the error.
fn maybe_committed(mut error: Error) -> Error {
    const UNKNOWN: &str = "UnknownTransactionCommitResult";
    // WriteConcernFailed, WTimeout, MaxTimeMSExpired.
    let unknown = match error.kind {
        ErrorKind::AutoReconnect
        | ErrorKind::NetworkTimeout
        | ErrorKind::ServerSelectionTimeout
        | ErrorKind::NotPrimary
        | ErrorKind::WTimeout => true,
        _ => matches!(error.code, Some(50 | 64)),
    };
    if unknown {
        error.labels.retain(|label| label != "TransientTransactionError");
        if !error.labels.iter().any(|label| label == UNKNOWN) {
            error.labels.push(UNKNOWN.to_owned());
        }
    }
    error
}

/// The core's session of an argument `session`, or else the bound session, for a call of `pooled`'s client.
pub(crate) fn session_of(
    py: Python<'_>,
    session: Option<&Bound<'_, PyAny>>,
    pooled: &Arc<Pooled<DriverClient>>,
) -> PyResult<Option<Arc<Session>>> {
    let Some(session) = session.filter(|session| !session.is_none()) else {
        return match bound(py)? {
            Some(session) => session.get().core.for_bound_call(py, pooled).map(Some),
            None => Ok(None),
        };
    };
    let Ok(base) = session.cast::<SessionBase>() else {
        return Err(PyValueError::new_err(format!(
            "'session' argument must be a ClientSession or None, not {}",
            session.get_type()
        )));
    };
    base.get().core.for_call(py, pooled).map(Some)
}

/// The session that is bound in the current context, a `contextvars.ContextVar`.
static BOUND: Once<Py<PyAny>> = Once::new();
/// The number of blocks in which a session is bound. While it is 0, no call looks for one.
static BINDINGS: AtomicUsize = AtomicUsize::new(0);

fn bound(py: Python<'_>) -> PyResult<Option<Bound<'_, SessionBase>>> {
    if BINDINGS.load(Ordering::Relaxed) == 0 {
        return Ok(None);
    }
    let session = variable(py)?.call_method1("get", (py.None(),))?;
    Ok(session.cast_into::<SessionBase>().ok())
}

fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let make = || Ok(py.import("contextvars")?.getattr("ContextVar")?.call1(("bound_session",))?.unbind());
    Ok(BOUND.get(py, make)?.bind(py))
}

/// A session that is bound to a block: `session.bind()`.
pub(crate) struct Binding {
    session: Py<SessionBase>,
    ends_session: bool,
    /// The token that restores the context's last session, inside the block.
    token: Mutex<Option<Py<PyAny>>>,
}

impl Binding {
    /// A binding whose block has not begun.
    pub(crate) fn new(session: Py<SessionBase>, ends_session: bool) -> Self {
        Self { session, ends_session, token: Mutex::default() }
    }

    /// Begins the block, and returns the session.
    pub(crate) fn enter(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let token = variable(py)?.call_method1("set", (&self.session,))?.unbind();
        BINDINGS.fetch_add(1, Ordering::Relaxed);
        self.replace_token(Some(token));
        Ok(self.session.clone_ref(py).into_any())
    }

    /// Ends the block, and returns the call that ends the session, if it does.
    pub(crate) fn leave(&self, py: Python<'_>) -> PyResult<Call<()>> {
        if let Some(token) = self.replace_token(None) {
            variable(py)?.call_method1("reset", (token,))?;
            BINDINGS.fetch_sub(1, Ordering::Relaxed);
        }
        match self.ends_session {
            true => SessionCore::end(&self.session.get().core, py),
            false => Ok(nothing()),
        }
    }

    fn replace_token(&self, token: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut *self.token.lock().unwrap_or_else(PoisonError::into_inner), token)
    }
}

/// The base class of sessions, whose methods are in `api::session`. It is here because calls accept sessions.
#[pyclass(module = "connect.eaas.mongodb._native", name = "ClientSession", frozen, weakref, subclass)]
pub(crate) struct SessionBase {
    pub(crate) core: Arc<SessionCore>,
    pub(crate) mode: Mode,
}
