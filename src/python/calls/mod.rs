//! From a method's arguments to a call of the core, and from its result to
//! Python's. `target` chooses the path; `driver` and `data_api` make the calls
//! that both paths have; `driver_only` makes those of the driver path only.

mod data_api;
mod driver;
pub(crate) mod driver_only;
pub(crate) mod session;
pub(crate) mod target;

use session::session_of;

use std::sync::Arc;
use std::time::Duration;

use bson::Bson;
use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use tokio::runtime::Handle;

use crate::batch_stream::BatchStream;
use crate::codec::writer::BsonWriter;
use crate::driver::bulk::BulkResult;
use crate::driver::events::Caller;
use crate::driver::session::Session;
use crate::driver::time_limit::Deadline;
use crate::driver::write::Updated;
use crate::driver::{DriverClient, Namespace};
use crate::insert_queue::{InsertQueue, SendBatch};
use crate::python::asyncio::call::{Call, Enqueue, Insert, Running};
use crate::python::codec::{Codec, Encoded, Id};
use crate::python::convert::options::{self, Opt, Opts};
use crate::python::convert::scope::CodecRef;
use crate::python::lifecycle::once::intern;
use crate::python::lifecycle::pooled::{Pooled, PooledClient};
use crate::store::Record;

/// The arguments of `insert_one`.
pub(crate) struct InsertOneArguments {
    pub(crate) document: Py<PyAny>,
    pub(crate) bypass_document_validation: Option<bool>,
    pub(crate) session: Option<Py<PyAny>>,
    pub(crate) comment: Option<Py<PyAny>>,
}

/// The arguments of `insert_many`.
pub(crate) struct InsertManyArguments {
    pub(crate) documents: Py<PyAny>,
    pub(crate) ordered: bool,
    pub(crate) bypass_document_validation: Option<bool>,
    pub(crate) session: Option<Py<PyAny>>,
    pub(crate) comment: Option<Py<PyAny>>,
}

/// The arguments of `find`, some of which the cursor's methods change.
#[derive(Default)]
pub(crate) struct FindArguments {
    pub(crate) filter: Option<Py<PyAny>>,
    pub(crate) projection: Option<Py<PyAny>>,
    pub(crate) sort: Option<Py<PyAny>>,
    pub(crate) skip: u64,
    pub(crate) limit: i64,
    pub(crate) batch_size: u32,
    pub(crate) hint: Option<Py<PyAny>>,
    pub(crate) collation: Option<Py<PyAny>>,
    pub(crate) max: Option<Py<PyAny>>,
    pub(crate) min: Option<Py<PyAny>>,
    pub(crate) max_time_ms: Option<u64>,
    pub(crate) comment: Option<Py<PyAny>>,
    pub(crate) session: Option<Py<PyAny>>,
    pub(crate) let_vars: Option<Py<PyAny>>,
    pub(crate) allow_disk_use: Option<bool>,
    pub(crate) allow_partial_results: bool,
    pub(crate) no_cursor_timeout: bool,
    pub(crate) return_key: Option<bool>,
    pub(crate) show_record_id: Option<bool>,
    /// PyMongo's `CursorType`, of a tailable cursor.
    pub(crate) cursor_type: i64,
    /// PyMongo's `CursorType.EXHAUST`. The server is asked for each batch, ahead of its use.
    pub(crate) exhaust: bool,
    pub(crate) max_await_time_ms: Option<u64>,
}

impl FindArguments {
    /// Takes the parts of a query `{"$query": …, "$orderby": …}`, which older servers had for options, as PyMongo does.
    fn split(&mut self, whole: &Bound<'_, PyAny>) -> PyResult<()> {
        for item in whole.call_method0("items")?.try_iter()? {
            let (name, value) = item?.extract::<(String, Bound<'_, PyAny>)>()?;
            match name.as_str() {
                "$query" => self.filter = Some(value.unbind()),
                "$orderby" => self.sort = Some(value.unbind()),
                "$hint" => self.hint = Some(value.unbind()),
                "$comment" => self.comment = Some(value.unbind()),
                "$max" => self.max = Some(value.unbind()),
                "$min" => self.min = Some(value.unbind()),
                "$maxTimeMS" => self.max_time_ms = value.extract()?,
                "$returnKey" => self.return_key = value.extract()?,
                "$showRecordId" | "$showDiskLoc" => self.show_record_id = value.extract()?,
                "$explain" | "$readPreference" => {}
                _ => {
                    let message = format!("{name} beside $query is not supported: use the argument of find");
                    return Err(PyNotImplementedError::new_err(message));
                }
            }
        }
        Ok(())
    }

    /// Makes the checks that PyMongo makes when a cursor is created. An empty filter or sort is none.
    pub(crate) fn check(&mut self, py: Python<'_>) -> PyResult<()> {
        self.check_cursor_type(py)?;
        let is_empty = |value: &Option<Py<PyAny>>| match value {
            Some(value) => value.bind(py).is_truthy().map(|truthy| !truthy),
            None => Ok(false),
        };
        let bound = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.bind(py).clone());
        if let Some(variables) = bound(&self.let_vars) {
            options::document_type("let", &variables)?;
        }
        for optional in [&mut self.filter, &mut self.sort, &mut self.let_vars, &mut self.comment] {
            if is_empty(optional)? {
                *optional = None;
            }
        }
        if let Some(filter) = bound(&self.filter) {
            options::mapping("filter", &filter)?;
            if filter.contains(intern!(py, "$query"))? {
                self.split(&filter)?;
            }
        }
        if let Some(projection) = bound(&self.projection) {
            options::projection(&projection)?;
        }
        if let Some(sort) = bound(&self.sort) {
            self.sort = Some(options::index_document(&sort)?.into_any().unbind());
        }
        if let Some(collation) = bound(&self.collation) {
            options::collation(&collation)?;
        }
        if let Some(hint) = bound(&self.hint) {
            self.hint = options::hint(&hint)?.map(Bound::unbind);
        }
        for spec in [&mut self.min, &mut self.max] {
            if let Some(given) = spec.take() {
                *spec = options::bounds(given.bind(py))?.map(Bound::unbind);
            }
        }
        Ok(())
    }
}

/// Encodes a document for an insert. What cannot be a document has PyMongo's error.
fn encoded(codec: &Codec, document: &Bound<'_, PyAny>) -> PyResult<Encoded> {
    codec.encode_for_insert(document).map_err(|error| document_error(error, document))
}

/// Encodes a document for an insert, as [`encoded`] does, and appends it.
fn encode_insert(codec: &Codec, document: &Bound<'_, PyAny>, out: &mut BsonWriter) -> PyResult<Id> {
    codec.encode_into(document, out).map_err(|error| document_error(error, document))
}

fn document_error(error: PyErr, document: &Bound<'_, PyAny>) -> PyErr {
    match options::document_type("document", document) {
        Ok(()) => error,
        Err(wrong) => wrong,
    }
}

/// Starts a query.
pub(crate) type Opening = Box<dyn FnOnce(&Handle) -> BatchStream + Send>;

/// The kind of an update, and which documents it changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Operators, for the first that matches.
    UpdateOne,
    /// Operators, for all that match.
    UpdateMany,
    /// A replacement, for the first that matches.
    ReplaceOne,
}

/// The arguments of an update or a replacement.
pub(crate) struct ChangeArguments {
    pub(crate) filter: Py<PyAny>,
    pub(crate) change: Py<PyAny>,
    pub(crate) options: Opts,
}

/// The change of a `find_one_and_…`.
pub(crate) enum Changing {
    /// Updates the document.
    Update(Py<PyAny>),
    /// Replaces the document.
    Replace(Py<PyAny>),
    /// Deletes it.
    Delete,
}

/// The arguments of a `find_one_and_…`.
pub(crate) struct FindOneAndArguments {
    pub(crate) filter: Py<PyAny>,
    pub(crate) changing: Changing,
    /// Whether to return the document as it is after the change.
    pub(crate) after: bool,
    pub(crate) max_time: Option<Duration>,
    pub(crate) options: Opts,
}

/// The arguments of `bulk_write`.
pub(crate) struct BulkArguments {
    pub(crate) requests: Py<PyAny>,
    pub(crate) ordered: bool,
    pub(crate) options: Opts,
}

/// The context of a call: the client, the namespace and the codec.
pub(crate) struct CallContext<C: PooledClient> {
    pub(crate) pooled: Arc<Pooled<C>>,
    pub(crate) client: Arc<C>,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) codec: CodecRef,
    /// Whether inserted documents receive their generated `_id`s.
    pub(crate) add_ids: bool,
    /// The caller that command events are attributed to.
    pub(crate) caller: Option<Caller>,
    /// When the call must end.
    pub(crate) deadline: Option<Deadline>,
}

impl<C: PooledClient> Clone for CallContext<C> {
    fn clone(&self) -> Self {
        Self {
            pooled: Arc::clone(&self.pooled),
            client: Arc::clone(&self.client),
            namespace: Arc::clone(&self.namespace),
            codec: self.codec.clone(),
            add_ids: self.add_ids,
            caller: self.caller.clone(),
            deadline: self.deadline,
        }
    }
}

impl<C: PooledClient> CallContext<C> {
    /// Stores the generated `_id` in the caller's document, if the client has `add_ids`.
    pub(crate) fn add_id(&self, document: &Bound<'_, PyAny>, id: &Id) -> PyResult<()> {
        match id {
            Id::Made(_) if self.add_ids && document.hasattr("__setitem__")? => {
                document.set_item("_id", id.to_py(document.py())?)
            }
            _ => Ok(()),
        }
    }
}

impl CallContext<DriverClient> {
    /// The session among the arguments, or else the bound session.
    pub(crate) fn session(&self, py: Python<'_>, opts: &Opts) -> PyResult<Option<Arc<Session>>> {
        let given = opts.iter().find_map(|(_, opt)| match opt {
            Opt::Session(session) => session.as_ref(),
            _ => None,
        });
        session_of(py, given.map(|session| session.bind(py)), &self.pooled)
    }
}

/// The calls of a collection, on either path.
pub(crate) trait CollectionCalls: PooledClient + SendBatch + AsRef<InsertQueue<Self>> {
    /// Makes the call of `insert_one`.
    fn insert_one(py: Python<'_>, context: CallContext<Self>, arguments: InsertOneArguments) -> PyResult<Insert>;

    /// Makes the call of `insert_many`.
    fn insert_many(py: Python<'_>, context: CallContext<Self>, arguments: InsertManyArguments) -> PyResult<Call<()>>;

    /// Makes the call of `find_one`.
    fn find_one(
        py: Python<'_>,
        context: CallContext<Self>,
        arguments: &FindArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>>;

    /// Makes the query of `find`.
    fn find(py: Python<'_>, context: CallContext<Self>, arguments: &FindArguments) -> PyResult<Opening>;

    /// Makes the call that explains a query.
    fn explain(
        py: Python<'_>,
        context: CallContext<Self>,
        arguments: &FindArguments,
    ) -> PyResult<Call<bson::RawDocumentBuf>>;

    /// Makes the call of an update or a replacement.
    fn change(
        py: Python<'_>,
        context: CallContext<Self>,
        which: Change,
        arguments: &ChangeArguments,
    ) -> PyResult<Call<Updated>>;

    /// Makes the call of a deletion.
    fn delete(
        py: Python<'_>,
        context: CallContext<Self>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>>;

    /// Makes the query of `aggregate`.
    fn aggregate(
        py: Python<'_>,
        context: CallContext<Self>,
        pipeline: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Opening>;

    /// Makes the call of `count_documents`.
    fn count_documents(
        py: Python<'_>,
        context: CallContext<Self>,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>>;

    /// Makes the call of `estimated_document_count`.
    fn estimated_document_count(py: Python<'_>, context: CallContext<Self>, options: &Opts) -> PyResult<Call<u64>>;

    /// Makes the call of `distinct`.
    fn distinct(
        py: Python<'_>,
        context: CallContext<Self>,
        key: String,
        filter: Option<&Bound<'_, PyAny>>,
        options: &Opts,
    ) -> PyResult<Call<Vec<Bson>>>;

    /// Makes the call of a `find_one_and_…`.
    fn find_one_and(
        py: Python<'_>,
        context: CallContext<Self>,
        arguments: &FindOneAndArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>>;

    /// Makes the call of `bulk_write`.
    fn bulk_write(py: Python<'_>, context: CallContext<Self>, arguments: &BulkArguments) -> PyResult<Call<BulkResult>>;

    /// Makes the insert of an event's record, to be merged with others.
    fn save(py: Python<'_>, context: CallContext<Self>, record: Record) -> PyResult<Enqueue>;

    /// Makes the call of `close`.
    fn close(pooled: &Pooled<Self>) -> Call<()>;
}

/// Waits for free memory among the client's queued inserts; `None` if there is enough.
pub(crate) fn backpressure<C: SendBatch + AsRef<InsertQueue<C>>>(client: Arc<C>) -> Option<Running<()>> {
    if !(*client).as_ref().is_full() {
        return None;
    }
    Some(Box::pin(async move {
        (*client).as_ref().room().await;
        Ok(())
    }))
}
