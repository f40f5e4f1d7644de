//! The Data API path's calls.

use std::pin::Pin;
use std::sync::Arc;

use bson::{RawBsonRef, RawDocumentBuf};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;

use crate::batch_stream::BatchStream;
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::ejson::{self, Style};
use crate::codec::writer::EjsonWriter;
use crate::config::DataApiSettings;
use crate::data_api::client::{DataApiClient, EjsonInsert, ResendPolicy};
use crate::data_api::protocol::Action;
use crate::driver::events::Listener;
use crate::driver::time_limit::Deadline;
use crate::driver::write::Updated;
use crate::error::{Error, ErrorKind, Result};
use crate::insert_queue::{Flush, InsertQueue};
use crate::python::asyncio::call::{Call, Enqueue, Insert, Running, raised};
use crate::python::calls::{
    CallContext, Change, ChangeArguments, CollectionCalls, InsertManyArguments, InsertOneArguments,
};
use crate::python::calls::{FindArguments, Opening};
use crate::python::codec::{DEFAULT, Id, raw_document};
use crate::python::convert::errors::to_py;
use crate::python::convert::options::documents;
use crate::python::convert::options::{self, Opt, Opts};
use crate::python::convert::results::{deleted, found, inserted_many, inserted_one, updated};
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
        driver_path_only([("skip", arguments.skip > 0), ("sort", arguments.sort.is_some())])?;
        let body = query(py, &context, arguments)?;
        let CallContext { client, codec, .. } = context;
        let finding = async move { client.find_one(body).await };
        Ok(Call::new(finding, move |py, result| found(py, result, &codec)))
    }

    fn find(py: Python<'_>, context: CallContext<Self>, arguments: &FindArguments) -> PyResult<Opening> {
        let body = query(py, &context, arguments)?;
        let client = context.client;
        let finding = async move {
            let batch = client.find(Action::Find, body, ResendPolicy::Idempotent).await?;
            Ok(stream::once(async { Ok(batch) }).boxed())
        };
        Ok(Box::new(move |runtime| BatchStream::start(runtime, finding)))
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
        let upsert = only_upsert(py, &arguments.options)?;
        let CallContext { client, namespace, codec, .. } = context;
        let mut out = EjsonWriter { buf: client.request_prefix(&namespace) };
        out.buf.extend_from_slice(br#""filter":"#);
        codec.encode(&options::write_filter(arguments.filter.bind(py))?, &mut out)?;
        let change = arguments.change.bind(py);
        let action = match which {
            Change::ReplaceOne => {
                out.buf.extend_from_slice(br#","replacement":"#);
                codec.encode(&options::replacement(change)?, &mut out)?;
                Action::ReplaceOne
            }
            Change::UpdateOne | Change::UpdateMany => {
                let change = options::update(change)?;
                out.buf.extend_from_slice(br#","update":"#);
                codec.encode_any(&change, &mut out)?;
                if which == Change::UpdateMany { Action::UpdateMany } else { Action::UpdateOne }
            }
        };
        if upsert {
            out.buf.extend_from_slice(br#","upsert":true"#);
        }
        out.buf.push(b'}');
        Ok(Call::new(async move { client.update(action, out.buf.into()).await }, move |py, result| {
            updated(py, result, &codec, true)
        }))
    }

    fn delete(
        py: Python<'_>,
        context: CallContext<Self>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>> {
        only_upsert(py, options)?;
        let CallContext { client, namespace, codec, .. } = context;
        let mut out = EjsonWriter { buf: client.request_prefix(&namespace) };
        out.buf.extend_from_slice(br#""filter":"#);
        codec.encode(&options::write_filter(filter)?, &mut out)?;
        out.buf.push(b'}');
        let action = if many { Action::DeleteMany } else { Action::DeleteOne };
        let finish = |py: Python<'_>, result| deleted(py, result, true);
        Ok(Call::new(async move { client.delete(action, out.buf.into()).await }, finish))
    }

    fn aggregate(
        py: Python<'_>,
        context: CallContext<Self>,
        pipeline: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Opening> {
        only_upsert(py, options)?;
        let stages = options::pipeline(&context.codec, pipeline)?;
        // A pipeline that writes must not be sent twice.
        let writes = stages.iter().any(|stage| stage.contains_key("$out") || stage.contains_key("$merge"));
        let CallContext { client, namespace, codec, .. } = context;
        let mut out = EjsonWriter { buf: client.request_prefix(&namespace) };
        out.buf.extend_from_slice(br#""pipeline":"#);
        codec.encode_any(pipeline, &mut out)?;
        out.buf.push(b'}');
        let repeat = if writes { ResendPolicy::OnlyUnsent } else { ResendPolicy::Idempotent };
        let finding = async move {
            let batch = client.find(Action::Aggregate, out.buf.into(), repeat).await?;
            Ok(stream::once(async { Ok(batch) }).boxed())
        };
        Ok(Box::new(move |runtime| BatchStream::start(runtime, finding)))
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

/// The body of a request that finds documents.
fn query(py: Python<'_>, context: &CallContext<DataApiClient>, arguments: &FindArguments) -> PyResult<Bytes> {
    driver_path_only([
        ("hint", arguments.hint.is_some()),
        ("collation", arguments.collation.is_some()),
        ("max", arguments.max.is_some()),
        ("min", arguments.min.is_some()),
        ("max_time_ms", arguments.max_time_ms.is_some()),
        ("comment", arguments.comment.is_some()),
        ("session", arguments.session.is_some()),
        ("let", arguments.let_vars.is_some()),
        ("allow_disk_use", arguments.allow_disk_use == Some(true)),
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
    out.buf.push(b'}');
    Ok(out.buf.into())
}

fn driver_path_only<const N: usize>(arguments: [(&str, bool); N]) -> PyResult<()> {
    match arguments.iter().find(|(_, used)| *used) {
        Some((name, _)) => Err(PyNotImplementedError::new_err(format!(
            "the Data API has no {name} here: leave it out, or use AsyncMongoClient or MongoClient"
        ))),
        None => Ok(()),
    }
}

/// The option `upsert`, which is the only option of a write that the Data API has.
fn only_upsert(py: Python<'_>, options: &Opts) -> PyResult<bool> {
    let mut upsert = false;
    for (name, option) in options {
        match option {
            Opt::More(keywords) => {
                for name in keywords.bind(py).keys() {
                    driver_path_only([(name.extract::<&str>()?, true)])?;
                }
            }
            _ if *name == "upsert" => upsert = option.is_given(),
            _ => driver_path_only([(*name, option.is_given())])?,
        }
    }
    Ok(upsert)
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
