//! The driver path's calls.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mongodb::options::CursorType;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::api::cursor::{FindArguments, Opening};
use super::api::session::session_of;
use super::call::{Call, Handing, Insert, Running, raised};
use super::codec::{Codec, Encoded, Id, raw_document};
use super::errors::{invalid_operation, to_py};
use super::monitoring::heard;
use super::options::{self, Opt, Opts, document};
use super::pooled::{Extras, Pooled, PooledClient};
use super::results::{DeleteResult, InsertManyResult, InsertOneResult, UpdateResult};
use super::scope::CodecRef;
use crate::coalesce::{Coalescer, Flush, SendBatch};
use crate::codec::writer::BsonWriter;
use crate::config::DriverSettings;
use crate::cursor::Fetching;
use crate::driver::aggregate::aggregate;
use crate::driver::bulk::{BulkOptions, insert_many};
use crate::driver::command::{How, run_command};
use crate::driver::events::Listener;
use crate::driver::find::{Find, find, find_one};
use crate::driver::insert::{InsertOptions, Outgoing, check_size, insert_one};
use crate::driver::session::Session;
use crate::driver::write::{Updated, delete, replace, update};
use crate::driver::{Beyond, DriverClient, Namespace};
use crate::error::{ErrorKind, Result};
use crate::store::Record;

impl PooledClient for DriverClient {
    type Settings = DriverSettings;

    fn make(
        settings: DriverSettings,
        runtime: tokio::runtime::Handle,
        listener: Option<Arc<dyn Listener>>,
        extras: &Extras,
    ) -> Self {
        let authentication = extras.oidc.authentication(&settings);
        Self::with_listener(
            settings,
            runtime,
            listener,
            Beyond { server_api: extras.server_api.clone(), authentication },
        )
    }

    fn until_given_up<T: Send + 'static>(&self, call: Running<T>) -> Running<T> {
        Box::pin(DriverClient::until_given_up(self, call))
    }

    fn give_up_if_silent(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { DriverClient::give_up_if_silent(&self).await })
    }

    fn listener(&self) -> Option<&Arc<dyn Listener>> {
        Self::listener(self)
    }
}

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

/// Which documents an update is for, and what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Operators, for the first that matches.
    UpdateOne,
    /// Operators, for all that match.
    UpdateMany,
    /// A document in the place of the first that matches.
    ReplaceOne,
}

/// The arguments of an update or a replacement.
pub struct ChangeArguments {
    pub filter: Py<PyAny>,
    pub change: Py<PyAny>,
    pub options: Opts,
}

/// Where a call goes, and how its documents are read and written.
pub struct At<C: PooledClient> {
    pub pooled: Arc<Pooled<C>>,
    pub client: Arc<C>,
    pub namespace: Arc<Namespace>,
    pub codec: CodecRef,
    /// Whether the caller's documents get the `_id`s that were made for them.
    pub add_ids: bool,
}

impl<C: PooledClient> Clone for At<C> {
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

impl<C: PooledClient> At<C> {
    /// Gives the caller's document the `_id` that was made for it, where that is wanted.
    pub fn add_id(&self, document: &Bound<'_, PyAny>, id: &Id) -> PyResult<()> {
        match id {
            Id::Made(_) if self.add_ids && document.hasattr("__setitem__")? => {
                document.set_item("_id", id.to_py(document.py())?)
            }
            _ => Ok(()),
        }
    }
}

impl At<DriverClient> {
    /// The session among the arguments.
    pub fn session(&self, py: Python<'_>, opts: &Opts) -> PyResult<Option<Arc<Session>>> {
        options::session(py, opts, &self.pooled)
    }
}

/// The calls of a collection, on either path.
pub trait CollectionCalls: PooledClient + SendBatch + AsRef<Coalescer<Self>> {
    /// Makes the call of `insert_one`.
    fn insert_one(py: Python<'_>, at: At<Self>, arguments: InsertOneArguments) -> PyResult<Insert>;

    /// Makes the call of `insert_many`.
    fn insert_many(py: Python<'_>, at: At<Self>, arguments: InsertManyArguments) -> PyResult<Call<()>>;

    /// Makes the call of `find_one`.
    fn find_one(
        py: Python<'_>,
        at: At<Self>,
        arguments: &FindArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>>;

    /// Makes the query of `find`.
    fn find(py: Python<'_>, at: At<Self>, arguments: &FindArguments) -> PyResult<Opening>;

    /// Makes the call that explains a query.
    fn explain(py: Python<'_>, at: At<Self>, arguments: &FindArguments) -> PyResult<Call<bson::RawDocumentBuf>>;

    /// Makes the call of an update or a replacement.
    fn change(py: Python<'_>, at: At<Self>, which: Change, arguments: &ChangeArguments) -> PyResult<Call<Updated>>;

    /// Makes the call of a deletion.
    fn delete(
        py: Python<'_>,
        at: At<Self>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>>;

    /// Makes the query of `aggregate`.
    fn aggregate(py: Python<'_>, at: At<Self>, pipeline: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Opening>;

    /// Makes the insert of an event's record, to be merged with others.
    fn save(py: Python<'_>, at: At<Self>, record: Record) -> PyResult<Handing>;

    /// Makes the call of `close`.
    fn close(pooled: &Pooled<Self>) -> Call<()>;
}

impl CollectionCalls for DriverClient {
    fn insert_one(py: Python<'_>, at: At<Self>, arguments: InsertOneArguments) -> PyResult<Insert> {
        let options = InsertOptions {
            bypass_document_validation: arguments.bypass_document_validation,
            comment: arguments.comment.map(|comment| options::bson_value(&at.codec, comment.bind(py))).transpose()?,
            session: session_of(arguments.session.as_ref().map(|session| session.bind(py)), &at.pooled)?,
        };
        let document = arguments.document.bind(py);
        let Encoded { bytes, id } = at.codec.encode_for_insert(document)?;
        at.add_id(document, &id)?;
        let document = raw_document(py, bytes)?;
        let At { client, namespace, .. } = at;
        let finish = move |py: Python<'_>, result: Result<()>| inserted_one(py, result, id);
        let plain =
            options.bypass_document_validation.is_none() && options.comment.is_none() && options.session.is_none();
        // Who listens to commands is told of each insert as its caller's.
        let listened = client.listener().is_some_and(|listener| listener.wanted().commands);
        if plain && client.settings().coalesce && !listened {
            raised(py, check_size(&client, &namespace, &document))?;
            return Ok(Insert::Merged {
                hand_over: Box::new(move |runtime, caller, more| {
                    let outgoing = Outgoing { document, content_id: None };
                    Coalescer::insert(&client, runtime, &namespace, outgoing, caller, more)
                        .then_some(client as Arc<dyn Flush>)
                }),
                finish: Box::new(finish),
            });
        }
        let inserting = async move { insert_one(&client, &namespace, document, options).await };
        Ok(Insert::Alone(Call::new(inserting, finish)))
    }

    fn insert_many(py: Python<'_>, at: At<Self>, arguments: InsertManyArguments) -> PyResult<Call<()>> {
        let session = session_of(arguments.session.as_ref().map(|session| session.bind(py)), &at.pooled)?;
        let more = vec![
            ("bypassDocumentValidation", Opt::Flag(arguments.bypass_document_validation)),
            ("comment", Opt::Value(arguments.comment)),
        ];
        let options = BulkOptions { ordered: arguments.ordered, more: options::given(py, &at.codec, &more)? };
        let given = documents(arguments.documents.bind(py))?;
        let mut ids = Vec::with_capacity(given.len());
        let mut documents = Vec::with_capacity(given.len());
        for document in given.iter() {
            let Encoded { bytes, id } = at.codec.encode_for_insert(&document)?;
            at.add_id(&document, &id)?;
            documents.push(raw_document(py, bytes)?);
            ids.push(id);
        }
        let given = given.unbind();
        let At { client, namespace, .. } = at;
        let inserting = async move { insert_many(&client, &namespace, documents, &options, session.as_deref()).await };
        Ok(Call::new(inserting, move |py, result| inserted_many(py, result, ids, given.bind(py))))
    }

    fn find_one(
        py: Python<'_>,
        at: At<Self>,
        arguments: &FindArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>> {
        let query = query(py, &at, arguments)?;
        let At { client, namespace, codec, .. } = at;
        let finding = async move { find_one(&client, &namespace, query).await };
        Ok(Call::new(finding, move |py, result| found(py, result, &codec)))
    }

    fn find(py: Python<'_>, at: At<Self>, arguments: &FindArguments) -> PyResult<Opening> {
        let query = query(py, &at, arguments)?;
        let ahead = query.session.is_none() && query.tailable.is_none();
        let heard = heard(py, at.client.listener())?;
        let At { client, namespace, .. } = at;
        Ok(Box::new(move |runtime| Fetching::heard(runtime, ahead, heard, find(client, namespace, query))))
    }

    fn explain(py: Python<'_>, at: At<Self>, arguments: &FindArguments) -> PyResult<Call<bson::RawDocumentBuf>> {
        let mut query = query(py, &at, arguments)?;
        query.limit = query.limit.map(|limit| -limit.abs());
        let how = How {
            session: query.session.clone(),
            read_preference: at.namespace.concerns.read_preference.clone(),
            reads: true,
            ..How::default()
        };
        let At { client, namespace, codec, .. } = at;
        let command = bson::doc! { "explain": query.command(&namespace.collection) };
        let explaining = async move { run_command(&client, namespace.database.clone(), command, how).await };
        Ok(Call::new(explaining, move |py, answer| codec.decode(py, raised(py, answer)?.as_bytes())))
    }

    fn change(py: Python<'_>, at: At<Self>, which: Change, arguments: &ChangeArguments) -> PyResult<Call<Updated>> {
        let session = at.session(py, &arguments.options)?;
        let filter = document(&at.codec, &options::write_filter(arguments.filter.bind(py))?)?;
        let given = options::given(py, &at.codec, &arguments.options)?;
        let change = arguments.change.bind(py);
        let At { client, namespace, codec, .. } = at;
        if which == Change::ReplaceOne {
            let mut out = BsonWriter::default();
            codec.encode(&options::replacement(change)?, &mut out)?;
            let replacement = raw_document(py, out.buf)?;
            let replacing = async move { replace(&client, &namespace, filter, replacement, given, session).await };
            return Ok(Call::new(replacing, move |py, result| updated(py, result, &codec)));
        }
        let operators = options::bson_value(&codec, &options::update(change)?)?;
        let many = which == Change::UpdateMany;
        let updating = async move { update(&client, &namespace, many, filter, operators, given, session).await };
        Ok(Call::new(updating, move |py, result| updated(py, result, &codec)))
    }

    fn delete(
        py: Python<'_>,
        at: At<Self>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>> {
        let session = at.session(py, options)?;
        let filter = document(&at.codec, &options::write_filter(filter)?)?;
        let given = options::given(py, &at.codec, options)?;
        let At { client, namespace, .. } = at;
        Ok(Call::new(async move { delete(&client, &namespace, many, filter, given, session).await }, deleted))
    }

    fn aggregate(py: Python<'_>, at: At<Self>, pipeline: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Opening> {
        let session = at.session(py, options)?;
        let (pipeline, given) = (options::pipeline(&at.codec, pipeline)?, options::given(py, &at.codec, options)?);
        let (ahead, heard) = (session.is_none(), heard(py, at.client.listener())?);
        let At { client, namespace, .. } = at;
        Ok(Box::new(move |runtime| {
            Fetching::heard(runtime, ahead, heard, aggregate(client, namespace, pipeline, given, session))
        }))
    }

    fn save(py: Python<'_>, at: At<Self>, record: Record) -> PyResult<Handing> {
        let outgoing = Outgoing { document: raw_document(py, record.document)?, content_id: Some(record.id) };
        let At { client, namespace, .. } = at;
        Ok(Box::new(move |runtime, caller, more| {
            Coalescer::insert(&client, runtime, &namespace, outgoing, caller, more).then_some(client as Arc<dyn Flush>)
        }))
    }

    fn close(pooled: &Pooled<Self>) -> Call<()> {
        let client = pooled.close();
        let listener = client.as_ref().and_then(|client| client.listener().cloned());
        let closing = async move {
            if let Some(client) = client {
                client.close().await;
            }
            Ok(())
        };
        Call::new(closing, move |py, _| {
            listener.iter().for_each(|listener| listener.settle());
            Ok(py.None())
        })
    }
}

/// What waits for room among the inserts of a client, if there is none.
pub fn room<C: SendBatch + AsRef<Coalescer<C>>>(client: Arc<C>) -> Option<Running<()>> {
    if !(*client).as_ref().is_full() {
        return None;
    }
    Some(Box::pin(async move {
        (*client).as_ref().room().await;
        Ok(())
    }))
}

/// The core's query for the arguments of `find_one` or `find`.
fn query(py: Python<'_>, at: &At<DriverClient>, arguments: &FindArguments) -> PyResult<Find> {
    let codec = &*at.codec;
    if (arguments.min.is_some() || arguments.max.is_some()) && arguments.hint.is_none() {
        let message = "Passing a 'hint' is required when using the min/max query option to ensure the query utilizes the \
                       correct index";
        return Err(invalid_operation(py, message));
    }
    let bound = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.bind(py).clone());
    let given = |value: &Option<Py<PyAny>>| bound(value).map(|value| document(codec, &value)).transpose();
    let keys = |name: &str, value: &Option<Py<PyAny>>| {
        bound(value).map(|value| document(codec, &options::keys(name, &value)?)).transpose()
    };
    Ok(Find {
        filter: document(codec, &options::filter(py, bound(&arguments.filter).as_ref())?)?,
        projection: match bound(&arguments.projection) {
            Some(projection) => options::projection(&projection)?.map(|names| document(codec, &names)).transpose()?,
            None => None,
        },
        sort: keys("sort", &arguments.sort)?,
        skip: (arguments.skip > 0).then_some(arguments.skip),
        limit: (arguments.limit != 0).then_some(arguments.limit),
        batch_size: (arguments.batch_size > 0).then_some(arguments.batch_size),
        max_time: arguments.max_time_ms.map(Duration::from_millis),
        comment: bound(&arguments.comment).map(|comment| options::bson_value(codec, &comment)).transpose()?,
        hint: bound(&arguments.hint).map(|hint| index_hint(codec, &hint)).transpose()?,
        collation: bound(&arguments.collation)
            .map(|collation| document(codec, &options::collation(&collation)?))
            .transpose()?,
        let_vars: given(&arguments.let_vars)?,
        max: keys("max", &arguments.max)?,
        min: keys("min", &arguments.min)?,
        allow_disk_use: arguments.allow_disk_use,
        allow_partial_results: arguments.allow_partial_results.then_some(true),
        no_cursor_timeout: arguments.no_cursor_timeout.then_some(true),
        return_key: arguments.return_key,
        show_record_id: arguments.show_record_id,
        tailable: match arguments.cursor_type {
            0 => None,
            2 => Some(CursorType::Tailable),
            34 => Some(CursorType::TailableAwait),
            64 => {
                return Err(PyNotImplementedError::new_err("exhaust cursors are not supported: leave cursor_type out"));
            }
            _ => return Err(PyValueError::new_err("not a valid value for cursor_type: use pymongo.cursor.CursorType")),
        },
        max_await_time: arguments.max_await_time_ms.map(Duration::from_millis),
        session: session_of(bound(&arguments.session).as_ref(), &at.pooled)?,
    })
}

fn index_hint(codec: &Codec, hint: &Bound<'_, PyAny>) -> PyResult<bson::Bson> {
    match hint.extract::<String>() {
        Ok(name) => Ok(bson::Bson::String(name)),
        Err(_) => Ok(bson::Bson::Document(document(codec, &options::keys("hint", hint)?)?)),
    }
}

/// The documents of `insert_many`, as a list.
pub fn documents<'py>(documents: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let py = documents.py();
    let wrong = || PyTypeError::new_err("documents must be a non-empty list");
    if documents.cast::<pyo3::types::PyMapping>().is_ok() {
        return Err(wrong());
    }
    let list = PyList::empty(py);
    for document in documents.try_iter().map_err(|_| wrong())? {
        list.append(document?)?;
    }
    if !list.is_empty() {
        return Ok(list);
    }
    // PyMongo sees only with a list that it is empty.
    if documents.hasattr("__len__")? { Err(wrong()) } else { Err(invalid_operation(py, "No operations to execute")) }
}

/// The result of `insert_one`.
pub fn inserted_one(py: Python<'_>, result: Result<()>, id: Id) -> PyResult<Py<PyAny>> {
    result.map_err(|error| to_py(py, error))?;
    Ok(Bound::new(py, InsertOneResult::confirmed(id))?.into_any().unbind())
}

/// The result of `insert_many`; in its error each refused document is named, as in PyMongo's.
pub fn inserted_many(
    py: Python<'_>,
    result: Result<()>,
    ids: Vec<Id>,
    documents: &Bound<'_, PyList>,
) -> PyResult<Py<PyAny>> {
    let ids = ids.iter().map(|id| id.to_py(py)).collect::<PyResult<Vec<_>>>()?;
    match result {
        Ok(()) => {
            let ids = PyList::new(py, ids)?.unbind();
            Ok(Bound::new(py, InsertManyResult::new(ids, true))?.into_any().unbind())
        }
        Err(error) => {
            let bulk = error.kind == ErrorKind::BulkWrite;
            let raised = to_py(py, error);
            if bulk {
                name_refused(&raised.value(py).getattr("details")?, &ids, documents)?;
            }
            Err(raised)
        }
    }
}

/// Adds each refused document to its entry, as `op`.
fn name_refused(details: &Bound<'_, PyAny>, ids: &[Py<PyAny>], documents: &Bound<'_, PyList>) -> PyResult<()> {
    let py = details.py();
    for refused in details.call_method1("get", ("writeErrors", PyTuple::empty(py)))?.try_iter()? {
        let refused = refused?;
        let place = refused.get_item("index").and_then(|place| place.extract::<usize>());
        let Some((Some(id), Ok(document))) = place.ok().map(|place| (ids.get(place), documents.get_item(place))) else {
            continue;
        };
        let operation = PyDict::new(py);
        operation.set_item("_id", id)?;
        operation.call_method1("update", (document,))?;
        refused.set_item("op", operation)?;
    }
    Ok(())
}

/// The result of an update or a replacement.
pub fn updated(py: Python<'_>, result: Result<Updated>, codec: &Codec) -> PyResult<Py<PyAny>> {
    let Updated { matched, modified, upserted } = raised(py, result)?;
    let upserted = upserted.map(|id| codec.decode_value(py, id)).transpose()?;
    // As PyMongo counts it: an upserted `_id` that is `None` is none.
    let matched = matched + u64::from(upserted.as_ref().is_some_and(|id| id.is_none(py)));
    Ok(Bound::new(py, UpdateResult::new(matched, modified, upserted))?.into_any().unbind())
}

/// The result of a deletion.
pub fn deleted(py: Python<'_>, result: Result<u64>) -> PyResult<Py<PyAny>> {
    Ok(Bound::new(py, DeleteResult::new(raised(py, result)?))?.into_any().unbind())
}

/// The result of `find_one`.
pub fn found(py: Python<'_>, result: Result<Option<bson::RawDocumentBuf>>, codec: &Codec) -> PyResult<Py<PyAny>> {
    match result.map_err(|error| to_py(py, error))? {
        Some(document) => codec.decode(py, document.as_bytes()),
        None => Ok(py.None()),
    }
}
