//! `AsyncChangeStream` and `ChangeStream`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bson::{Bson, Document};
use pyo3::exceptions::{PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::driver::DriverClient;
use crate::driver::events::EventContext;
use crate::driver::time_limit::Deadline;
use crate::driver::watch::{self, ChangePoll, Level, Position, Watch, Watching};
use crate::error::{ErrorKind, Result};
use crate::python::asyncio::call::{Call, Startable, raised};
use crate::python::asyncio::mode::{MethodName, Mode};
use crate::python::calls::session::session_of;
use crate::python::calls::target::{Located as _, Target};
use crate::python::codec::DEFAULT;
use crate::python::convert::classes::class_of;
use crate::python::convert::options::{self, Opt};
use crate::python::monitoring::event_context;

/// The arguments of `watch`.
#[derive(Default)]
pub(crate) struct WatchArguments {
    pub(crate) pipeline: Option<Py<PyAny>>,
    pub(crate) full_document: Option<String>,
    pub(crate) resume_after: Option<Py<PyAny>>,
    pub(crate) max_await_time_ms: Option<u64>,
    pub(crate) batch_size: Option<Py<PyAny>>,
    pub(crate) collation: Option<Py<PyAny>>,
    pub(crate) start_at_operation_time: Option<Py<PyAny>>,
    pub(crate) session: Option<Py<PyAny>>,
    pub(crate) start_after: Option<Py<PyAny>>,
    pub(crate) comment: Option<Py<PyAny>>,
    pub(crate) full_document_before_change: Option<String>,
    pub(crate) show_expanded_events: Option<bool>,
}

/// The state of a change stream, in either mode.
pub(crate) struct ChangeStreamCore {
    level: Level,
    target: Target<DriverClient>,
    arguments: WatchArguments,
    batch_size: Option<u32>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watching: Option<Arc<Watching>>,
    opened: bool,
    token: Option<Bson>,
    closed: bool,
}

impl ChangeStreamCore {
    /// A change stream that has not been opened.
    pub(crate) fn new(
        py: Python<'_>,
        level: Level,
        target: Target<DriverClient>,
        arguments: WatchArguments,
    ) -> PyResult<Self> {
        if let Some(pipeline) = &arguments.pipeline {
            options::pipeline(&DEFAULT, pipeline.bind(py))?;
        }
        let batch_size = match &arguments.batch_size {
            Some(size) => batch_size(size.bind(py))?,
            None => None,
        };
        Ok(Self { level, target, arguments, batch_size, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running change stream. It is started if it was not.
    fn watching(&self, py: Python<'_>) -> PyResult<Option<Arc<Watching>>> {
        {
            let state = self.state();
            if state.closed {
                return Ok(None);
            }
            if let Some(watching) = &state.watching {
                return Ok(Some(Arc::clone(watching)));
            }
        }
        let context = self.target.context(py)?;
        let given = &self.arguments;
        let codec = &*context.codec;
        let value = |value: &Option<Py<PyAny>>| {
            value.as_ref().map(|value| options::bson_value(codec, value.bind(py))).transpose()
        };
        let mut stage = Document::new();
        for (name, value) in
            [("fullDocument", &given.full_document), ("fullDocumentBeforeChange", &given.full_document_before_change)]
        {
            if let Some(value) = value {
                stage.insert(name, value);
            }
        }
        if given.show_expanded_events == Some(true) {
            stage.insert("showExpandedEvents", true);
        }
        let command = vec![
            ("collation", Opt::Collation(given.collation.as_ref().map(|collation| collation.clone_ref(py)))),
            ("comment", Opt::Value(given.comment.as_ref().map(|comment| comment.clone_ref(py)))),
        ];
        let max_await_time = given.max_await_time_ms.map(Duration::from_millis);
        let command = options::given(py, codec, &command)?;
        let watch = Watch {
            level: self.level,
            namespace: Arc::clone(&context.namespace),
            pipeline: match &given.pipeline {
                Some(pipeline) => options::pipeline(codec, pipeline.bind(py))?,
                None => Vec::new(),
            },
            stage,
            start: Position {
                token: value(&given.token(py)?)?,
                uses_start_after: given.start_after.is_some(),
                uses_resume_after: given.resume_after.is_some(),
                operation_time: value(&given.start_at_operation_time)?,
            },
            options: raised(py, watch::options(command, self.batch_size, max_await_time))?,
            session: session_of(py, given.session.as_ref().map(|session| session.bind(py)), &context.pooled)?,
        };
        let runtime = self.target.mode().waiting(py)?;
        runtime.attend();
        let events = event_context(py, context.client.listener())?;
        let watching = Arc::new(Watching::start(runtime.handle(), context.client, watch, events, context.deadline));
        Ok(Some(Arc::clone(self.state().watching.get_or_insert(watching))))
    }

    /// A call that waits until the stream is open, and returns `result`.
    fn open(slf: &Arc<Self>, py: Python<'_>, result: Py<PyAny>) -> PyResult<Call<Option<ChangePoll>>> {
        let watching = slf.watching(py)?;
        let core = Arc::clone(slf);
        let opened = core.state().opened;
        let opening = Deadline::bound(slf.deadline(py)?, async move {
            match watching.filter(|_| !opened) {
                Some(watching) => Ok(Some(watching.opened().await)),
                None => Ok(None),
            }
        });
        let events = slf.event_context(py)?;
        let call = Call::new(opening, move |py, seen: Result<Option<ChangePoll>>| {
            core.note(py, seen)?;
            Ok(result)
        });
        Ok(call.with_events(events))
    }

    /// A call that returns the next change, or `none` if there is none. With `once`, it polls the server once.
    fn next(
        slf: &Arc<Self>,
        py: Python<'_>,
        once: bool,
        none: fn(Python<'_>) -> PyResult<Py<PyAny>>,
    ) -> PyResult<Call<Option<ChangePoll>>> {
        let watching = slf.watching(py)?;
        let core = Arc::clone(slf);
        let opened = core.state().opened;
        let deadline = slf.deadline(py)?;
        let waiting = Deadline::bound(deadline, async move {
            let Some(watching) = watching else { return Ok(None) };
            if !opened {
                let opened = watching.opened().await;
                if !opened.alive {
                    return Ok(Some(opened));
                }
            }
            Ok(Some(watching.next(once).await))
        });
        let events = slf.event_context(py)?;
        let call = Call::new(waiting, move |py, seen: Result<Option<ChangePoll>>| match core.note(py, seen)? {
            Some(document) => core.target.codec.decode(py, document.as_bytes()),
            None => none(py),
        });
        Ok(call.with_events(events))
    }

    /// When a call that starts now must end, unless the stream is closed.
    fn deadline(&self, py: Python<'_>) -> PyResult<Option<Deadline>> {
        if self.state().closed {
            return Ok(None);
        }
        Ok(self.target.context(py)?.deadline)
    }

    /// The listeners' context for a call, unless the stream is closed.
    fn event_context(&self, py: Python<'_>) -> PyResult<Option<EventContext>> {
        if self.state().closed {
            return Ok(None);
        }
        event_context(py, self.target.context(py)?.client.listener())
    }

    /// Stores the resume token, and returns the change.
    fn note(&self, py: Python<'_>, seen: Result<Option<ChangePoll>>) -> PyResult<Option<bson::RawDocumentBuf>> {
        let seen = match seen {
            Ok(seen) => seen,
            // The stream waits on, and the next call may get the change.
            Err(error) if error.kind == ErrorKind::NetworkTimeout && self.state().opened => {
                return raised(py, Err(error));
            }
            Err(error) => {
                self.close();
                return raised(py, Err(error));
            }
        };
        let Some(seen) = seen else { return Ok(None) };
        {
            let mut state = self.state();
            state.opened = true;
            state.token = seen.token.or_else(|| state.token.take());
        }
        if !seen.alive {
            self.close();
        }
        raised(py, seen.change)
    }

    fn close(&self) {
        let watching = {
            let mut state = self.state();
            state.closed = true;
            state.watching.take()
        };
        drop(watching);
    }

    fn token(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let token = self.state().token.clone();
        match token {
            Some(token) => DEFAULT.decode_value(py, token),
            None => Ok(self.arguments.token(py)?.unwrap_or_else(|| py.None())),
        }
    }
}

impl WatchArguments {
    /// The resume token at which the stream starts.
    fn token(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let start_after = match &self.start_after {
            Some(token) if token.bind(py).is_truthy()? => Some(token),
            _ => None,
        };
        Ok(start_after.or(self.resume_after.as_ref()).map(|token| token.clone_ref(py)))
    }
}

/// Converts `batch_size`, by PyMongo's rules if it is not a number.
fn batch_size(size: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
    match size.extract::<u32>() {
        Ok(size) => Ok(Some(size)),
        Err(_) => {
            let validate = size.py().import("pymongo.common")?.getattr("validate_non_negative_integer_or_none")?;
            validate.call1(("batchSize", size))?.extract()
        }
    }
}

/// The methods that both kinds of change stream have. Users see its subclasses.
#[pyclass(module = "connect.eaas.mongodb._native", name = "ChangeStream", frozen, weakref, subclass)]
pub(crate) struct ChangeStreamBase {
    core: Arc<ChangeStreamCore>,
    mode: Mode,
}

impl ChangeStreamBase {
    /// A change stream of the class for `mode`. A blocking one is opened at once, as PyMongo's is.
    pub(crate) fn create(py: Python<'_>, mode: Mode, core: ChangeStreamCore) -> PyResult<Py<PyAny>> {
        let core = Arc::new(core);
        if mode == Mode::Blocking {
            ChangeStreamCore::open(&core, py, py.None())?.wait(py, Mode::Blocking.waiting(py)?)?;
        }
        let base = PyClassInitializer::from(Self { core, mode });
        Ok(match mode {
            Mode::Awaited => Py::new(py, base.add_subclass(AsyncChangeStream))?.into_any(),
            Mode::Blocking => Py::new(py, base.add_subclass(ChangeStream))?.into_any(),
        })
    }

    fn run<C: Startable>(
        &self,
        py: Python<'_>,
        method: &'static str,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let class = match self.mode {
            Mode::Awaited => "AsyncChangeStream",
            Mode::Blocking => "ChangeStream",
        };
        self.mode.run(py, MethodName { class, method }, prepare)
    }

    /// Opens the stream, and returns `stream`.
    fn open(&self, py: Python<'_>, method: &'static str, stream: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let core = Arc::clone(&self.core);
        self.run(py, method, move |py| ChangeStreamCore::open(&core, py, stream))
    }
}

#[pymethods]
impl ChangeStreamBase {
    #[classmethod]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        options::generic(cls, item)
    }

    /// Whether the stream may return more changes.
    #[getter]
    fn alive(&self) -> bool {
        !self.core.state().closed
    }

    /// The resume token of the last change, or `None` if there is none yet.
    #[getter]
    fn resume_token(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.core.token(py)
    }

    /// Wait for the next change, and return it.
    fn next(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let core = Arc::clone(&self.core);
        let stop: fn(Python<'_>) -> PyResult<Py<PyAny>> = match self.mode {
            Mode::Awaited => |_| Err(PyStopAsyncIteration::new_err(())),
            Mode::Blocking => |_| Err(PyStopIteration::new_err(())),
        };
        self.run(py, "next", move |py| ChangeStreamCore::next(&core, py, false, stop))
    }

    /// Return the next change, or `None` if there is none within `max_await_time_ms`.
    fn try_next(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let core = Arc::clone(&self.core);
        self.run(py, "try_next", move |py| ChangeStreamCore::next(&core, py, true, |py| Ok(py.None())))
    }

    /// Close the stream, on the server too.
    fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let core = Arc::clone(&self.core);
        self.run(py, "close", move |py| {
            core.close();
            Ok(Call::returning(py.None()))
        })
    }
}

/// The changes of a collection, a database or a whole deployment, as they happen.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = ChangeStreamBase)]
pub(crate) struct AsyncChangeStream;

#[pymethods]
impl AsyncChangeStream {
    /// Open the stream; returns the stream itself. Both `async with coll.watch()` and
    /// `async with await coll.watch()` work.
    fn __await__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.as_super().get().open(slf.py(), "__await__", slf.clone().into_any().unbind())
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.as_super().get().next(slf.py())
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.as_super().get().open(slf.py(), "__aenter__", slf.clone().into_any().unbind())
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __aexit__(
        slf: &Bound<'_, Self>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_val, exc_tb);
        slf.as_super().get().close(slf.py())
    }
}

/// The changes of a collection, a database or a whole deployment, as they happen.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = ChangeStreamBase)]
pub(crate) struct ChangeStream;

#[pymethods]
impl ChangeStream {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.as_super().get().next(slf.py())
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.as_super().get().open(slf.py(), "__enter__", slf.clone().into_any().unbind())
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_val, exc_tb);
        slf.as_super().get().close(slf.py())
    }
}

#[pymethods]
impl AsyncChangeStream {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.asynchronous.change_stream", "AsyncChangeStream")
    }
}

#[pymethods]
impl ChangeStream {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.synchronous.change_stream", "ChangeStream")
    }
}
