//! The Data API path's calls.

use std::pin::Pin;
use std::sync::Arc;

use bson::{RawBsonRef, RawDocumentBuf};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;

use super::api::cursor::{FindArguments, Opening};
use super::call::{Call, Handing, Insert, Running, raised};
use super::codec::{DEFAULT, Id};
use super::errors::to_py;
use super::mongo::{
    At, Change, ChangeArguments, CollectionCalls, InsertManyArguments, InsertOneArguments, deleted, documents, found,
    inserted_many, inserted_one, updated,
};
use super::options::{self, Opts};
use super::pooled::{Extras, Pooled, PooledClient};
use super::store::wrapper_in_event;
use crate::coalesce::{Coalescer, Flush};
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::ejson::{self, Style};
use crate::codec::writer::EjsonWriter;
use crate::config::DataApiSettings;
use crate::cursor::Fetching;
use crate::data_api::client::{DataApiClient, Outgoing, Repeat};
use crate::data_api::protocol::Action;
use crate::driver::events::Listener;
use crate::driver::write::Updated;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{METADATA, Record};

impl PooledClient for DataApiClient {
    type Settings = DataApiSettings;

    fn make(
        settings: DataApiSettings,
        runtime: tokio::runtime::Handle,
        _listener: Option<Arc<dyn Listener>>,
        _extras: &Extras,
    ) -> Self {
        Self::new(settings, runtime)
    }

    fn listener(&self) -> Option<&Arc<dyn Listener>> {
        None
    }

    fn until_given_up<T: Send + 'static>(&self, call: Running<T>) -> Running<T> {
        // Each of its requests is one that does.
        call
    }

    fn give_up_if_silent(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { Self::give_up_if_silent(&self).await })
    }
}

impl CollectionCalls for DataApiClient {
    fn insert_one(py: Python<'_>, at: At<Self>, arguments: InsertOneArguments) -> PyResult<Insert> {
        only_the_driver_path([
            ("bypass_document_validation", arguments.bypass_document_validation == Some(true)),
            ("session", arguments.session.is_some()),
            ("comment", arguments.comment.is_some()),
        ])?;
        let document = arguments.document.bind(py);
        let mut out = EjsonWriter { buf: Vec::with_capacity(8192) };
        let id = at.codec.encode_into(document, &mut out)?;
        within_limit(document, out.buf.len())?;
        at.add_id(document, &id)?;
        let At { client, namespace, .. } = at;
        let repeat = repeat(&[&id], &client);
        let finish = move |py: Python<'_>, result: Result<()>| inserted_one(py, result, id);
        if client.settings().coalesce && repeat == Repeat::Safe {
            return Ok(Insert::Merged {
                hand_over: Box::new(move |runtime, caller, more| {
                    Coalescer::insert(&client, runtime, &namespace, Outgoing::made(out.buf), caller, more)
                        .then_some(client as Arc<dyn Flush>)
                }),
                finish: Box::new(finish),
            });
        }
        let document = outgoing(out.buf, repeat);
        let inserting = async move { client.insert_one(&namespace, &document).await };
        Ok(Insert::Alone(Call::new(inserting, finish)))
    }

    fn insert_many(py: Python<'_>, at: At<Self>, arguments: InsertManyArguments) -> PyResult<Call<()>> {
        only_the_driver_path([
            ("bypass_document_validation", arguments.bypass_document_validation == Some(true)),
            ("session", arguments.session.is_some()),
            ("comment", arguments.comment.is_some()),
        ])?;
        let given = documents(arguments.documents.bind(py))?;
        let mut ids = Vec::with_capacity(given.len());
        let mut encoded = Vec::with_capacity(given.len());
        for document in given.iter() {
            let mut out = EjsonWriter::default();
            let id = at.codec.encode_into(&document, &mut out)?;
            within_limit(&document, out.buf.len())?;
            at.add_id(&document, &id)?;
            ids.push(id);
            encoded.push(out.buf);
        }
        let At { client, namespace, .. } = at;
        let repeat = repeat(&ids.iter().collect::<Vec<_>>(), &client);
        let given = given.unbind();
        let ordered = arguments.ordered;
        let encoded: Vec<Outgoing> = encoded.into_iter().map(|ejson| outgoing(ejson, repeat)).collect();
        let inserting = async move { client.insert_many(&namespace, &encoded, ordered).await };
        Ok(Call::new(inserting, move |py, result| inserted_many(py, result, ids, given.bind(py))))
    }

    fn find_one(
        py: Python<'_>,
        at: At<Self>,
        arguments: &FindArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>> {
        only_the_driver_path([("skip", arguments.skip > 0), ("sort", arguments.sort.is_some())])?;
        let body = query(py, &at, arguments)?;
        let At { client, codec, .. } = at;
        let finding = async move { client.find_one(body).await };
        Ok(Call::new(finding, move |py, result| found(py, result, &codec)))
    }

    fn find(py: Python<'_>, at: At<Self>, arguments: &FindArguments) -> PyResult<Opening> {
        let body = query(py, &at, arguments)?;
        let client = at.client;
        let finding = async move {
            let batch = client.find(Action::Find, body, Repeat::Safe).await?;
            Ok(stream::once(async { Ok(batch) }).boxed())
        };
        Ok(Box::new(move |runtime| Fetching::start(runtime, finding)))
    }

    fn explain(_py: Python<'_>, _at: At<Self>, _arguments: &FindArguments) -> PyResult<Call<RawDocumentBuf>> {
        only_the_driver_path([("explain", true)])?;
        Err(PyNotImplementedError::new_err("the Data API has no explain"))
    }

    fn change(py: Python<'_>, at: At<Self>, which: Change, arguments: &ChangeArguments) -> PyResult<Call<Updated>> {
        let upsert = only_upsert(&arguments.options)?;
        let At { client, namespace, codec, .. } = at;
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
            updated(py, result, &codec)
        }))
    }

    fn delete(
        _py: Python<'_>,
        at: At<Self>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>> {
        only_upsert(options)?;
        let At { client, namespace, codec, .. } = at;
        let mut out = EjsonWriter { buf: client.request_prefix(&namespace) };
        out.buf.extend_from_slice(br#""filter":"#);
        codec.encode(&options::write_filter(filter)?, &mut out)?;
        out.buf.push(b'}');
        let action = if many { Action::DeleteMany } else { Action::DeleteOne };
        Ok(Call::new(async move { client.delete(action, out.buf.into()).await }, deleted))
    }

    fn aggregate(_py: Python<'_>, at: At<Self>, pipeline: &Bound<'_, PyAny>, options: &Opts) -> PyResult<Opening> {
        only_upsert(options)?;
        let stages = options::pipeline(&at.codec, pipeline)?;
        // A pipeline that writes is not sent twice.
        let writes = stages.iter().any(|stage| stage.contains_key("$out") || stage.contains_key("$merge"));
        let At { client, namespace, codec, .. } = at;
        let mut out = EjsonWriter { buf: client.request_prefix(&namespace) };
        out.buf.extend_from_slice(br#""pipeline":"#);
        codec.encode_any(pipeline, &mut out)?;
        out.buf.push(b'}');
        let repeat = if writes { Repeat::OnlyUnsent } else { Repeat::Safe };
        let finding = async move {
            let batch = client.find(Action::Aggregate, out.buf.into(), repeat).await?;
            Ok(stream::once(async { Ok(batch) }).boxed())
        };
        Ok(Box::new(move |runtime| Fetching::start(runtime, finding)))
    }

    fn save(py: Python<'_>, at: At<Self>, record: Record) -> PyResult<Handing> {
        let document = RawDocumentBuf::from_bytes(record.document).map_err(|_| PyValueError::new_err("no document"))?;
        let mut text = Vec::with_capacity(document.as_bytes().len() * 2);
        raised(py, ejson::write_document(&mut text, &document, Style::Canonical))?;
        if let Some(name) = ejson::wrapper_in(RawBsonRef::Document(&document), 0) {
            return Err(wrapper_in_event(py, name));
        }
        let receipt = document.get_document(METADATA).ok().and_then(|connect| connect.get_object_id("receipt").ok());
        let mut ours = br#"{"_id":"#.to_vec();
        ejson::write_text(&mut ours, &record.id);
        if let Some(receipt) = receipt {
            ours.extend_from_slice(format!(r#","{METADATA}.receipt":{{"$oid":"{}"}}"#, receipt.to_hex()).as_bytes());
        }
        ours.push(b'}');
        let outgoing = Outgoing::of_content(text, record.id, ours);
        let At { client, namespace, .. } = at;
        Ok(Box::new(move |runtime, caller, more| {
            Coalescer::insert(&client, runtime, &namespace, outgoing, caller, more).then_some(client as Arc<dyn Flush>)
        }))
    }

    fn close(pooled: &Pooled<Self>) -> Call<()> {
        // Dropping the last hold on it closes its connections.
        drop(pooled.close());
        Call::new(async { Ok(()) }, |py, _| Ok(py.None()))
    }
}

/// The body of a request that finds documents.
fn query(py: Python<'_>, at: &At<DataApiClient>, arguments: &FindArguments) -> PyResult<Bytes> {
    only_the_driver_path([
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
        ("cursor_type", arguments.cursor_type != 0),
        ("max_await_time_ms", arguments.max_await_time_ms.is_some()),
        ("negative limit", arguments.limit < 0),
    ])?;
    let codec = &*at.codec;
    let mut out = EjsonWriter { buf: at.client.request_prefix(&at.namespace) };
    out.buf.extend_from_slice(br#""filter":"#);
    codec.encode(&options::filter(py, arguments.filter.as_ref().map(|filter| filter.bind(py)))?, &mut out)?;
    if let Some(projection) = &arguments.projection
        && let Some(names) = options::projection(projection.bind(py))?
    {
        out.buf.extend_from_slice(br#","projection":"#);
        codec.encode(&names, &mut out)?;
    }
    if let Some(sort) = &arguments.sort {
        out.buf.extend_from_slice(br#","sort":"#);
        codec.encode(&options::keys("sort", sort.bind(py))?, &mut out)?;
    }
    for (name, number) in [("skip", i64::try_from(arguments.skip).unwrap_or(i64::MAX)), ("limit", arguments.limit)] {
        if number > 0 {
            out.buf.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
        }
    }
    out.buf.push(b'}');
    Ok(out.buf.into())
}

fn only_the_driver_path<const N: usize>(arguments: [(&str, bool); N]) -> PyResult<()> {
    match arguments.iter().find(|(_, used)| *used) {
        Some((name, _)) => Err(PyNotImplementedError::new_err(format!(
            "the Data API has no {name} here: leave it out, or use AsyncMongoClient or MongoClient"
        ))),
        None => Ok(()),
    }
}

/// Of the options of a write the Data API has `upsert` only.
fn only_upsert(options: &Opts) -> PyResult<bool> {
    let mut upsert = false;
    for (name, option) in options {
        if *name == "upsert" {
            upsert = option.is_given();
        } else {
            only_the_driver_path([(*name, option.is_given())])?;
        }
    }
    Ok(upsert)
}

fn outgoing(ejson: Vec<u8>, repeat: Repeat) -> Outgoing {
    match repeat {
        Repeat::Safe => Outgoing::made(ejson),
        Repeat::OnlyUnsent => Outgoing::once(ejson),
    }
}

/// An insert is safe to repeat if all its `_id`s were made here.
fn repeat(ids: &[&Id], client: &DataApiClient) -> Repeat {
    match ids.iter().all(|id| matches!(id, Id::Made(_))) && client.settings().retry {
        true => Repeat::Safe,
        false => Repeat::OnlyUnsent,
    }
}

/// BSON is larger than EJSON at most a few times, in arrays of empty values:
/// only what comes near the limit so needs a closer look.
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
