//! Where calls go: the path, the client's pool and the namespace. This is the
//! only place that distinguishes the two paths.

use std::ops::Deref;
use std::sync::Arc;

use bson::Bson;
use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::config::{DataApiSettings, DriverSettings, ServerIdentity};
use crate::data_api::client::DataApiClient;
use crate::driver::bulk::BulkResult;
use crate::driver::write::Updated;
use crate::driver::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind, Result};
use crate::insert_queue::{InsertQueue, Submission, awaited};
use crate::python::asyncio::call::{Call, Insert, Running, Startable};
use crate::python::asyncio::mode::Mode;
use crate::python::calls::{
    BulkArguments, CallContext, Change, ChangeArguments, CollectionCalls, FindOneAndArguments, InsertManyArguments,
    InsertOneArguments, backpressure,
};
use crate::python::calls::{FindArguments, Opening};
use crate::python::convert::options::Opts;
use crate::python::convert::scope::{CodecRef, Overrides, Scope};
use crate::python::event_store::{StoreSettings, pairs, saved};
use crate::python::lifecycle::pooled::{Pooled, PooledClient};
use crate::python::monitoring::event_context;

/// The target of a call, before the call is made. Making the first call of a
/// process makes the client.
pub(crate) struct Target<C: PooledClient> {
    pooled: Arc<Pooled<C>>,
    /// The database and the collection.
    pub(crate) namespace: Arc<Namespace>,
    /// How documents are read and written.
    pub(crate) codec: CodecRef,
    add_ids: bool,
    /// The client's class, for messages.
    client_class: &'static str,
}

impl<C: PooledClient> Target<C> {
    /// The target of a client's or a database's calls.
    pub(crate) fn new(
        pooled: &Arc<Pooled<C>>,
        namespace: Namespace,
        codec: CodecRef,
        client_class: &'static str,
    ) -> Self {
        Self::of_collection(pooled, Arc::new(namespace), codec, client_class, false)
    }

    /// The target of a collection's calls. With `add_ids`, inserted documents receive their `_id`s.
    pub(crate) fn of_collection(
        pooled: &Arc<Pooled<C>>,
        namespace: Arc<Namespace>,
        codec: CodecRef,
        client_class: &'static str,
        add_ids: bool,
    ) -> Self {
        Self { pooled: Arc::clone(pooled), namespace, codec, add_ids, client_class }
    }

    /// The context of a call, with the client.
    pub(crate) fn context(&self, py: Python<'_>) -> PyResult<CallContext<C>> {
        Ok(CallContext {
            client: self.pooled.client(py, self.client_class)?,
            pooled: Arc::clone(&self.pooled),
            namespace: Arc::clone(&self.namespace),
            codec: self.codec.clone(),
            add_ids: self.add_ids,
            caller: None,
            deadline: C::deadline(py, &self.pooled.settings)?,
        })
    }

    /// Makes a call, whose events go to the client's listeners.
    pub(crate) fn make<S: Startable>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(Python<'_>, CallContext<C>) -> PyResult<S>,
    ) -> PyResult<S> {
        let mut context = self.context(py)?;
        let events = event_context(py, context.client.listener())?;
        context.caller = events.as_ref().and_then(|events| events.caller.clone());
        let (client, deadline) = (Arc::clone(&context.client), context.deadline);
        Ok(call(py, context)?.until(deadline).with_events(events).until_given_up_by(&*client))
    }
}

/// A target whose server may be known.
pub(crate) trait Located: Send + Sync {
    /// The host and the port of the server that answers its reads, if there is only one.
    fn server(&self, py: Python<'_>) -> PyResult<Option<(String, u16)>>;
    /// How its calls return their results.
    fn mode(&self) -> Mode;
}

impl Located for Target<DriverClient> {
    fn server(&self, py: Python<'_>) -> PyResult<Option<(String, u16)>> {
        let preference = self.namespace.concerns.read_preference.as_ref();
        let client = self.pooled.client(py, self.client_class);
        // A closed client has no servers.
        Ok(client.ok().and_then(|client| client.reading_server(preference)))
    }

    fn mode(&self) -> Mode {
        self.pooled.mode
    }
}

impl Located for AnyTarget {
    fn server(&self, py: Python<'_>) -> PyResult<Option<(String, u16)>> {
        match self {
            Self::Driver(target) => target.server(py),
            Self::DataApi(_) => Ok(None),
        }
    }

    fn mode(&self) -> Mode {
        match self {
            Self::Driver(target) => target.mode(),
            Self::DataApi(target) => target.pooled.mode,
        }
    }
}

/// The calls that both paths have. `Calls` of a [`Target`] makes them; it does not start them.
pub(crate) trait Calls {
    /// `insert_one`.
    fn insert_one(&self, py: Python<'_>, arguments: InsertOneArguments) -> PyResult<Insert>;
    /// `insert_many`.
    fn insert_many(&self, py: Python<'_>, arguments: InsertManyArguments) -> PyResult<Call<()>>;
    /// `find_one`.
    fn find_one(&self, py: Python<'_>, arguments: &FindArguments) -> PyResult<Call<Option<bson::RawDocumentBuf>>>;
    /// The query of `find`.
    fn find(&self, py: Python<'_>, arguments: &FindArguments) -> PyResult<Opening>;
    /// `explain` of a query.
    fn explain(&self, py: Python<'_>, arguments: &FindArguments) -> PyResult<Call<bson::RawDocumentBuf>>;
    /// `update_one`, `update_many` or `replace_one`.
    fn change(&self, py: Python<'_>, which: Change, arguments: &ChangeArguments) -> PyResult<Call<Updated>>;
    /// `delete_one` or, with `many`, `delete_many`.
    fn delete(&self, py: Python<'_>, many: bool, filter: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Call<u64>>;
    /// The query of `aggregate`.
    fn aggregate(&self, py: Python<'_>, pipeline: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Opening>;
    /// `count_documents`.
    fn count_documents(&self, py: Python<'_>, filter: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Call<u64>>;
    /// `estimated_document_count`.
    fn estimated_document_count(&self, py: Python<'_>, options: &Opts) -> PyResult<Call<u64>>;
    /// `distinct`.
    fn distinct(
        &self,
        py: Python<'_>,
        key: String,
        filter: Option<&Bound<'_, PyAny>>,
        options: &Opts,
    ) -> PyResult<Call<Vec<Bson>>>;
    /// `find_one_and_update`, `find_one_and_replace` or `find_one_and_delete`.
    fn find_one_and(
        &self,
        py: Python<'_>,
        arguments: &FindOneAndArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>>;
    /// `bulk_write`.
    fn bulk_write(&self, py: Python<'_>, arguments: &BulkArguments) -> PyResult<Call<BulkResult>>;
    /// The insert of an event.
    fn save_event(&self, py: Python<'_>, settings: &StoreSettings, event: &Event<'_, '_>) -> PyResult<Insert>;
    /// The inserts of events, pairs of an event type and an object.
    fn save_events(
        &self,
        py: Python<'_>,
        settings: &StoreSettings,
        events: &Bound<'_, PyAny>,
    ) -> PyResult<Call<Vec<Result<()>>>>;
    /// Waits until none of the client's inserts is in flight.
    fn drain(&self, py: Python<'_>) -> PyResult<Call<()>>;
}

/// An event to be stored.
pub(crate) struct Event<'a, 'py> {
    /// Its type.
    pub(crate) event_type: &'a Bound<'py, PyAny>,
    /// Connect's object.
    pub(crate) obj: &'a Bound<'py, PyAny>,
    /// The task that stores it.
    pub(crate) task_id: Option<&'a str>,
    /// The installation that it is for.
    pub(crate) installation_id: Option<&'a str>,
}

impl<C: CollectionCalls> Calls for Target<C> {
    fn insert_one(&self, py: Python<'_>, arguments: InsertOneArguments) -> PyResult<Insert> {
        self.make(py, |py, context| C::insert_one(py, context, arguments))
    }

    fn insert_many(&self, py: Python<'_>, arguments: InsertManyArguments) -> PyResult<Call<()>> {
        self.make(py, |py, context| C::insert_many(py, context, arguments))
    }

    fn find_one(&self, py: Python<'_>, arguments: &FindArguments) -> PyResult<Call<Option<bson::RawDocumentBuf>>> {
        self.make(py, |py, context| C::find_one(py, context, arguments))
    }

    fn find(&self, py: Python<'_>, arguments: &FindArguments) -> PyResult<Opening> {
        C::find(py, self.context(py)?, arguments)
    }

    fn explain(&self, py: Python<'_>, arguments: &FindArguments) -> PyResult<Call<bson::RawDocumentBuf>> {
        self.make(py, |py, context| C::explain(py, context, arguments))
    }

    fn change(&self, py: Python<'_>, which: Change, arguments: &ChangeArguments) -> PyResult<Call<Updated>> {
        self.make(py, |py, context| C::change(py, context, which, arguments))
    }

    fn delete(&self, py: Python<'_>, many: bool, filter: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Call<u64>> {
        self.make(py, |py, context| C::delete(py, context, many, filter, options))
    }

    fn aggregate(&self, py: Python<'_>, pipeline: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Opening> {
        C::aggregate(py, self.context(py)?, pipeline, options)
    }

    fn count_documents(&self, py: Python<'_>, filter: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Call<u64>> {
        self.make(py, |py, context| C::count_documents(py, context, filter, options))
    }

    fn estimated_document_count(&self, py: Python<'_>, options: &Opts) -> PyResult<Call<u64>> {
        self.make(py, |py, context| C::estimated_document_count(py, context, options))
    }

    fn distinct(
        &self,
        py: Python<'_>,
        key: String,
        filter: Option<&Bound<'_, PyAny>>,
        options: &Opts,
    ) -> PyResult<Call<Vec<Bson>>> {
        self.make(py, |py, context| C::distinct(py, context, key, filter, options))
    }

    fn find_one_and(
        &self,
        py: Python<'_>,
        arguments: &FindOneAndArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>> {
        self.make(py, |py, context| C::find_one_and(py, context, arguments))
    }

    fn bulk_write(&self, py: Python<'_>, arguments: &BulkArguments) -> PyResult<Call<BulkResult>> {
        self.make(py, |py, context| C::bulk_write(py, context, arguments))
    }

    fn save_event(&self, py: Python<'_>, settings: &StoreSettings, event: &Event<'_, '_>) -> PyResult<Insert> {
        self.make(py, |py, context| {
            let record = settings.record(event.event_type, event.obj, event.task_id, event.installation_id)?;
            let id = record.seal.id();
            Ok(Insert::Merged {
                enqueue: C::save(py, context, record)?,
                finish: Box::new(move |py, result| saved(py, result, &id)),
            })
        })
    }

    fn save_events(
        &self,
        py: Python<'_>,
        settings: &StoreSettings,
        events: &Bound<'_, PyAny>,
    ) -> PyResult<Call<Vec<Result<()>>>> {
        self.make(py, |py, context| {
            let runtime = self.pooled.mode.runtime(py)?;
            // For each event the id of its record, if its insert was enqueued, or why it was not.
            let mut outcomes = Vec::new();
            let mut calls = Vec::new();
            for (event_type, obj) in pairs(events)? {
                let insert = settings.record(&event_type, &obj, None, None).and_then(|record| {
                    let id = record.seal.id();
                    Ok((C::save(py, context.clone(), record)?, id))
                });
                match insert {
                    Ok((enqueue, id)) => {
                        let (caller, ended) = awaited();
                        enqueue(runtime, caller, Submission::Blocking);
                        calls.push(ended);
                        outcomes.push(Ok(id));
                    }
                    Err(error) => outcomes.push(Err(error)),
                }
            }
            let ended = async move { Ok(futures_util::future::join_all(calls).await) };
            Ok(Call::new(ended, move |py, results: Result<Vec<Result<()>>>| {
                let mut results = results.unwrap_or_default().into_iter();
                let list = PyList::empty(py);
                for outcome in outcomes {
                    let lost = || Err(Error::new(ErrorKind::InvalidOperation, "the outcome was lost"));
                    let saved = outcome.and_then(|id| saved(py, results.next().unwrap_or_else(lost), &id));
                    list.append(saved.unwrap_or_else(|error| error.into_value(py).into_any()))?;
                }
                Ok(list.into_any().unbind())
            }))
        })
    }

    fn drain(&self, py: Python<'_>) -> PyResult<Call<()>> {
        self.make(py, |_, context| {
            let client = context.client;
            let drained = async move { AsRef::<InsertQueue<C>>::as_ref(&*client).drained().await };
            Ok(Call::new(drained, |py, _| Ok(py.None())))
        })
    }
}

/// A target on either path.
pub(crate) enum AnyTarget {
    /// MongoDB, by its driver.
    Driver(Target<DriverClient>),
    /// A Data API.
    DataApi(Target<DataApiClient>),
}

impl Deref for AnyTarget {
    type Target = dyn Calls;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Driver(target) => target,
            Self::DataApi(target) => target,
        }
    }
}

impl AnyTarget {
    /// How documents are read and written.
    pub(crate) fn codec(&self) -> &CodecRef {
        match self {
            Self::Driver(target) => &target.codec,
            Self::DataApi(target) => &target.codec,
        }
    }
}

/// A client's path, with its pool.
#[derive(Clone)]
pub(crate) enum Path {
    /// MongoDB, by its driver.
    Driver(Arc<Pooled<DriverClient>>),
    /// A Data API.
    DataApi(Arc<Pooled<DataApiClient>>),
}

impl From<Pooled<DriverClient>> for Path {
    fn from(pooled: Pooled<DriverClient>) -> Self {
        Self::Driver(Arc::new(pooled))
    }
}

impl From<Pooled<DataApiClient>> for Path {
    fn from(pooled: Pooled<DataApiClient>) -> Self {
        Self::DataApi(Arc::new(pooled))
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Path {
    /// How the client's calls return their results.
    pub(crate) fn mode(&self) -> Mode {
        match self {
            Self::Driver(pooled) => pooled.mode,
            Self::DataApi(pooled) => pooled.mode,
        }
    }

    /// The address of the pool, which identifies it.
    pub(crate) fn address(&self) -> usize {
        match self {
            Self::Driver(pooled) => Arc::as_ptr(pooled) as usize,
            Self::DataApi(pooled) => Arc::as_ptr(pooled) as usize,
        }
    }

    /// The servers that the path leads to. Equal clients have equal ones.
    pub(crate) fn identity(&self) -> (Option<&ServerIdentity>, Option<(&str, &str)>) {
        match self {
            Self::Driver(pooled) => (Some(&pooled.settings.identity), None),
            Self::DataApi(pooled) => {
                let DataApiSettings { endpoint, data_source, .. } = &pooled.settings;
                (None, Some((endpoint, data_source)))
            }
        }
    }

    /// The scope of a client without options of its own.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Driver(pooled) => Scope::new(pooled.settings.concerns()),
            Self::DataApi(_) => Scope::new(crate::config::ConnectionDefaults::default()),
        }
    }

    /// `scope` with other options. The Data API has no concerns and no read preference.
    pub(crate) fn scope_with(&self, py: Python<'_>, scope: &Scope, overrides: &Overrides<'_, '_>) -> PyResult<Scope> {
        let given = [
            ("read_preference", overrides.read_preference.is_some()),
            ("write_concern", overrides.write_concern.is_some()),
            ("read_concern", overrides.read_concern.is_some()),
        ];
        match (self, given.iter().find(|(_, given)| *given)) {
            (Self::DataApi(_), Some((name, _))) => Err(PyNotImplementedError::new_err(format!(
                "the Data API has no {name} here: leave it out, or use AsyncMongoClient or MongoClient"
            ))),
            _ => scope.with(py, overrides),
        }
    }

    /// The default database and the default collection.
    pub(crate) fn defaults(&self) -> (Option<&String>, Option<&String>) {
        match self {
            Self::Driver(pooled) => {
                let DriverSettings { database, collection, .. } = &pooled.settings;
                (database.as_ref(), collection.as_ref())
            }
            Self::DataApi(pooled) => {
                let DataApiSettings { database, collection, .. } = &pooled.settings;
                (database.as_ref(), collection.as_ref())
            }
        }
    }

    /// The settings that a client's `repr` shows.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Driver(pooled) => {
                let hosts: Vec<String> = pooled.settings.hosts.split(',').map(|host| format!("'{host}'")).collect();
                format!("host=[{}]", hosts.join(", "))
            }
            Self::DataApi(pooled) => {
                format!("'{}', data_source='{}'", pooled.settings.endpoint, pooled.settings.data_source)
            }
        }
    }

    /// What an insert must wait for before it is encoded: free memory among the queued inserts. `None` if there is enough.
    pub(crate) fn backpressure(&self, py: Python<'_>, client_class: &str) -> PyResult<Option<Running<()>>> {
        Ok(match self {
            Self::Driver(pooled) => backpressure(pooled.client(py, client_class)?),
            Self::DataApi(pooled) => backpressure(pooled.client(py, client_class)?),
        })
    }

    /// Closes the connections, unless the client is shared.
    pub(crate) fn close(&self) -> Call<()> {
        match self {
            Self::Driver(pooled) => <DriverClient as CollectionCalls>::close(pooled),
            Self::DataApi(pooled) => DataApiClient::close(pooled),
        }
    }
}
