//! The Data API path's calls.

use std::pin::Pin;
use std::sync::Arc;

use bson::{Bson, RawBsonRef, RawDocumentBuf};
use bytes::Bytes;
use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyMapping, PyString};

use crate::batch_stream::BatchStream;
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::ejson::{self, Style};
use crate::codec::writer::EjsonWriter;
use crate::config::DataApiSettings;
use crate::data_api::client::{DataApiClient, EjsonInsert, ResendPolicy};
use crate::data_api::pages::DocumentsQuery;
use crate::data_api::protocol::Action;
use crate::driver::bulk::BulkResult;
use crate::driver::events::Listener;
use crate::driver::time_limit::Deadline;
use crate::driver::write::Updated;
use crate::error::{Error, ErrorKind, Result};
use crate::insert_queue::{Flush, InsertQueue};
use crate::python::asyncio::call::{Call, Enqueue, Insert, Running, raised};
use crate::python::calls::driver_only::name_operations;
use crate::python::calls::{
    BulkArguments, CallContext, Change, ChangeArguments, Changing, CollectionCalls, FindOneAndArguments,
    InsertManyArguments, InsertOneArguments,
};
use crate::python::calls::{FindArguments, Opening};
use crate::python::codec::{Codec, DEFAULT, Id, raw_document};
use crate::python::convert::errors::to_py;
use crate::python::convert::options::documents;
use crate::python::convert::options::{self, Opts};
use crate::python::convert::results::{counted, deleted, found, inserted_many, inserted_one, pymongo_result, updated};
use crate::python::event_store::wrapper_in_event;
use crate::python::lifecycle::pooled::{ClientExtras, Pooled, PooledClient};
use crate::store::{METADATA, Record};

impl PooledClient for DataApiClient {
    type Settings = DataApiSettings;

    fn make(
        settings: DataApiSettings,
        runtime: tokio::runtime::Handle,
        _listener: Option<Arc<dyn Listener>>,
        _extras: &ClientExtras,
    ) -> Self {
        Self::new(settings, runtime)
    }

    fn listener(&self) -> Option<&Arc<dyn Listener>> {
        None
    }

    fn deadline(_py: Python<'_>, _settings: &DataApiSettings) -> PyResult<Option<Deadline>> {
        // Its requests have a time limit of their own.
        Ok(None)
    }

    fn until_given_up<T: Send + 'static>(&self, call: Running<T>) -> Running<T> {
        // Each of its requests stops by itself when the client gives up.
        call
    }

    fn give_up_if_silent(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { Self::give_up_if_silent(&self).await })
    }
}

impl CollectionCalls for DataApiClient {
    fn insert_one(py: Python<'_>, context: CallContext<Self>, arguments: InsertOneArguments) -> PyResult<Insert> {
        driver_path_only([
            ("bypass_document_validation", arguments.bypass_document_validation == Some(true)),
            ("session", arguments.session.is_some()),
            ("comment", arguments.comment.is_some()),
        ])?;
        let document = arguments.document.bind(py);
        let mut out = EjsonWriter { buf: Vec::with_capacity(8192) };
        let id = context.codec.encode_into(document, &mut out)?;
        within_limit(document, out.buf.len())?;
        context.add_id(document, &id)?;
        let CallContext { client, namespace, .. } = context;
        let repeat = repeat(&[&id], &client);
        let finish = move |py: Python<'_>, result: Result<()>| inserted_one(py, result, id, true);
        if client.settings().coalesce && repeat == ResendPolicy::Idempotent {
            return Ok(Insert::Merged {
                enqueue: Box::new(move |runtime, caller, submission| {
                    InsertQueue::insert(&client, runtime, &namespace, EjsonInsert::made(out.buf), caller, submission)
                        .then_some(client as Arc<dyn Flush>)
                }),
                finish: Box::new(finish),
            });
        }
        let document = outgoing(out.buf, repeat);
        let inserting = async move { client.insert_one(&namespace, &document).await };
        Ok(Insert::Alone(Call::new(inserting, finish)))
    }

    fn insert_many(py: Python<'_>, context: CallContext<Self>, arguments: InsertManyArguments) -> PyResult<Call<()>> {
        driver_path_only([
            ("bypass_document_validation", arguments.bypass_document_validation == Some(true)),
            ("session", arguments.session.is_some()),
            ("comment", arguments.comment.is_some()),
        ])?;
        let given = documents(arguments.documents.bind(py))?;
        let mut ids = Vec::with_capacity(given.len());
        let mut encoded = Vec::with_capacity(given.len());
        for document in given.iter() {
            let mut out = EjsonWriter::default();
            let id = context.codec.encode_into(&document, &mut out)?;
            within_limit(&document, out.buf.len())?;
            context.add_id(&document, &id)?;
            ids.push(id);
            encoded.push(out.buf);
        }
        let CallContext { client, namespace, .. } = context;
        let repeat = repeat(&ids.iter().collect::<Vec<_>>(), &client);
        let given = given.unbind();
        let ordered = arguments.ordered;
        let encoded: Vec<EjsonInsert> = encoded.into_iter().map(|ejson| outgoing(ejson, repeat)).collect();
        let inserting = async move { client.insert_many(&namespace, &encoded, ordered).await };
        Ok(Call::new(inserting, move |py, result| inserted_many(py, result, ids, given.bind(py), true)))
    }

    fn find_one(
        py: Python<'_>,
        context: CallContext<Self>,
        arguments: &FindArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>> {
        let (mut body, mut required) = query(py, &context, arguments)?;
        body.push(b'}');
        for (name, given) in [("skip", arguments.skip > 0), ("sort", arguments.sort.is_some())] {
            required.extend(given.then(|| name.to_owned()));
        }
        let CallContext { client, codec, .. } = context;
        let finding = async move {
            client.require(Action::FindOne, &required).await?;
            client.find_one(body.into()).await
        };
        Ok(Call::new(finding, move |py, result| found(py, result, &codec)))
    }

    fn find(py: Python<'_>, context: CallContext<Self>, arguments: &FindArguments) -> PyResult<Opening> {
        let (body, required) = query(py, &context, arguments)?;
        let batch_size = arguments.batch_size;
        let by_id = arguments.sort.is_none() && arguments.collation.is_none();
        Ok(opening(context, DocumentsQuery { action: Action::Find, body, required, batch_size, by_id, writes: false }))
    }

    fn explain(_py: Python<'_>, _at: CallContext<Self>, _arguments: &FindArguments) -> PyResult<Call<RawDocumentBuf>> {
        driver_path_only([("explain", true)])?;
        Err(PyNotImplementedError::new_err("the Data API has no explain"))
    }

    fn change(
        py: Python<'_>,
        context: CallContext<Self>,
        which: Change,
        arguments: &ChangeArguments,
    ) -> PyResult<Call<Updated>> {
        let filter = options::write_filter(arguments.filter.bind(py))?;
        let change = arguments.change.bind(py);
        let (action, change) = match which {
            Change::ReplaceOne => (Action::ReplaceOne, ("replacement", options::replacement(change)?)),
            Change::UpdateOne => (Action::UpdateOne, ("update", options::update(change)?)),
            Change::UpdateMany => (Action::UpdateMany, ("update", options::update(change)?)),
        };
        let request = Request::new(py, &context, action, &[("filter", filter), change], &arguments.options)?;
        let CallContext { client, codec, .. } = context;
        let changing = async move { client.update(action, request.body(&client).await?).await };
        Ok(Call::new(changing, move |py, result| updated(py, result, &codec, true)))
    }

    fn delete(
        py: Python<'_>,
        context: CallContext<Self>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>> {
        let action = if many { Action::DeleteMany } else { Action::DeleteOne };
        let request = Request::new(py, &context, action, &[("filter", options::write_filter(filter)?)], options)?;
        let client = context.client;
        let deleting = async move { client.delete(action, request.body(&client).await?).await };
        Ok(Call::new(deleting, |py, result| deleted(py, result, true)))
    }

    fn aggregate(
        py: Python<'_>,
        context: CallContext<Self>,
        pipeline: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Opening> {
        let stages = options::pipeline(&context.codec, pipeline)?;
        // A pipeline that writes must not be sent twice.
        let writes = stages.iter().any(|stage| stage.contains_key("$out") || stage.contains_key("$merge"));
        let pipeline = ("pipeline", pipeline.clone());
        let Request { out, action, required, batch_size } =
            Request::new(py, &context, Action::Aggregate, &[pipeline], options)?;
        Ok(opening(context, DocumentsQuery { action, body: out.buf, required, batch_size, by_id: false, writes }))
    }

    fn count_documents(
        py: Python<'_>,
        context: CallContext<Self>,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>> {
        let filter = options::write_filter(filter)?;
        let request = Request::new(py, &context, Action::CountDocuments, &[("filter", filter)], options)?;
        let client = context.client;
        Ok(Call::new(async move { client.count(Action::CountDocuments, request.body(&client).await?).await }, counted))
    }

    fn estimated_document_count(py: Python<'_>, context: CallContext<Self>, options: &Opts) -> PyResult<Call<u64>> {
        let action = Action::EstimatedDocumentCount;
        let request = Request::new(py, &context, action, &[], options)?;
        let client = context.client;
        Ok(Call::new(async move { client.count(action, request.body(&client).await?).await }, counted))
    }

    fn distinct(
        py: Python<'_>,
        context: CallContext<Self>,
        key: String,
        filter: Option<&Bound<'_, PyAny>>,
        options: &Opts,
    ) -> PyResult<Call<Vec<Bson>>> {
        let mut parts = vec![("key", PyString::new(py, &key).into_any())];
        if let Some(filter) = filter {
            parts.push(("filter", options::write_filter(filter)?));
        }
        let request = Request::new(py, &context, Action::Distinct, &parts, options)?;
        let CallContext { client, codec, .. } = context;
        let finding = async move { client.distinct(request.body(&client).await?).await };
        Ok(Call::new(finding, move |py, values| codec.decode_value(py, Bson::Array(raised(py, values)?))))
    }

    fn find_one_and(
        py: Python<'_>,
        context: CallContext<Self>,
        arguments: &FindOneAndArguments,
    ) -> PyResult<Call<Option<RawDocumentBuf>>> {
        let mut parts = vec![("filter", options::write_filter(arguments.filter.bind(py))?)];
        let action = match &arguments.changing {
            Changing::Update(update) => {
                parts.push(("update", options::update(update.bind(py))?));
                Action::FindOneAndUpdate
            }
            Changing::Replace(replacement) => {
                parts.push(("replacement", options::replacement(replacement.bind(py))?));
                Action::FindOneAndReplace
            }
            Changing::Delete => Action::FindOneAndDelete,
        };
        if arguments.after {
            parts.push(("returnNewDocument", PyBool::new(py, true).to_owned().into_any()));
        }
        if let Some(time) = arguments.max_time {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            parts.push(("maxTimeMS", millis.into_pyobject(py)?.into_any()));
        }
        let request = Request::new(py, &context, action, &parts, &arguments.options)?;
        let CallContext { client, codec, .. } = context;
        let changing = async move { client.find_one_and(action, request.body(&client).await?).await };
        Ok(Call::new(changing, move |py, result| found(py, result, &codec)))
    }

    fn bulk_write(py: Python<'_>, context: CallContext<Self>, arguments: &BulkArguments) -> PyResult<Call<BulkResult>> {
        let collected = py.import("connect.eaas.mongodb.bulk")?.getattr("collect")?.call1((&arguments.requests,))?;
        let ordered = PyBool::new(py, arguments.ordered).to_owned().into_any();
        let mut request = Request::new(py, &context, Action::BulkWrite, &[("ordered", ordered)], &arguments.options)?;
        request.out.buf.extend_from_slice(br#","operations":["#);
        for (place, statement) in collected.try_iter()?.enumerate() {
            let (kind, given, _) = statement?.extract::<(String, Bound<'_, PyAny>, bool)>()?;
            request.out.buf.extend_from_slice(if place == 0 { b"" } else { b"," });
            match kind.as_str() {
                "insert" => {
                    request.out.buf.extend_from_slice(br#"{"insertOne":{"document":"#);
                    let id = context.codec.encode_into(&given, &mut request.out)?;
                    context.add_id(&given, &id)?;
                    request.out.buf.extend_from_slice(b"}}");
                }
                _ => request.write_statement(&context, &given)?,
            }
        }
        request.out.buf.push(b']');
        let (client, collected) = (context.client, collected.unbind());
        let writing = async move { client.bulk_write(request.body(&client).await?).await };
        Ok(Call::new(writing, move |py, done: Result<BulkResult>| match done {
            Ok(done) => {
                let result = DEFAULT.decode_value(py, Bson::Document(done.document()))?;
                pymongo_result(py, "BulkWriteResult", (result, true))
            }
            Err(error) => {
                let rejected = error.kind == ErrorKind::BulkWrite;
                let raised = to_py(py, error);
                if rejected {
                    name_operations(&raised.value(py).getattr("details")?, collected.bind(py))?;
                }
                Err(raised)
            }
        }))
    }

    fn save(py: Python<'_>, context: CallContext<Self>, record: Record) -> PyResult<Enqueue> {
        let (document, id) = raised(py, record.seal.complete(raw_document(py, record.document)?))?;
        let mut text = Vec::with_capacity(document.as_bytes().len() * 2);
        raised(py, ejson::write_document(&mut text, &document, Style::Canonical))?;
        if let Some(name) = ejson::wrapper_in(RawBsonRef::Document(&document), 0) {
            return Err(wrapper_in_event(py, name));
        }
        let receipt = document.get_document(METADATA).ok().and_then(|connect| connect.get_object_id("receipt").ok());
        let mut ours = br#"{"_id":"#.to_vec();
        ejson::write_text(&mut ours, &id);
        if let Some(receipt) = receipt {
            ours.extend_from_slice(format!(r#","{METADATA}.receipt":{{"$oid":"{}"}}"#, receipt.to_hex()).as_bytes());
        }
        ours.push(b'}');
        let outgoing = EjsonInsert::of_content(text, id, ours);
        let CallContext { client, namespace, .. } = context;
        Ok(Box::new(move |runtime, caller, submission| {
            InsertQueue::insert(&client, runtime, &namespace, outgoing, caller, submission)
                .then_some(client as Arc<dyn Flush>)
        }))
    }

    fn close(pooled: &Pooled<Self>) -> Call<()> {
        // The connections close when the last reference is dropped.
        drop(pooled.close());
        Call::new(async { Ok(()) }, |py, _| Ok(py.None()))
    }
}

/// Starts a query that returns documents.
fn opening(context: CallContext<DataApiClient>, query: DocumentsQuery) -> Opening {
    let CallContext { client, namespace, .. } = context;
    let opening = async move { client.documents(&namespace, query).await };
    Box::new(move |runtime| BatchStream::start(runtime, opening))
}

/// A request to an action, and what the server must have for it.
struct Request {
    out: EjsonWriter,
    action: Action,
    required: Vec<String>,
    /// The most documents of a page; 0 for the server's default.
    batch_size: u32,
}

impl Request {
    /// A request with these arguments and options. Its end is not written yet.
    fn new(
        py: Python<'_>,
        context: &CallContext<DataApiClient>,
        action: Action,
        parts: &[(&str, Bound<'_, PyAny>)],
        options: &Opts,
    ) -> PyResult<Self> {
        let mut out = EjsonWriter { buf: context.client.request_prefix(&context.namespace) };
        // Without the comma, which begins each argument.
        out.buf.pop();
        for (name, value) in parts {
            write_argument(&context.codec, name, value, &mut out)?;
        }
        let (required, batch_size) = write_options(py, &context.codec, options, &mut out)?;
        Ok(Self { out, action, required, batch_size })
    }

    /// Returns the body, if the server has what it needs.
    async fn body(self, client: &DataApiClient) -> Result<Bytes> {
        let Self { mut out, action, required, .. } = self;
        client.require(action, &required).await?;
        out.buf.push(b'}');
        Ok(out.buf.into())
    }

    /// Writes an update or a deletion of `bulk_write`, which has the form of MongoDB's commands.
    fn write_statement(&mut self, context: &CallContext<DataApiClient>, given: &Bound<'_, PyAny>) -> PyResult<()> {
        let given = given.cast::<PyDict>().map_err(PyErr::from)?;
        let get = |name: &str| given.get_item(name);
        let multi = get("multi")?.is_some_and(|multi| multi.is_truthy().unwrap_or(false));
        let action = match (get("u")?, get("limit")?) {
            (Some(_), _) if multi => Action::UpdateMany,
            // A replacement has no operators, and `multi` only an update.
            (Some(_), _) if get("multi")?.is_some() => Action::UpdateOne,
            (Some(_), _) => Action::ReplaceOne,
            (None, Some(limit)) if limit.extract::<i64>()? == 1 => Action::DeleteOne,
            _ => Action::DeleteMany,
        };
        let out = &mut self.out;
        out.buf.extend_from_slice(format!("{{\"{action}\":{{").as_bytes());
        for (name, value) in given.iter() {
            let name = name.extract::<String>()?;
            let (name, value) = match name.as_str() {
                // Told by the action.
                "multi" | "limit" => continue,
                "q" => ("filter", Some(value)),
                "u" if action == Action::ReplaceOne => ("replacement", Some(value)),
                "u" => ("update", Some(value)),
                "hint" => ("hint", options::hint(&value)?),
                "sort" => ("sort", Some(options::index_document(&value)?.into_any())),
                other => (other, Some(value)),
            };
            if let Some(value) = value {
                write_argument(&context.codec, name, &value, out)?;
            }
        }
        out.buf.extend_from_slice(b"}}");
        Ok(())
    }
}

/// Appends an argument.
fn write_argument(codec: &Codec, name: &str, value: &Bound<'_, PyAny>, out: &mut EjsonWriter) -> PyResult<()> {
    if out.buf.last() != Some(&b'{') {
        out.buf.push(b',');
    }
    ejson::write_text(&mut out.buf, name);
    out.buf.push(b':');
    if value.cast::<PyMapping>().is_ok() || value.cast::<PyList>().is_ok() {
        return codec.encode_any(value, out);
    }
    let py = value.py();
    let holder = raw_document(py, codec.encode_value(value)?)?;
    match holder.get("v") {
        Ok(Some(value)) => raised(py, ejson::write_value(&mut out.buf, value, Style::Canonical)),
        _ => Ok(()),
    }
}

/// Appends the options that were given. Returns those that MongoDB's service did not have, and the `batchSize`, which is
/// not appended: it is of pages, and only for a server that has them.
fn write_options(py: Python<'_>, codec: &Codec, options: &Opts, out: &mut EjsonWriter) -> PyResult<(Vec<String>, u32)> {
    for (name, option) in options {
        driver_path_only([(*name, matches!(*name, "session" | "bypassDocumentValidation") && option.is_given())])?;
    }
    let (mut required, mut batch_size) = (Vec::new(), 0);
    for (name, value) in options::given_values(py, options)? {
        let name = name.extract::<String>()?;
        match name.as_str() {
            "bypassDocumentValidation" => continue,
            "batchSize" => {
                batch_size = u32::try_from(value.extract::<i64>()?).unwrap_or(u32::MAX);
                continue;
            }
            "upsert" if !value.is_truthy()? => continue,
            "upsert" => {}
            _ => required.push(name.clone()),
        }
        write_argument(codec, &name, &value, out)?;
    }
    Ok((required, batch_size))
}

/// The body of a request that finds documents, without its end, and its arguments that MongoDB's service did not have.
fn query(
    py: Python<'_>,
    context: &CallContext<DataApiClient>,
    arguments: &FindArguments,
) -> PyResult<(Vec<u8>, Vec<String>)> {
    driver_path_only([
        ("max", arguments.max.is_some()),
        ("min", arguments.min.is_some()),
        ("session", arguments.session.is_some()),
        ("allow_partial_results", arguments.allow_partial_results),
        ("no_cursor_timeout", arguments.no_cursor_timeout),
        ("return_key", arguments.return_key == Some(true)),
        ("show_record_id", arguments.show_record_id == Some(true)),
        ("cursor_type", arguments.cursor_type != 0 || arguments.exhaust),
        ("max_await_time_ms", arguments.max_await_time_ms.is_some()),
        ("negative limit", arguments.limit < 0),
    ])?;
    let codec = &*context.codec;
    let mut out = EjsonWriter { buf: context.client.request_prefix(&context.namespace) };
    out.buf.extend_from_slice(br#""filter":"#);
    match &arguments.filter {
        Some(filter) => codec.encode(filter.bind(py), &mut out)?,
        None => out.buf.extend_from_slice(b"{}"),
    }
    if let Some(projection) = &arguments.projection
        && let Some(names) = options::projection(projection.bind(py))?
    {
        out.buf.extend_from_slice(br#","projection":"#);
        codec.encode(&names, &mut out)?;
    }
    if let Some(sort) = &arguments.sort {
        out.buf.extend_from_slice(br#","sort":"#);
        codec.encode(sort.bind(py), &mut out)?;
    }
    for (name, number) in [("skip", i64::try_from(arguments.skip).unwrap_or(i64::MAX)), ("limit", arguments.limit)] {
        if number > 0 {
            out.buf.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
        }
    }
    let mut required = Vec::new();
    let collation = arguments.collation.as_ref().map(|collation| options::collation(collation.bind(py))).transpose()?;
    let bound = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.bind(py).clone());
    let allow_disk_use = arguments.allow_disk_use.filter(|allow| *allow);
    for (name, value) in [
        ("hint", bound(&arguments.hint)),
        ("collation", collation),
        ("let", bound(&arguments.let_vars)),
        ("comment", bound(&arguments.comment)),
        ("maxTimeMS", arguments.max_time_ms.map(|time| time.into_pyobject(py)).transpose()?.map(Bound::into_any)),
        ("allowDiskUse", allow_disk_use.map(|allow| PyBool::new(py, allow).to_owned().into_any())),
    ] {
        if let Some(value) = value {
            write_argument(codec, name, &value, &mut out)?;
            required.push(name.to_owned());
        }
    }
    Ok((out.buf, required))
}

fn driver_path_only<const N: usize>(arguments: [(&str, bool); N]) -> PyResult<()> {
    match arguments.iter().find(|(_, used)| *used) {
        Some((name, _)) => Err(PyNotImplementedError::new_err(format!(
            "the Data API has no {name} here: leave it out, or use AsyncMongoClient or MongoClient"
        ))),
        None => Ok(()),
    }
}

fn outgoing(ejson: Vec<u8>, repeat: ResendPolicy) -> EjsonInsert {
    match repeat {
        ResendPolicy::Idempotent => EjsonInsert::made(ejson),
        ResendPolicy::OnlyUnsent => EjsonInsert::once(ejson),
    }
}

/// An insert is safe to repeat if the client generated all of its `_id`s.
fn repeat(ids: &[&Id], client: &DataApiClient) -> ResendPolicy {
    match ids.iter().all(|id| matches!(id, Id::Made(_))) && client.settings().retry {
        true => ResendPolicy::Idempotent,
        false => ResendPolicy::OnlyUnsent,
    }
}

/// Checks the size limit of a document. BSON is at most a few times larger than EJSON (for arrays of
/// empty values), so only a document near the limit is encoded again to measure it.
fn within_limit(document: &Bound<'_, PyAny>, ejson_size: usize) -> PyResult<()> {
    if ejson_size <= MAX_DOCUMENT_SIZE / 8 {
        return Ok(());
    }
    let size = DEFAULT.encode_for_insert(document)?.bytes.len();
    if size <= MAX_DOCUMENT_SIZE {
        return Ok(());
    }
    let message = format!(
        "BSON document too large ({size} bytes): MongoDB supports BSON document sizes up to {MAX_DOCUMENT_SIZE} bytes"
    );
    Err(to_py(document.py(), Error::new(ErrorKind::DocumentTooLarge, message)))
}
