//! `AsyncCursor`, `Cursor` and the cursors of raw batches, of both paths.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{
    PyIndexError, PyNotImplementedError, PyStopAsyncIteration, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySlice, PyType};

use crate::batch_stream::{Batch, BatchStream};
use crate::driver::time_limit::Deadline;
use crate::error::Result;
use crate::python::asyncio::awaitable::{Awaitable, Backpressure};
use crate::python::asyncio::call::{Call, Immediate, Running, Startable, raised};
use crate::python::asyncio::mode::{MethodName, Mode};
use crate::python::calls::target::Located;
use crate::python::calls::{FindArguments, Opening};
use crate::python::codec::DEFAULT;
use crate::python::convert::classes::class_of;
use crate::python::convert::errors::{invalid_operation, to_py};
use crate::python::convert::options::{self, Count};
use crate::python::convert::scope::CodecRef;
use crate::python::time_limit;

impl FindArguments {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        let copy = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.clone_ref(py));
        Self {
            filter: copy(&self.filter),
            projection: copy(&self.projection),
            sort: copy(&self.sort),
            hint: copy(&self.hint),
            collation: copy(&self.collation),
            max: copy(&self.max),
            min: copy(&self.min),
            comment: copy(&self.comment),
            session: copy(&self.session),
            let_vars: copy(&self.let_vars),
            ..*self
        }
    }
}

/// Encodes the arguments of a query; the result starts it.
pub(crate) type Open = Arc<dyn Fn(Python<'_>, &FindArguments) -> PyResult<Opening> + Send + Sync>;

/// Makes the call of `explain`.
pub(crate) type Explain = Arc<dyn Fn(Python<'_>, &FindArguments) -> PyResult<Call<bson::RawDocumentBuf>> + Send + Sync>;

/// The state of a cursor, of any class.
pub(crate) struct CursorCore {
    collection: Py<PyAny>,
    open: Open,
    located: Arc<dyn Located>,
    explain: Option<Explain>,
    codec: CodecRef,
    /// Whether it returns whole batches as bytes.
    raw: bool,
    /// Whether awaiting the cursor sends the command. False for a query of `find`.
    sends_when_awaited: bool,
    state: Mutex<State>,
}

struct State {
    arguments: FindArguments,
    fetching: Option<Arc<BatchStream>>,
    /// Received batches that are not empty.
    received: VecDeque<Batch>,
    /// The number of documents received.
    retrieved_count: usize,
    /// The server's cursor id.
    cursor_id: Option<i64>,
    /// Whether the server's cursor is exhausted.
    ended: bool,
    closed: bool,
}

impl State {
    fn new(arguments: FindArguments) -> Self {
        Self {
            arguments,
            fetching: None,
            received: VecDeque::new(),
            retrieved_count: 0,
            cursor_id: None,
            ended: false,
            closed: false,
        }
    }

    fn received_count(&self) -> usize {
        self.received.iter().map(Batch::len).sum()
    }

    /// Adds the batches of a fetch. The last batch of the server's cursor has the id 0.
    fn add(&mut self, (batches, ended): (Vec<Batch>, bool)) {
        self.retrieved_count += batches.iter().map(Batch::len).sum::<usize>();
        let is_last = batches.last().is_some_and(Batch::is_last);
        self.cursor_id = batches.last().and_then(Batch::cursor_id).or(self.cursor_id);
        self.received.extend(batches.into_iter().filter(|batch| !batch.is_empty()));
        let limit = usize::try_from(self.arguments.limit).unwrap_or(0);
        let has_all = limit > 0 && limit <= self.retrieved_count;
        if ended || has_all || is_last {
            self.end();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.fetching = None;
    }
}

impl CursorCore {
    /// A cursor that has not sent its query.
    pub(crate) fn new(
        collection: Py<PyAny>,
        open: Open,
        located: Arc<dyn Located>,
        codec: CodecRef,
        arguments: FindArguments,
    ) -> Self {
        Self {
            collection,
            open,
            located,
            explain: None,
            codec,
            raw: false,
            sends_when_awaited: false,
            state: Mutex::new(State::new(arguments)),
        }
    }

    /// Adds `explain`, for a query of `find`.
    pub(crate) fn explained_by(self, explain: Explain) -> Self {
        Self { explain: Some(explain), ..self }
    }

    /// Marks the cursor as a command's: awaiting it sends the command.
    pub(crate) fn of_command(self) -> Self {
        Self { sends_when_awaited: true, ..self }
    }

    /// Makes the cursor return whole batches as bytes.
    pub(crate) fn of_raw_batches(self) -> Self {
        Self { raw: true, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy(&self, py: Python<'_>) -> Self {
        let arguments = self.state().arguments.clone_ref(py);
        Self {
            explain: self.explain.clone(),
            raw: self.raw,
            sends_when_awaited: self.sends_when_awaited,
            ..Self::new(
                self.collection.clone_ref(py),
                Arc::clone(&self.open),
                Arc::clone(&self.located),
                self.codec.clone(),
                arguments,
            )
        }
    }

    /// Changes the arguments, unless the query has been sent.
    fn set(&self, py: Python<'_>, set: impl FnOnce(&mut FindArguments)) -> PyResult<()> {
        {
            let mut state = self.state();
            if state.fetching.is_none() && !state.ended && !state.closed {
                set(&mut state.arguments);
                return Ok(());
            }
        }
        Err(invalid_operation(py, "cannot set options after executing query"))
    }

    /// The running query. It is started if it was not.
    fn fetching(&self, py: Python<'_>) -> PyResult<Option<Arc<BatchStream>>> {
        let arguments = {
            let state = self.state();
            if state.ended || state.closed {
                return Ok(None);
            }
            if let Some(fetching) = &state.fetching {
                return Ok(Some(Arc::clone(fetching)));
            }
            state.arguments.clone_ref(py)
        };
        // Encoding may run Python code, so the lock is not held.
        let opening = (self.open)(py, &arguments)?;
        let runtime = self.located.mode().waiting(py)?;
        // It fetches ahead between calls.
        runtime.attend();
        let fetching = Arc::new(opening(runtime.handle()));
        let mut state = self.state();
        Ok(Some(Arc::clone(state.fetching.get_or_insert(fetching))))
    }

    /// The next document, if it has been received.
    fn next_received(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let mut state = self.state();
        if self.raw {
            let mut batch = state.received.pop_front()?;
            drop(state);
            return Some(raw_batch(py, &mut batch));
        }
        let batch = state.received.front_mut()?;
        // The bytes are copied, so that decoding, which may run Python code, needs no lock.
        let document = batch.take_next()?.map(|document| document.as_bytes().to_vec());
        if batch.is_empty() {
            state.received.pop_front();
        }
        drop(state);
        Some(raised(py, document).and_then(|bytes| self.codec.decode(py, &bytes)))
    }

    /// Adds up to `most` of the received documents to a list.
    fn take(&self, list: &Bound<'_, PyList>, most: usize) -> PyResult<()> {
        let py = list.py();
        let _paused = CollectorPaused::new(py);
        let mut left = most;
        while left > 0 {
            let Some(mut batch) = self.state().received.pop_front() else { break };
            if self.raw {
                list.append(raw_batch(py, &mut batch)?)?;
                left -= 1;
                continue;
            }
            while left > 0
                && let Some(document) = batch.take_next()
            {
                list.append(self.codec.decode(py, raised(py, document)?.as_bytes())?)?;
                left -= 1;
            }
            let mut state = self.state();
            if !batch.is_empty() {
                state.received.push_front(batch);
            }
        }
        Ok(())
    }

    /// A call that waits until `wanted` documents are received, and then runs `finish`.
    fn fetch(
        slf: &Arc<Self>,
        py: Python<'_>,
        wanted: usize,
        finish: impl FnOnce(Python<'_>, &Self) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call<Fetched>> {
        let received = slf.state().received_count();
        let tailable = slf.is_tailable();
        let fetching = if received >= wanted { None } else { slf.fetching(py)? };
        let core = Arc::clone(slf);
        let deadline = match &fetching {
            Some(fetching) => time_limit::deadline(py, fetching.timeout())?,
            None => None,
        };
        let source = fetching.clone();
        let fetched = Deadline::bound(deadline, async move {
            match source {
                Some(fetching) => fetching.fetch(wanted - received, tailable).await,
                None => Ok((Vec::new(), false)),
            }
        });
        Ok(Call::new(fetched, move |py, fetched: Result<Fetched>| {
            core.add(py, fetching.as_deref(), fetched)?;
            finish(py, &core)
        }))
    }

    /// Adds the result of a fetch, once the listeners have received its events.
    fn add(&self, py: Python<'_>, fetching: Option<&BatchStream>, fetched: Result<Fetched>) -> PyResult<()> {
        // PyMongo's list of the errors for a cursor that the server has closed.
        const CLOSED: [i32; 7] = [43, 175, 237, 28617, 17406, 96, 136];
        if let Some(listener) = fetching.and_then(BatchStream::listener) {
            listener.drain();
        }
        match fetched {
            Ok(batches) => self.state().add(batches),
            // A tailable cursor ends when a capped collection overwrites its position.
            Err(error) if self.is_tailable() && error.code.is_some_and(|code| CLOSED.contains(&code)) => self.close(),
            Err(error) => {
                self.close();
                self.state().received.clear();
                return Err(to_py(py, error));
            }
        }
        Ok(())
    }

    fn is_tailable(&self) -> bool {
        self.state().arguments.cursor_type != 0
    }

    fn close(&self) {
        let dropped = {
            let mut state = self.state();
            state.closed = true;
            state.fetching.take()
        };
        drop(dropped);
    }

    fn rewind(&self, py: Python<'_>) {
        let dropped = {
            let mut state = self.state();
            let arguments = state.arguments.clone_ref(py);
            std::mem::replace(&mut *state, State::new(arguments))
        };
        drop(dropped);
    }

    fn alive(&self) -> bool {
        let state = self.state();
        !state.received.is_empty() || !(state.ended || state.closed)
    }
}

/// Batches, and whether the query is exhausted.
type Fetched = (Vec<Batch>, bool);

/// A list of a cursor's documents in the making. Those of a batch are decoded while the next batch
/// is fetched.
struct Listing {
    core: Arc<CursorCore>,
    most: usize,
    list: Py<PyList>,
    progress: Mutex<Progress>,
    /// The result of the last fetch.
    fetched: Arc<Mutex<Option<Result<Fetched>>>>,
}

#[derive(Default)]
struct Progress {
    /// What fetches, and until when, once the first fetch has begun.
    fetching: Option<(Arc<BatchStream>, Option<Deadline>)>,
    /// Whether all documents that the list may have are in it.
    complete: bool,
}

impl Listing {
    /// Adds what was received to the list; returns what to wait for, unless the list is complete.
    fn proceed(&self, py: Python<'_>) -> PyResult<Option<Running<()>>> {
        let (begun, mut complete) = {
            let progress = self.progress();
            (progress.fetching.clone(), progress.complete)
        };
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some((fetching, _)), Some(fetched)) = (&begun, fetched) {
            self.core.add(py, Some(fetching), fetched)?;
            // A tailable cursor may wait for ever: one batch is all that there is now.
            complete |= self.core.is_tailable();
        }
        let list = self.list.bind(py);
        self.core.take(list, self.most - list.len().min(self.most))?;
        complete |= list.len() >= self.most;
        let next = if complete { None } else { self.core.fetching(py)? };
        let Some(fetching) = next else {
            self.progress().complete = true;
            return Ok(None);
        };
        let deadline = match begun {
            Some((_, deadline)) => deadline,
            None => time_limit::deadline(py, fetching.timeout())?,
        };
        self.progress().fetching = Some((Arc::clone(&fetching), deadline));
        let (result, tailable) = (Arc::clone(&self.fetched), self.core.is_tailable());
        Ok(Some(Box::pin(async move {
            let fetched = Deadline::bound(deadline, fetching.fetch(1, tailable)).await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
            Ok(())
        })))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn raw_batch(py: Python<'_>, batch: &mut Batch) -> PyResult<Py<PyAny>> {
    Ok(PyBytes::new(py, &raised(py, batch.take_raw())?).into_any().unbind())
}

/// PyMongo's flag of an exhaust cursor.
const EXHAUST: i64 = 64;
const LIMITED: &str = "Can't use limit and exhaust together.";

impl FindArguments {
    /// Checks the arguments of a cursor, and recognizes an exhaust cursor.
    pub(crate) fn check_cursor_type(&mut self, py: Python<'_>) -> PyResult<()> {
        match self.cursor_type {
            0 | 2 | 34 => {}
            EXHAUST if self.limit != 0 => return Err(invalid_operation(py, LIMITED)),
            EXHAUST => (self.cursor_type, self.exhaust) = (0, true),
            _ => return Err(PyValueError::new_err("not a valid value for cursor_type")),
        }
        Ok(())
    }

    /// Makes the checks that PyMongo makes for `find_one`, which limits the cursor.
    pub(crate) fn check_one(&mut self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        if self.exhaust { Err(invalid_operation(py, LIMITED)) } else { Ok(()) }
    }

    /// Sets or unsets the options of the wire protocol's flags. Returns false if they contradict the limit.
    fn set_flags(&mut self, mask: i64, on: bool) -> bool {
        const TAILABLE: i64 = 2;
        const NO_TIMEOUT: i64 = 16;
        const AWAIT: i64 = 32;
        const PARTIAL: i64 = 128;
        if mask & EXHAUST != 0 {
            if on && self.limit != 0 {
                return false;
            }
            self.exhaust = on;
        }
        if mask & (TAILABLE | AWAIT) != 0 {
            let flags = mask & (TAILABLE | AWAIT);
            self.cursor_type = if on { self.cursor_type | flags } else { self.cursor_type & !flags };
        }
        if mask & NO_TIMEOUT != 0 {
            self.no_cursor_timeout = on;
        }
        if mask & PARTIAL != 0 {
            self.allow_partial_results = on;
        }
        true
    }
}

/// Pauses Python's cyclic garbage collector while a list of documents is
/// built. None of them is garbage, and the collector would scan all of them
/// again and again.
struct CollectorPaused {
    was_enabled: bool,
}

impl CollectorPaused {
    fn new(_py: Python<'_>) -> Self {
        // SAFETY: the GIL is held.
        Self { was_enabled: unsafe { ffi::PyGC_Disable() } == 1 }
    }
}

impl Drop for CollectorPaused {
    fn drop(&mut self) {
        if self.was_enabled {
            // SAFETY: it is dropped where it was made, with the GIL held.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}

/// The methods that all cursors have. Users see its subclasses.
#[pyclass(module = "connect.eaas.mongodb._native", name = "Cursor", frozen, weakref, subclass)]
pub(crate) struct CursorBase {
    core: Arc<CursorCore>,
    mode: Mode,
}

impl CursorBase {
    /// A cursor of the class for `mode`, which has not sent its query.
    pub(crate) fn create(py: Python<'_>, mode: Mode, core: CursorCore) -> PyResult<Py<PyAny>> {
        Self::object(py, mode, Arc::new(core))
    }

    /// The cursor of a command. A blocking cursor sends the command at once, as PyMongo's does.
    pub(crate) fn of_command(py: Python<'_>, mode: Mode, core: CursorCore) -> PyResult<Py<PyAny>> {
        let core = Arc::new(core.of_command());
        if mode == Mode::Blocking {
            CursorCore::fetch(&core, py, 1, |py, _| Ok(py.None()))?.wait(py, Mode::Blocking.waiting(py)?)?;
        }
        Self::object(py, mode, core)
    }

    fn object(py: Python<'_>, mode: Mode, core: Arc<CursorCore>) -> PyResult<Py<PyAny>> {
        let raw = core.raw;
        let base = PyClassInitializer::from(Self { core, mode });
        Ok(match (mode, raw) {
            (Mode::Awaited, false) => {
                Py::new(py, base.add_subclass(AwaitedCursorBase).add_subclass(AsyncCursor))?.into_any()
            }
            (Mode::Awaited, true) => {
                Py::new(py, base.add_subclass(AwaitedCursorBase).add_subclass(AsyncRawBatchCursor))?.into_any()
            }
            (Mode::Blocking, false) => {
                Py::new(py, base.add_subclass(BlockingCursorBase).add_subclass(Cursor))?.into_any()
            }
            (Mode::Blocking, true) => {
                Py::new(py, base.add_subclass(BlockingCursorBase).add_subclass(RawBatchCursor))?.into_any()
            }
        })
    }

    /// The name of the class that users see.
    fn name(&self) -> &'static str {
        match (self.mode, self.core.raw) {
            (Mode::Awaited, false) => "AsyncCursor",
            (Mode::Awaited, true) => "AsyncRawBatchCursor",
            (Mode::Blocking, false) => "Cursor",
            (Mode::Blocking, true) => "RawBatchCursor",
        }
    }

    fn method(&self, method: &'static str) -> MethodName {
        MethodName { class: self.name(), method }
    }

    fn run<C: Startable>(
        &self,
        py: Python<'_>,
        method: &'static str,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        self.mode.run(py, self.method(method), prepare)
    }

    /// The arguments of the query.
    pub(crate) fn arguments(&self, py: Python<'_>) -> FindArguments {
        self.core.state().arguments.clone_ref(py)
    }

    /// The document at an index of the query's result, for a blocking cursor.
    fn at<'py>(slf: Bound<'py, Self>, place: i64) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Ok(place) = u64::try_from(place) else {
            return Err(PyIndexError::new_err("Cursor instances do not support negative indices"));
        };
        Self::set(slf.clone(), |_| ())?;
        if slf.get().core.state().arguments.exhaust {
            return Err(invalid_operation(py, LIMITED));
        }
        let one = Self { core: Arc::new(slf.get().core.copy(py)), mode: Mode::Blocking };
        one.core.set(py, |arguments| {
            arguments.skip += place;
            arguments.limit = -1;
        })?;
        let found = one.to_list(py, None)?.into_bound(py);
        if found.is_empty()? {
            return Err(PyIndexError::new_err("no such item for Cursor instance"));
        }
        found.get_item(0)
    }

    fn set_flags(slf: Bound<'_, Self>, mask: i64, on: bool) -> PyResult<Bound<'_, Self>> {
        let mut allowed = true;
        let slf = Self::set(slf, |arguments| allowed = arguments.set_flags(mask, on))?;
        if allowed { Ok(slf) } else { Err(invalid_operation(slf.py(), LIMITED)) }
    }

    fn set<'py>(slf: Bound<'py, Self>, set: impl FnOnce(&mut FindArguments)) -> PyResult<Bound<'py, Self>> {
        slf.get().core.set(slf.py(), set)?;
        Ok(slf)
    }
}

#[pymethods]
impl CursorBase {
    #[classmethod]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        options::generic(cls, item)
    }

    /// The collection that the cursor reads.
    #[getter]
    fn collection(&self, py: Python<'_>) -> Py<PyAny> {
        self.core.collection.clone_ref(py)
    }

    /// Whether the cursor may return more documents.
    #[getter]
    fn alive(&self) -> bool {
        self.core.alive()
    }

    /// The server's cursor id: `None` before the first reply, 0 once the cursor is exhausted.
    #[getter]
    fn cursor_id(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let id = self.core.state().cursor_id;
        match id {
            Some(id) => DEFAULT.decode_value(py, bson::Bson::Int64(id)),
            None => Ok(py.None()),
        }
    }

    /// The host and the port of the server, after the first reply; `None` if it may be any of several.
    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<Option<(String, u16)>> {
        let has_replied = self.core.state().cursor_id.is_some();
        if has_replied { self.core.located.server(py) } else { Ok(None) }
    }

    /// The cursor's session, or `None`.
    #[getter]
    fn session(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.state().arguments.session.as_ref().map(|session| session.clone_ref(py))
    }

    /// The number of documents received so far.
    #[getter]
    fn retrieved(&self) -> usize {
        self.core.state().retrieved_count
    }

    /// Return all remaining documents, or at most `length` of them, as a list.
    #[pyo3(signature = (length = None))]
    fn to_list(&self, py: Python<'_>, length: Option<Count>) -> PyResult<Py<PyAny>> {
        let length = length.map(|length| usize::try_from(length.0).unwrap_or(usize::MAX));
        if length == Some(0) {
            return Err(PyValueError::new_err("to_list() length must be greater than 0"));
        }
        let listing = Arc::new(Listing {
            core: Arc::clone(&self.core),
            most: length.unwrap_or(usize::MAX),
            list: PyList::empty(py).unbind(),
            progress: Mutex::default(),
            fetched: Arc::default(),
        });
        let steps = Arc::clone(&listing);
        let proceed: Backpressure = Box::new(move |py| steps.proceed(py));
        let list = move |py: Python<'_>| Ok(Immediate(listing.list.clone_ref(py).into_any()));
        self.mode.run_behind(py, self.method("to_list"), Some(proceed), list)
    }

    /// Set the sort order: a field name and a direction, a list of field names
    /// or of (name, direction) pairs, or a mapping.
    #[pyo3(signature = (key_or_list, direction = None))]
    fn sort<'py>(
        slf: Bound<'py, Self>,
        key_or_list: Bound<'py, PyAny>,
        direction: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let sort = options::sort(&key_or_list, direction.as_ref())?.into_any().unbind();
        Self::set(slf, |arguments| arguments.sort = Some(sort))
    }

    /// Set the number of documents to skip.
    fn skip(slf: Bound<'_, Self>, #[pyo3(from_py_with = options::cursor_skip)] skip: u64) -> PyResult<Bound<'_, Self>> {
        Self::set(slf, |arguments| arguments.skip = skip)
    }

    /// Set the maximum number of documents to return; 0 means no limit.
    fn limit(
        slf: Bound<'_, Self>,
        #[pyo3(from_py_with = options::cursor_limit)] limit: i64,
    ) -> PyResult<Bound<'_, Self>> {
        if slf.get().core.state().arguments.exhaust {
            return Err(invalid_operation(slf.py(), LIMITED));
        }
        Self::set(slf, |arguments| arguments.limit = limit)
    }

    /// Set the maximum number of documents in a batch; 0 means the server's default.
    fn batch_size(
        slf: Bound<'_, Self>,
        #[pyo3(from_py_with = options::batch_size)] batch_size: u64,
    ) -> PyResult<Bound<'_, Self>> {
        let batch_size = u32::try_from(batch_size).unwrap_or(u32::MAX);
        if slf.get().core.sends_when_awaited {
            // PyMongo allows this at any time for a command's cursor. Here the size of its batches does not change.
            return Ok(slf);
        }
        Self::set(slf, |arguments| arguments.batch_size = batch_size)
    }

    /// Set the index to use.
    fn hint<'py>(slf: Bound<'py, Self>, index: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let hint = index.map(|index| options::hint(&index)).transpose()?.flatten();
        Self::set(slf, |arguments| arguments.hint = hint.map(Bound::unbind))
    }

    /// Set the collation.
    fn collation<'py>(slf: Bound<'py, Self>, collation: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let collation = collation.map(|collation| options::collation(&collation)).transpose()?;
        Self::set(slf, |arguments| arguments.collation = collation.map(Bound::unbind))
    }

    /// Set a comment, which the server's log and profiler show.
    fn comment<'py>(slf: Bound<'py, Self>, comment: Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let comment = if comment.is_truthy()? { Some(comment.unbind()) } else { None };
        Self::set(slf, |arguments| arguments.comment = comment)
    }

    /// Set the time limit of the query on the server, in milliseconds.
    fn max_time_ms(
        slf: Bound<'_, Self>,
        #[pyo3(from_py_with = options::max_time_ms)] max_time_ms: Option<u64>,
    ) -> PyResult<Bound<'_, Self>> {
        Self::set(slf, |arguments| arguments.max_time_ms = max_time_ms)
    }

    /// Set whether the server may write temporary files to disk while it sorts.
    fn allow_disk_use(
        slf: Bound<'_, Self>,
        #[pyo3(from_py_with = options::cursor_allow_disk_use)] allow_disk_use: bool,
    ) -> PyResult<Bound<'_, Self>> {
        Self::set(slf, |arguments| arguments.allow_disk_use = Some(allow_disk_use))
    }

    /// Set the exclusive upper bound in the index of `hint`.
    fn max<'py>(slf: Bound<'py, Self>, spec: Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let spec = options::cursor_bounds(&spec)?;
        Self::set(slf, |arguments| arguments.max = spec.map(Bound::unbind))
    }

    /// Set the inclusive lower bound in the index of `hint`.
    fn min<'py>(slf: Bound<'py, Self>, spec: Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let spec = options::cursor_bounds(&spec)?;
        Self::set(slf, |arguments| arguments.min = spec.map(Bound::unbind))
    }

    /// Set how long the server waits for new documents, in milliseconds, for a
    /// cursor of type `TAILABLE_AWAIT`.
    fn max_await_time_ms(
        slf: Bound<'_, Self>,
        #[pyo3(from_py_with = options::max_await_time_ms)] max_await_time_ms: Option<u64>,
    ) -> PyResult<Bound<'_, Self>> {
        Self::set(slf, |arguments| arguments.max_await_time_ms = max_await_time_ms)
    }

    /// Set flags of the query, as in `CursorType` and the wire protocol.
    fn add_option(slf: Bound<'_, Self>, #[pyo3(from_py_with = options::mask)] mask: i64) -> PyResult<Bound<'_, Self>> {
        Self::set_flags(slf, mask, true)
    }

    /// Unset flags of the query.
    fn remove_option(
        slf: Bound<'_, Self>,
        #[pyo3(from_py_with = options::mask)] mask: i64,
    ) -> PyResult<Bound<'_, Self>> {
        Self::set_flags(slf, mask, false)
    }

    /// Add a `$where` condition in JavaScript.
    #[pyo3(name = "where")]
    fn where_<'py>(slf: Bound<'py, Self>, code: Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let class = py.import("bson.code")?.getattr("Code")?;
        let code = match code.is_instance(&class)? {
            true => code,
            false => class.call1((code,))?,
        };
        let filter = PyDict::new(py);
        if let Some(given) = &slf.get().core.state().arguments.filter {
            filter.call_method1("update", (given,))?;
        }
        filter.set_item("$where", code)?;
        Self::set(slf, |arguments| arguments.filter = Some(filter.into_any().unbind()))
    }

    /// Return the distinct values of a field among the documents that match.
    fn distinct(&self, py: Python<'_>, key: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let arguments = self.core.state().arguments.clone_ref(py);
        let keywords = PyDict::new(py);
        for (name, value) in [
            ("filter", &arguments.filter),
            ("session", &arguments.session),
            ("comment", &arguments.comment),
            ("hint", &arguments.hint),
            ("collation", &arguments.collation),
        ] {
            if let Some(value) = value {
                keywords.set_item(name, value)?;
            }
        }
        if let Some(time) = arguments.max_time_ms {
            keywords.set_item("maxTimeMS", time)?;
        }
        self.core.collection.call_method(py, "distinct", (key,), Some(&keywords))
    }

    /// Return the server's plan for the query.
    fn explain(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some(explain) = self.core.explain.clone() else {
            return Err(PyNotImplementedError::new_err(
                "only a query of find can be explained so: run the command explain of the database",
            ));
        };
        let arguments = self.core.state().arguments.clone_ref(py);
        self.run(py, "explain", move |py| explain(py, &arguments))
    }

    /// Return a cursor with the same arguments, which has not sent its query.
    fn clone(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Self::create(py, self.mode, self.core.copy(py))
    }

    /// Reset the cursor: the next read sends the query again.
    fn rewind<'py>(slf: Bound<'py, Self>) -> Bound<'py, Self> {
        slf.get().core.rewind(slf.py());
        slf
    }

    /// Close the cursor, on the server too.
    fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let core = Arc::clone(&self.core);
        self.run(py, "close", move |py| {
            core.close();
            Ok(Call::returning(py.None()))
        })
    }

    fn __getitem__<'py>(slf: Bound<'py, Self>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Ok(slice) = index.cast::<PySlice>() else {
            if slf.get().mode == Mode::Awaited {
                return Err(PyIndexError::new_err("AsyncCursor does not support indexing"));
            }
            return match index.extract::<i64>() {
                Ok(place) => Self::at(slf, place),
                Err(_) => Err(PyTypeError::new_err(format!(
                    "index {} cannot be applied to {} instances",
                    index.repr()?,
                    slf.get().name()
                ))),
            };
        };
        let bound = |name: &str| slice.getattr(name)?.extract::<Option<i64>>();
        if !slice.getattr("step")?.is_none() {
            return Err(PyIndexError::new_err(format!("{} instances do not support slice steps", slf.get().name())));
        }
        let (start, stop) = (bound("start")?.unwrap_or(0), bound("stop")?);
        let Ok(skip) = u64::try_from(start) else {
            return Err(PyIndexError::new_err(format!(
                "{} instances do not support negative indices",
                slf.get().name()
            )));
        };
        let limit = match stop {
            Some(stop) if stop < start => {
                let message = format!("stop index must be greater than start index for slice {}", index.repr()?);
                return Err(PyIndexError::new_err(message));
            }
            Some(stop) => stop - start,
            None => 0,
        };
        // An empty slice has no documents, but MongoDB's limit 0 means no limit.
        let empty = stop == Some(start);
        let slf = Self::set(slf, |arguments| {
            arguments.skip = skip;
            arguments.limit = limit;
        })?;
        if empty {
            slf.get().core.state().ended = true;
        }
        Ok(slf.into_any())
    }
}

/// The methods that only awaited cursors have.
#[pyclass(module = "connect.eaas.mongodb._native", name = "AsyncCursor", frozen, subclass, extends = CursorBase)]
pub(crate) struct AwaitedCursorBase;

#[pymethods]
impl AwaitedCursorBase {
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Send the command, if this is the cursor of a command; returns the cursor itself. Both
    /// `await collection.aggregate(…)` and `async for … in collection.aggregate(…)` work.
    fn __await__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let base = slf.as_super().get();
        let (core, cursor) = (Arc::clone(&base.core), slf.clone().unbind());
        base.run(slf.py(), "__await__", move |py| {
            CursorCore::fetch(&core, py, usize::from(core.sends_when_awaited), move |_, _| Ok(cursor.into_any()))
        })
    }

    /// Return the next document, or `None` if there is none now.
    fn try_next(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let base = slf.as_super().get();
        let core = Arc::clone(&base.core);
        base.run(slf.py(), "try_next", move |py| {
            CursorCore::fetch(&core, py, 1, |py, core| core.next_received(py).unwrap_or_else(|| Ok(py.None())))
        })
    }

    fn __anext__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (py, base) = (slf.py(), slf.as_super().get());
        if let Some(document) = base.core.next_received(py) {
            return Ok(Py::new(py, Awaitable::ready(base.method("next"), document?))?.into_any());
        }
        Self::next(slf)
    }

    /// Return the next document; raises `StopAsyncIteration` if there is none.
    fn next(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let base = slf.as_super().get();
        let core = Arc::clone(&base.core);
        base.run(slf.py(), "next", move |py| {
            CursorCore::fetch(&core, py, 1, |py, core| {
                core.next_received(py).unwrap_or_else(|| Err(PyStopAsyncIteration::new_err(())))
            })
        })
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let cursor = slf.clone().into_any().unbind();
        slf.as_super().get().run(slf.py(), "__aenter__", move |_| Ok(Call::returning(cursor)))
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

/// The methods that only blocking cursors have.
#[pyclass(module = "connect.eaas.mongodb._native", name = "Cursor", frozen, subclass, extends = CursorBase)]
pub(crate) struct BlockingCursorBase;

#[pymethods]
impl BlockingCursorBase {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (py, base) = (slf.py(), slf.as_super().get());
        if let Some(document) = base.core.next_received(py) {
            return document;
        }
        let runtime = Mode::Blocking.waiting(py)?;
        let next = CursorCore::fetch(&base.core, py, 1, |py, core| {
            core.next_received(py).unwrap_or_else(|| Err(PyStopIteration::new_err(())))
        })?;
        next.wait(py, runtime)
    }

    /// Return the next document, or `None` if there is none now.
    fn try_next(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (py, base) = (slf.py(), slf.as_super().get());
        let runtime = Mode::Blocking.waiting(py)?;
        let next =
            CursorCore::fetch(&base.core, py, 1, |py, core| core.next_received(py).unwrap_or_else(|| Ok(py.None())))?;
        next.wait(py, runtime)
    }

    /// Return the next document; raises `StopIteration` if there is none.
    fn next(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::__next__(slf)
    }

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
        slf.as_super().get().close(slf.py())
    }
}

/// The documents of a query, as they arrive.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = AwaitedCursorBase)]
pub(crate) struct AsyncCursor;

/// The documents of a query, as they arrive.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = AwaitedCursorBase)]
pub(crate) struct AsyncRawBatchCursor;

/// The documents of a query, as they arrive.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = BlockingCursorBase)]
pub(crate) struct Cursor;

/// The documents of a query, as they arrive.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = BlockingCursorBase)]
pub(crate) struct RawBatchCursor;

#[pymethods]
impl AsyncCursor {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (module, name) = match slf.as_super().as_super().get().core.sends_when_awaited {
            true => ("pymongo.asynchronous.command_cursor", "AsyncCommandCursor"),
            false => ("pymongo.asynchronous.cursor", "AsyncCursor"),
        };
        class_of(slf, &slf.py().get_type::<Self>(), module, name)
    }
}

#[pymethods]
impl AsyncRawBatchCursor {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (module, name) = match slf.as_super().as_super().get().core.sends_when_awaited {
            true => ("pymongo.asynchronous.command_cursor", "AsyncRawBatchCommandCursor"),
            false => ("pymongo.asynchronous.cursor", "AsyncRawBatchCursor"),
        };
        class_of(slf, &slf.py().get_type::<Self>(), module, name)
    }
}

#[pymethods]
impl Cursor {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (module, name) = match slf.as_super().as_super().get().core.sends_when_awaited {
            true => ("pymongo.synchronous.command_cursor", "CommandCursor"),
            false => ("pymongo.synchronous.cursor", "Cursor"),
        };
        class_of(slf, &slf.py().get_type::<Self>(), module, name)
    }
}

#[pymethods]
impl RawBatchCursor {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (module, name) = match slf.as_super().as_super().get().core.sends_when_awaited {
            true => ("pymongo.synchronous.command_cursor", "RawBatchCommandCursor"),
            false => ("pymongo.synchronous.cursor", "RawBatchCursor"),
        };
        class_of(slf, &slf.py().get_type::<Self>(), module, name)
    }
}
