//! The driver path's calls.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::call::{Call, Handing, Insert, Running, raised};
use super::codec::{Encoded, Id, decode_document, encode, raw_document};
use super::cursor::{FindArguments, Opening};
use super::errors::to_py;
use super::options::{self, Opts, document};
use super::pooled::{Pooled, PooledClient};
use super::results::{DeleteResult, InsertManyResult, InsertOneResult, UpdateResult};
use crate::coalesce::{Coalescer, Flush, SendBatch};
use crate::codec::writer::BsonWriter;
use crate::config::DriverSettings;
use crate::cursor::Fetching;
use crate::driver::aggregate::aggregate;
use crate::driver::find::{Find, find, find_one};
use crate::driver::insert::{InsertOptions, Outgoing, check_size, insert_many, insert_one};
use crate::driver::write::{Updated, delete, replace, update};
use crate::driver::{DriverClient, Namespace};
use crate::error::{ErrorKind, Result};
use crate::store::Record;

impl PooledClient for DriverClient {
    type Settings = DriverSettings;

    fn make(settings: DriverSettings, runtime: tokio::runtime::Handle) -> Self {
        Self::new(settings, runtime)
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

/// The calls of a collection, on either path.
pub trait CollectionCalls: PooledClient {
    /// Makes the call of `insert_one`.
    fn insert_one(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        arguments: InsertOneArguments,
    ) -> PyResult<Insert>;

    /// What an `insert_one` must wait for before it is made, if anything.
    fn room(client: Arc<Self>) -> Option<Running<()>>;

    /// Makes the call of `insert_many`.
    fn insert_many(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        arguments: InsertManyArguments,
    ) -> PyResult<Call<()>>;

    /// Makes the call of `find_one`.
    fn find_one(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        arguments: &FindArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>>;

    /// Makes the query of `find`.
    fn find(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        arguments: &FindArguments,
    ) -> PyResult<Opening>;

    /// Makes the call of an update or a replacement.
    fn change(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        which: Change,
        arguments: &ChangeArguments,
    ) -> PyResult<Call<Updated>>;

    /// Makes the call of a deletion.
    fn delete(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>>;

    /// Makes the query of `aggregate`.
    fn aggregate(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        pipeline: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Opening>;

    /// Makes the insert of an event's record, to be merged with others.
    fn save(py: Python<'_>, client: Arc<Self>, namespace: Arc<Namespace>, record: Record) -> PyResult<Handing>;

    /// Makes the call of `close`.
    fn close(pooled: &Pooled<Self>) -> Call<()>;
}

impl CollectionCalls for DriverClient {
    fn insert_one(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        arguments: InsertOneArguments,
    ) -> PyResult<Insert> {
        let options = insert_options(
            py,
            true,
            arguments.bypass_document_validation,
            arguments.session.as_ref(),
            arguments.comment.as_ref(),
        )?;
        let Encoded { bytes, id } = Encoded::for_insert(arguments.document.bind(py))?;
        let document = raw_document(py, bytes)?;
        let finish = move |py: Python<'_>, result: Result<()>| inserted_one(py, result, id);
        let plain = options.bypass_document_validation.is_none() && options.comment.is_none();
        if plain && client.settings().coalesce {
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

    fn room(client: Arc<Self>) -> Option<Running<()>> {
        room(client)
    }

    fn insert_many(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        arguments: InsertManyArguments,
    ) -> PyResult<Call<()>> {
        let options = insert_options(
            py,
            arguments.ordered,
            arguments.bypass_document_validation,
            arguments.session.as_ref(),
            arguments.comment.as_ref(),
        )?;
        let given = documents(arguments.documents.bind(py))?;
        let mut ids = Vec::with_capacity(given.len());
        let mut documents = Vec::with_capacity(given.len());
        for document in given.iter() {
            let Encoded { bytes, id } = Encoded::for_insert(&document)?;
            documents.push(raw_document(py, bytes)?);
            ids.push(id);
        }
        let given = given.unbind();
        let inserting = async move { insert_many(&client, &namespace, documents, options).await };
        Ok(Call::new(inserting, move |py, result| inserted_many(py, result, ids, given.bind(py))))
    }

    fn find_one(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        arguments: &FindArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>> {
        let query = query(py, arguments)?;
        let finding = async move { find_one(&client, &namespace, query).await };
        Ok(Call::new(finding, found))
    }

    fn find(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        arguments: &FindArguments,
    ) -> PyResult<Opening> {
        let query = query(py, arguments)?;
        Ok(Box::new(move |runtime| Fetching::start(runtime, find(client, namespace, query))))
    }

    fn change(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        which: Change,
        arguments: &ChangeArguments,
    ) -> PyResult<Call<Updated>> {
        let filter = document(&options::write_filter(arguments.filter.bind(py))?)?;
        let given = options::given(py, &arguments.options)?;
        let change = arguments.change.bind(py);
        if which == Change::ReplaceOne {
            let mut out = BsonWriter::default();
            encode(&options::replacement(change)?, &mut out)?;
            let replacement = raw_document(py, out.buf)?;
            let replacing = async move { replace(&client, &namespace, filter, replacement, given).await };
            return Ok(Call::new(replacing, updated));
        }
        let operators = options::bson_value(&options::update(change)?)?;
        let many = which == Change::UpdateMany;
        let updating = async move { update(&client, &namespace, many, filter, operators, given).await };
        Ok(Call::new(updating, updated))
    }

    fn delete(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>> {
        let filter = document(&options::write_filter(filter)?)?;
        let given = options::given(py, options)?;
        Ok(Call::new(async move { delete(&client, &namespace, many, filter, given).await }, deleted))
    }

    fn aggregate(
        py: Python<'_>,
        client: Arc<Self>,
        namespace: Arc<Namespace>,
        pipeline: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Opening> {
        let (pipeline, given) = (options::pipeline(pipeline)?, options::given(py, options)?);
        Ok(Box::new(move |runtime| Fetching::start(runtime, aggregate(client, namespace, pipeline, given))))
    }

    fn save(py: Python<'_>, client: Arc<Self>, namespace: Arc<Namespace>, record: Record) -> PyResult<Handing> {
        let outgoing = Outgoing { document: raw_document(py, record.document)?, content_id: Some(record.id) };
        Ok(Box::new(move |runtime, caller, more| {
            Coalescer::insert(&client, runtime, &namespace, outgoing, caller, more).then_some(client as Arc<dyn Flush>)
        }))
    }

    fn close(pooled: &Pooled<Self>) -> Call<()> {
        let client = pooled.close();
        let closing = async move {
            if let Some(client) = client {
                client.close().await;
            }
            Ok(())
        };
        Call::new(closing, |py, _| Ok(py.None()))
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

fn insert_options(
    py: Python<'_>,
    ordered: bool,
    bypass_document_validation: Option<bool>,
    session: Option<&Py<PyAny>>,
    comment: Option<&Py<PyAny>>,
) -> PyResult<InsertOptions> {
    options::no_session(session.map(|session| session.bind(py)))?;
    let comment = comment.map(|comment| options::bson_value(comment.bind(py))).transpose()?;
    Ok(InsertOptions { bypass_document_validation, comment, ordered })
}

/// The core's query for the arguments of `find_one` or `find`.
fn query(py: Python<'_>, arguments: &FindArguments) -> PyResult<Find> {
    let bound = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.bind(py).clone());
    let given = |value: &Option<Py<PyAny>>| bound(value).map(|value| document(&value)).transpose();
    let keys = |name: &str, value: &Option<Py<PyAny>>| {
        bound(value).map(|value| document(&options::keys(name, &value)?)).transpose()
    };
    options::no_session(bound(&arguments.session).as_ref())?;
    Ok(Find {
        filter: document(&options::filter(py, bound(&arguments.filter).as_ref())?)?,
        projection: match bound(&arguments.projection) {
            Some(projection) => options::projection(&projection)?.map(|names| document(&names)).transpose()?,
            None => None,
        },
        sort: keys("sort", &arguments.sort)?,
        skip: (arguments.skip > 0).then_some(arguments.skip),
        limit: (arguments.limit != 0).then_some(arguments.limit),
        batch_size: (arguments.batch_size > 0).then_some(arguments.batch_size),
        max_time: arguments.max_time_ms.map(Duration::from_millis),
        comment: bound(&arguments.comment).map(|comment| options::bson_value(&comment)).transpose()?,
        hint: bound(&arguments.hint).map(|hint| index_hint(&hint)).transpose()?,
        collation: bound(&arguments.collation)
            .map(|collation| document(&options::collation(&collation)?))
            .transpose()?,
        let_vars: given(&arguments.let_vars)?,
        max: keys("max", &arguments.max)?,
        min: keys("min", &arguments.min)?,
        allow_disk_use: arguments.allow_disk_use,
        allow_partial_results: arguments.allow_partial_results.then_some(true),
        no_cursor_timeout: arguments.no_cursor_timeout.then_some(true),
        return_key: arguments.return_key,
        show_record_id: arguments.show_record_id,
    })
}

fn index_hint(hint: &Bound<'_, PyAny>) -> PyResult<bson::Bson> {
    match hint.extract::<String>() {
        Ok(name) => Ok(bson::Bson::String(name)),
        Err(_) => Ok(bson::Bson::Document(document(&options::keys("hint", hint)?)?)),
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
    if list.is_empty() { Err(wrong()) } else { Ok(list) }
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
pub fn updated(py: Python<'_>, result: Result<Updated>) -> PyResult<Py<PyAny>> {
    let Updated { matched, modified, upserted } = raised(py, result)?;
    let upserted = upserted.map(|id| bson_to_py(py, id)).transpose()?;
    Ok(Bound::new(py, UpdateResult::new(matched, modified, upserted))?.into_any().unbind())
}

/// The result of a deletion.
pub fn deleted(py: Python<'_>, result: Result<u64>) -> PyResult<Py<PyAny>> {
    Ok(Bound::new(py, DeleteResult::new(raised(py, result)?))?.into_any().unbind())
}

/// Any value of BSON as Python has it.
pub fn bson_to_py(py: Python<'_>, value: bson::Bson) -> PyResult<Py<PyAny>> {
    let document = bson::doc! { "v": value };
    let bytes = bson::serialize_to_vec(&document).map_err(|error| PyTypeError::new_err(error.to_string()))?;
    Ok(decode_document(py, &bytes)?.bind(py).get_item("v")?.unbind())
}

/// The result of `find_one`.
pub fn found(py: Python<'_>, result: Result<Option<bson::RawDocumentBuf>>) -> PyResult<Py<PyAny>> {
    match result.map_err(|error| to_py(py, error))? {
        Some(document) => decode_document(py, document.as_bytes()),
        None => Ok(py.None()),
    }
}
