//! From a method's arguments to a call of the core, and from its result to
//! Python's. `target` chooses the path; `driver` and `data_api` make the calls
//! that both paths have; `driver_only` makes those of the driver path only.

mod data_api;
mod driver;
pub mod driver_only;
pub mod target;

use std::sync::Arc;

use pyo3::prelude::*;
use tokio::runtime::Handle;

use crate::coalesce::{Coalescer, SendBatch};
use crate::cursor::Fetching;
use crate::driver::session::Session;
use crate::driver::write::Updated;
use crate::driver::{DriverClient, Namespace};
use crate::python::asyncio::call::{Call, Enqueue, Insert, Running};
use crate::python::codec::Id;
use crate::python::convert::options::{self, Opts};
use crate::python::convert::scope::CodecRef;
use crate::python::lifecycle::pooled::{Pooled, PooledClient};
use crate::store::Record;

/// The arguments of `insert_one`.
pub struct InsertOneArguments {
    pub document: Py<PyAny>,
    pub bypass_document_validation: Option<bool>,
    pub session: Option<Py<PyAny>>,
    pub comment: Option<Py<PyAny>>,
}

/// The arguments of `insert_many`.
pub struct InsertManyArguments {
    pub documents: Py<PyAny>,
    pub ordered: bool,
    pub bypass_document_validation: Option<bool>,
    pub session: Option<Py<PyAny>>,
    pub comment: Option<Py<PyAny>>,
}

/// The arguments of `find`, some of which the cursor's methods change.
#[derive(Default)]
pub struct FindArguments {
    pub filter: Option<Py<PyAny>>,
    pub projection: Option<Py<PyAny>>,
    pub sort: Option<Py<PyAny>>,
    pub skip: u64,
    pub limit: i64,
    pub batch_size: u32,
    pub hint: Option<Py<PyAny>>,
    pub collation: Option<Py<PyAny>>,
    pub max: Option<Py<PyAny>>,
    pub min: Option<Py<PyAny>>,
    pub max_time_ms: Option<u64>,
    pub comment: Option<Py<PyAny>>,
    pub session: Option<Py<PyAny>>,
    pub let_vars: Option<Py<PyAny>>,
    pub allow_disk_use: Option<bool>,
    pub allow_partial_results: bool,
    pub no_cursor_timeout: bool,
    pub return_key: Option<bool>,
    pub show_record_id: Option<bool>,
    /// PyMongo's `CursorType`.
    pub cursor_type: i64,
    pub max_await_time_ms: Option<u64>,
}

/// Starts a query.
pub type Opening = Box<dyn FnOnce(&Handle) -> Fetching + Send>;

/// The kind of an update, and which documents it changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Operators, for the first that matches.
    UpdateOne,
    /// Operators, for all that match.
    UpdateMany,
    /// A replacement, for the first that matches.
    ReplaceOne,
}

/// The arguments of an update or a replacement.
pub struct ChangeArguments {
    pub filter: Py<PyAny>,
    pub change: Py<PyAny>,
    pub options: Opts,
}

/// The context of a call: the client, the namespace and the codec.
pub struct CallContext<C: PooledClient> {
    pub pooled: Arc<Pooled<C>>,
    pub client: Arc<C>,
    pub namespace: Arc<Namespace>,
    pub codec: CodecRef,
    /// Whether inserted documents receive their generated `_id`s.
    pub add_ids: bool,
}

impl<C: PooledClient> Clone for CallContext<C> {
    fn clone(&self) -> Self {
        Self {
            pooled: Arc::clone(&self.pooled),
            client: Arc::clone(&self.client),
            namespace: Arc::clone(&self.namespace),
            codec: self.codec.clone(),
            add_ids: self.add_ids,
        }
    }
}

impl<C: PooledClient> CallContext<C> {
    /// Stores the generated `_id` in the caller's document, if the client has `add_ids`.
    pub fn add_id(&self, document: &Bound<'_, PyAny>, id: &Id) -> PyResult<()> {
        match id {
            Id::Made(_) if self.add_ids && document.hasattr("__setitem__")? => {
                document.set_item("_id", id.to_py(document.py())?)
            }
            _ => Ok(()),
        }
    }
}

impl CallContext<DriverClient> {
    /// The session among the arguments.
    pub fn session(&self, py: Python<'_>, opts: &Opts) -> PyResult<Option<Arc<Session>>> {
        options::session(py, opts, &self.pooled)
    }
}

/// The calls of a collection, on either path.
pub trait CollectionCalls: PooledClient + SendBatch + AsRef<Coalescer<Self>> {
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

    /// Makes the insert of an event's record, to be merged with others.
    fn save(py: Python<'_>, context: CallContext<Self>, record: Record) -> PyResult<Enqueue>;

    /// Makes the call of `close`.
    fn close(pooled: &Pooled<Self>) -> Call<()>;
}

/// Waits for free memory among the client's queued inserts; `None` if there is enough.
pub fn backpressure<C: SendBatch + AsRef<Coalescer<C>>>(client: Arc<C>) -> Option<Running<()>> {
    if !(*client).as_ref().is_full() {
        return None;
    }
    Some(Box::pin(async move {
        (*client).as_ref().room().await;
        Ok(())
    }))
}
