//! `AsyncClientSession` and `ClientSession`: PyMongo's sessions and transactions.

use std::sync::Arc;

use bson::Timestamp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use crate::python::asyncio::call::{Call, Startable, raised};
use crate::python::asyncio::mode::{MethodName, Mode};
use crate::python::calls::session::{Binding, SessionBase, SessionCore};
use crate::python::codec::DEFAULT;
use crate::python::convert::classes::class_of;
use crate::python::convert::errors::wrong_type;
use crate::python::convert::options::{document, generic};

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
        self.core.has_ended()
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

    /// Return a context in whose block calls without a session use this one.
    #[pyo3(signature = (end_session = true))]
    fn bind(slf: &Bound<'_, Self>, end_session: bool) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let binding = Arc::new(Binding::new(slf.clone().unbind(), end_session));
        Ok(match slf.get().mode {
            Mode::Awaited => Py::new(py, AsyncBoundSessionContext { binding })?.into_any(),
            Mode::Blocking => Py::new(py, BoundSessionContext { binding })?.into_any(),
        })
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
        SessionCore::leave(&self.core, py, failed)?.wait(py, Mode::Blocking.waiting(py)?)
    }
}

/// The context of `bind`.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub(crate) struct AsyncBoundSessionContext {
    binding: Arc<Binding>,
}

#[pymethods]
impl AsyncBoundSessionContext {
    fn __aenter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let binding = Arc::clone(&self.binding);
        let name = MethodName { class: "AsyncBoundSessionContext", method: "__aenter__" };
        Mode::Awaited.run(py, name, move |py| Ok(Call::returning(binding.enter(py)?)))
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __aexit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_val, exc_tb);
        let binding = Arc::clone(&self.binding);
        let name = MethodName { class: "AsyncBoundSessionContext", method: "__aexit__" };
        Mode::Awaited.run(py, name, move |py| binding.leave(py))
    }
}

/// The context of `bind`.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub(crate) struct BoundSessionContext {
    binding: Arc<Binding>,
}

#[pymethods]
impl BoundSessionContext {
    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.binding.enter(py)
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_val, exc_tb);
        self.binding.leave(py)?.wait(py, Mode::Blocking.waiting(py)?)
    }
}

#[pymethods]
impl AsyncClientSession {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.asynchronous.client_session", "AsyncClientSession")
    }
}

#[pymethods]
impl ClientSession {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.synchronous.client_session", "ClientSession")
    }
}
