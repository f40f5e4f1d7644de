//! `AsyncClientSession` and `ClientSession`: PyMongo's sessions and transactions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::Timestamp;
use mongodb::options::{SessionOptions, TransactionOptions};
use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use crate::driver::DriverClient;
use crate::driver::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::python::asyncio::call::{Call, Startable, raised, wait};
use crate::python::asyncio::mode::{MethodName, Mode};
use crate::python::codec::DEFAULT;
use crate::python::convert::errors::{invalid_operation, wrong_type};
use crate::python::convert::options::{document, generic};
use crate::python::convert::scope::concerns;
use crate::python::lifecycle::pooled::Pooled;
use crate::python::monitoring::event_context;
use crate::runtime::process;

/// The state of a session, in either mode.
pub(crate) struct SessionCore {
    /// The core's session.
    pub(crate) session: Arc<Session>,
    pooled: Arc<Pooled<DriverClient>>,
    client: Py<PyAny>,
    options: Py<PyAny>,
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

    fn in_transaction(&self) -> bool {
        matches!(self.state().transaction, Transaction::Starting | Transaction::InProgress)
    }

    fn start_transaction(
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
        self.session.start_transaction(options);
        self.state().transaction = Transaction::Starting;
        Ok(())
    }

    /// The call of `commit_transaction`.
    fn commit(slf: &Arc<Self>, py: Python<'_>) -> PyResult<Call<()>> {
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
        let session = Arc::clone(&slf.session);
        let call = Call::new(async move { session.commit(&client).await }, |py, ended: Result<()>| {
            raised(py, ended.map_err(maybe_committed))?;
            Ok(py.None())
        });
        Ok(call.with_events(events))
    }

    /// The call of `abort_transaction`.
    fn abort(slf: &Arc<Self>, py: Python<'_>) -> PyResult<Call<()>> {
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
                let session = Arc::clone(&slf.session);
                let aborting = async move {
                    // The server aborts it by itself after a while.
                    drop(session.abort(&client).await);
                    Ok(())
                };
                return Ok(Call::new(aborting, |py, _| Ok(py.None())).with_events(events));
            }
        };
        Err(invalid_operation(py, wrong))
    }

    /// The call at the end of a transaction's context: a commit, or an abort if the block failed.
    fn leave(slf: &Arc<Self>, py: Python<'_>, failed: bool) -> PyResult<Call<()>> {
        match (slf.in_transaction(), failed) {
            (false, _) => Ok(nothing()),
            (true, false) => Self::commit(slf, py),
            (true, true) => Self::abort(slf, py),
        }
    }

    /// The call of `end_session`.
    fn end(slf: &Arc<Self>, py: Python<'_>) -> PyResult<Call<()>> {
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
        let session = Arc::clone(&slf.session);
        let ending = async move {
            if let Some(client) = client {
                drop(session.abort(&client).await);
            }
            session.end().await;
            Ok(())
        };
        Ok(Call::new(ending, |py, _| Ok(py.None())))
    }

    fn id(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check(py)?;
        let client = self.pooled.client(py, "the client")?;
        let session = Arc::clone(&self.session);
        let runtime = raised(py, process().runtime())?;
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

/// The core's session of an argument `session`, for a call of `pooled`'s client.
pub(crate) fn session_of(
    session: Option<&Bound<'_, PyAny>>,
    pooled: &Arc<Pooled<DriverClient>>,
) -> PyResult<Option<Arc<Session>>> {
    let Some(session) = session.filter(|session| !session.is_none()) else { return Ok(None) };
    let Ok(base) = session.cast::<SessionBase>() else {
        return Err(PyValueError::new_err(format!(
            "'session' argument must be a ClientSession or None, not {}",
            session.get_type()
        )));
    };
    base.get().core.for_call(session.py(), pooled).map(Some)
}

/// The methods that all sessions have. Users see its subclasses.
#[pyclass(module = "connect.eaas.mongodb._native", name = "SessionBase", frozen, weakref, subclass)]
pub(crate) struct SessionBase {
    core: Arc<SessionCore>,
    mode: Mode,
}

impl SessionBase {
    /// A session of the class for `mode`. The server does not know it yet.
    pub(crate) fn create(py: Python<'_>, mode: Mode, core: SessionCore) -> PyResult<Py<PyAny>> {
        let base = PyClassInitializer::from(Self { core: Arc::new(core), mode });
        Ok(match mode {
            Mode::Awaited => Py::new(py, base.add_subclass(AsyncClientSession))?.into_any(),
            Mode::Blocking => Py::new(py, base.add_subclass(ClientSession))?.into_any(),
        })
    }

    fn run<C: Startable>(
        &self,
        py: Python<'_>,
        method: &'static str,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let class = match self.mode {
            Mode::Awaited => "AsyncClientSession",
            Mode::Blocking => "ClientSession",
        };
        self.mode.run(py, MethodName { class, method }, prepare)
    }
}

#[pymethods]
impl SessionBase {
    #[classmethod]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        generic(cls, item)
    }

    /// The client that started it.
    #[getter]
    fn client(&self, py: Python<'_>) -> Py<PyAny> {
        self.core.client.clone_ref(py)
    }

    /// PyMongo's `SessionOptions`.
    #[getter]
    fn options(&self, py: Python<'_>) -> Py<PyAny> {
        self.core.options.clone_ref(py)
    }

    /// The session's id on the server.
    #[getter]
    fn session_id(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.core.id(py)
    }

    /// Whether the session has ended.
    #[getter]
    fn has_ended(&self) -> bool {
        self.core.state().ended
    }

    /// Whether a transaction is in progress.
    #[getter]
    fn in_transaction(&self) -> bool {
        self.core.in_transaction()
    }

    /// The newest cluster time that the session has received, or `None`.
    #[getter]
    fn cluster_time(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.core.session.cluster_time() {
            Some(time) => DEFAULT.decode_value(py, bson::Bson::Document(time)),
            None => Ok(py.None()),
        }
    }

    /// The operation time of the session's last call, or `None`.
    #[getter]
    fn operation_time(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.core.session.operation_time() {
            Some(time) => DEFAULT.decode_value(py, bson::Bson::Timestamp(time)),
            None => Ok(py.None()),
        }
    }

    /// Advance the cluster time to that of another session, if it is newer.
    fn advance_cluster_time(&self, py: Python<'_>, cluster_time: &Bound<'_, PyAny>) -> PyResult<()> {
        let time = document(&DEFAULT, cluster_time)?;
        if !time.contains_key("clusterTime") {
            return Err(PyValueError::new_err("Invalid cluster_time"));
        }
        raised(py, self.core.session.advance_cluster_time(time))
    }

    /// Advance the operation time to that of another session, if it is newer.
    fn advance_operation_time(&self, operation_time: &Bound<'_, PyAny>) -> PyResult<()> {
        let (Ok(time), Ok(increment)) = (
            operation_time.getattr("time").and_then(|time| time.extract::<u32>()),
            operation_time.getattr("inc").and_then(|increment| increment.extract::<u32>()),
        ) else {
            return Err(wrong_type("operation_time", "an instance of bson.timestamp.Timestamp", operation_time));
        };
        self.core.session.advance_operation_time(Timestamp { time, increment });
        Ok(())
    }

    /// Start a transaction, and return a context that commits it, or aborts it if the block fails.
    #[pyo3(signature = (
        read_concern = None, write_concern = None, read_preference = None, max_commit_time_ms = None
    ))]
    fn start_transaction(
        &self,
        py: Python<'_>,
        read_concern: Option<Py<PyAny>>,
        write_concern: Option<Py<PyAny>>,
        read_preference: Option<Py<PyAny>>,
        max_commit_time_ms: Option<u64>,
    ) -> PyResult<Py<PyAny>> {
        self.core.start_transaction(
            py,
            read_concern.as_ref(),
            write_concern.as_ref(),
            read_preference.as_ref(),
            max_commit_time_ms,
        )?;
        let core = Arc::clone(&self.core);
        Ok(match self.mode {
            Mode::Awaited => Py::new(py, AsyncTransactionContext { core })?.into_any(),
            Mode::Blocking => Py::new(py, TransactionContext { core })?.into_any(),
        })
    }

    /// Commit the transaction.
    fn commit_transaction(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let core = Arc::clone(&self.core);
        self.run(py, "commit_transaction", move |py| SessionCore::commit(&core, py))
    }

    /// Abort the transaction.
    fn abort_transaction(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let core = Arc::clone(&self.core);
        self.run(py, "abort_transaction", move |py| SessionCore::abort(&core, py))
    }

    /// Call `callback(session)` in a transaction, and return its result. Transient
    /// errors are retried for up to 120 s.
    #[pyo3(signature = (
        callback, read_concern = None, write_concern = None, read_preference = None, max_commit_time_ms = None
    ))]
    fn with_transaction(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        read_concern: Option<Py<PyAny>>,
        write_concern: Option<Py<PyAny>>,
        read_preference: Option<Py<PyAny>>,
        max_commit_time_ms: Option<u64>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let name = match slf.get().mode {
            Mode::Awaited => "with_transaction_async",
            Mode::Blocking => "with_transaction",
        };
        let run = py.import("connect.eaas.mongodb.transactions")?.getattr(name)?;
        let options = PyTuple::new(
            py,
            [
                read_concern.into_pyobject(py)?.into_any(),
                write_concern.into_pyobject(py)?.into_any(),
                read_preference.into_pyobject(py)?.into_any(),
                max_commit_time_ms.into_pyobject(py)?.into_any(),
            ],
        )?;
        Ok(run.call1((slf, callback, options))?.unbind())
    }

    /// Not supported: pass the session to each call.
    #[pyo3(signature = (end_session = true))]
    fn bind(&self, end_session: bool) -> PyResult<Py<PyAny>> {
        let _ = end_session;
        Err(PyNotImplementedError::new_err("bind is not supported: pass session=… to each call"))
    }

    /// End the session. A transaction in progress is aborted.
    fn end_session(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let core = Arc::clone(&self.core);
        self.run(py, "end_session", move |py| SessionCore::end(&core, py))
    }
}

/// A session. Its calls see data in their order, and can be one transaction.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = SessionBase)]
pub(crate) struct AsyncClientSession;

#[pymethods]
impl AsyncClientSession {
    /// Both `async with client.start_session()` and `async with await client.start_session()` work.
    fn __await__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let session = slf.clone().into_any().unbind();
        slf.as_super().get().run(slf.py(), "__await__", move |_| Ok(Call::returning(session)))
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let session = slf.clone().into_any().unbind();
        slf.as_super().get().run(slf.py(), "__aenter__", move |_| Ok(Call::returning(session)))
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __aexit__(
        slf: &Bound<'_, Self>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_val, exc_tb);
        slf.as_super().get().end_session(slf.py())
    }
}

/// A session. Its calls see data in their order, and can be one transaction.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = SessionBase)]
pub(crate) struct ClientSession;

#[pymethods]
impl ClientSession {
    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_val, exc_tb);
        slf.as_super().get().end_session(slf.py())
    }
}

/// The context of a transaction, which commits it, or aborts it if the block fails.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub(crate) struct AsyncTransactionContext {
    core: Arc<SessionCore>,
}

impl AsyncTransactionContext {
    fn run<C: Startable>(
        py: Python<'_>,
        method: &'static str,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        Mode::Awaited.run(py, MethodName { class: "AsyncTransactionContext", method }, prepare)
    }
}

#[pymethods]
impl AsyncTransactionContext {
    /// Both `async with session.start_transaction()` and `async with await session.start_transaction()` work.
    fn __await__(slf: Py<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Self::run(py, "__await__", move |_| Ok(Call::returning(slf.into_any())))
    }

    fn __aenter__(slf: Py<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Self::run(py, "__aenter__", move |_| Ok(Call::returning(slf.into_any())))
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __aexit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = exc_tb;
        let failed = exc_val.is_some() || exc_type.is_some();
        let core = Arc::clone(&self.core);
        Self::run(py, "__aexit__", move |py| SessionCore::leave(&core, py, failed))
    }
}

/// The context of a transaction, which commits it, or aborts it if the block fails.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub(crate) struct TransactionContext {
    core: Arc<SessionCore>,
}

#[pymethods]
impl TransactionContext {
    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = exc_tb;
        let failed = exc_val.is_some() || exc_type.is_some();
        SessionCore::leave(&self.core, py, failed)?.wait(py, raised(py, process().runtime())?)
    }
}
