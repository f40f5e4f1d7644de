//! The calls that both paths have, for the driver path.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, RawDocumentBuf};
use mongodb::options::CursorType;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::batch_stream::BatchStream;
use crate::codec::writer::BsonWriter;
use crate::config::DriverSettings;
use crate::driver::aggregate::aggregate;
use crate::driver::bulk::{BulkOptions, BulkResult, StatementKind, Statements, insert_many};
use crate::driver::command::{CommandOptions, run_command};
use crate::driver::events::Listener;
use crate::driver::find::{Find, find, find_one};
use crate::driver::insert::{BsonInsert, InsertOptions, insert_one};
use crate::driver::time_limit::Deadline;
use crate::driver::write::{Updated, delete, replace, update};
use crate::driver::{DriverClient, ExtraClientOptions};
use crate::error::Result;
use crate::insert_queue::{Flush, InsertQueue};
use crate::python::asyncio::call::{Call, Enqueue, Insert, Running, raised};
use crate::python::calls::session::session_of;
use crate::python::calls::{
    BulkArguments, CallContext, Change, ChangeArguments, CollectionCalls, FindOneAndArguments, InsertManyArguments,
    InsertOneArguments, driver_only, encode_insert, encoded,
};
use crate::python::calls::{FindArguments, Opening};
use crate::python::codec::{Codec, Encoded, raw_document};
use crate::python::convert::errors::invalid_operation;
use crate::python::convert::options::{self, Opt, Opts, document, documents};
use crate::python::convert::results::{deleted, found, inserted_many, inserted_one, updated};
use crate::python::lifecycle::pooled::{ClientExtras, Pooled, PooledClient};
use crate::python::monitoring::event_context;
use crate::python::time_limit;
use crate::store::Record;

impl PooledClient for DriverClient {
    type Settings = DriverSettings;

    fn make(
        settings: DriverSettings,
        runtime: tokio::runtime::Handle,
        listener: Option<Arc<dyn Listener>>,
        extras: &ClientExtras,
    ) -> Self {
        let authentication = extras.oidc.authentication(&settings);
        Self::with_listener(
            settings,
            runtime,
            listener,
            ExtraClientOptions {
                server_api: extras.server_api.clone(),
                authentication,
                metadata: Arc::clone(&extras.metadata),
                merged_insert_time: None,
                max_pool_size: None,
            },
        )
    }

    fn deadline(py: Python<'_>, settings: &DriverSettings) -> PyResult<Option<Deadline>> {
        time_limit::deadline(py, settings.time_limits.call)
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

impl CollectionCalls for DriverClient {
    fn insert_one(py: Python<'_>, context: CallContext<Self>, arguments: InsertOneArguments) -> PyResult<Insert> {
        let options = InsertOptions {
            bypass_document_validation: arguments.bypass_document_validation,
            comment: arguments
                .comment
                .map(|comment| options::bson_value(&context.codec, comment.bind(py)))
                .transpose()?,
            session: session_of(py, arguments.session.as_ref().map(|session| session.bind(py)), &context.pooled)?,
        };
        let document = arguments.document.bind(py);
        let Encoded { bytes, id } = encoded(&context.codec, document)?;
        context.add_id(document, &id)?;
        let document = raw_document(py, bytes)?;
        let CallContext { client, namespace, caller, deadline, .. } = context;
        let acknowledged = client.acknowledges(&namespace, options.session.as_deref());
        let finish = move |py: Python<'_>, result: Result<()>| inserted_one(py, result, id, acknowledged);
        // A call with a deadline is one command, which carries the deadline.
        let plain = acknowledged
            && options.bypass_document_validation.is_none()
            && options.comment.is_none()
            && options.session.is_none()
            && deadline.is_none();
        if plain && client.settings().coalesce {
            let outgoing = BsonInsert { document, seal: None, caller };
            return Ok(Insert::Merged {
                enqueue: Box::new(move |runtime, completion, submission| {
                    InsertQueue::insert(&client, runtime, &namespace, outgoing, completion, submission)
                        .then_some(client as Arc<dyn Flush>)
                }),
                finish: Box::new(finish),
            });
        }
        let inserting = async move { insert_one(&client, &namespace, document, options).await };
        Ok(Insert::Alone(Call::new(inserting, finish)))
    }

    fn insert_many(py: Python<'_>, context: CallContext<Self>, arguments: InsertManyArguments) -> PyResult<Call<()>> {
        let session = session_of(py, arguments.session.as_ref().map(|session| session.bind(py)), &context.pooled)?;
        let more = vec![
            ("bypassDocumentValidation", Opt::Flag(arguments.bypass_document_validation)),
            ("comment", Opt::Value(arguments.comment)),
        ];
        let options = BulkOptions { ordered: arguments.ordered, more: options::given(py, &context.codec, &more)? };
        let given = documents(arguments.documents.bind(py))?;
        let mut ids = Vec::with_capacity(given.len());
        let mut statements = Statements::with_capacity(given.len());
        for document in given.iter() {
            let id =
                statements.push(StatementKind::Insert, true, |out| encode_insert(&context.codec, &document, out))?;
            context.add_id(&document, &id)?;
            ids.push(id);
        }
        let given = given.unbind();
        let CallContext { client, namespace, .. } = context;
        let acknowledged = client.acknowledges(&namespace, session.as_deref());
        let inserting =
            async move { insert_many(&client, &namespace, &statements.get()?, &options, session.as_deref()).await };
        Ok(Call::new(inserting, move |py, result| inserted_many(py, result, ids, given.bind(py), acknowledged)))
    }

    fn find_one(
        py: Python<'_>,
        context: CallContext<Self>,
        arguments: &FindArguments,
    ) -> PyResult<Call<Option<bson::RawDocumentBuf>>> {
        let query = query(py, &context, arguments)?;
        let CallContext { client, namespace, codec, .. } = context;
        let finding = async move { find_one(&client, &namespace, query).await };
        Ok(Call::new(finding, move |py, result| found(py, result, &codec)))
    }

    fn find(py: Python<'_>, context: CallContext<Self>, arguments: &FindArguments) -> PyResult<Opening> {
        let query = query(py, &context, arguments)?;
        let ahead = query.session.is_none() && query.tailable.is_none();
        let events = event_context(py, context.client.listener())?;
        let CallContext { client, namespace, deadline, .. } = context;
        let timeout = client.settings().time_limits.call;
        let finding = Deadline::scope(deadline, find(client, namespace, query));
        Ok(Box::new(move |runtime| BatchStream::with_events(runtime, ahead, events, finding).with_timeout(timeout)))
    }

    fn explain(
        py: Python<'_>,
        context: CallContext<Self>,
        arguments: &FindArguments,
    ) -> PyResult<Call<bson::RawDocumentBuf>> {
        let mut query = query(py, &context, arguments)?;
        query.limit = query.limit.map(|limit| -limit.abs());
        let how = CommandOptions {
            session: query.session.clone(),
            read_preference: context.namespace.concerns.read_preference.clone(),
            reads: true,
            ..CommandOptions::default()
        };
        let CallContext { client, namespace, codec, .. } = context;
        let command = bson::doc! { "explain": query.command(&namespace.collection) };
        let explaining = async move { run_command(&client, namespace.database.clone(), command, how).await };
        Ok(Call::new(explaining, move |py, answer| codec.decode(py, raised(py, answer)?.as_bytes())))
    }

    fn change(
        py: Python<'_>,
        context: CallContext<Self>,
        which: Change,
        arguments: &ChangeArguments,
    ) -> PyResult<Call<Updated>> {
        let session = context.session(py, &arguments.options)?;
        let filter = document(&context.codec, &options::write_filter(arguments.filter.bind(py))?)?;
        let given = options::given(py, &context.codec, &arguments.options)?;
        let change = arguments.change.bind(py);
        let CallContext { client, namespace, codec, .. } = context;
        let acknowledged = client.acknowledges(&namespace, session.as_deref());
        if which == Change::ReplaceOne {
            let mut out = BsonWriter::default();
            codec.encode(&options::replacement(change)?, &mut out)?;
            let replacement = raw_document(py, out.buf)?;
            let replacing = async move { replace(&client, &namespace, filter, replacement, given, session).await };
            return Ok(Call::new(replacing, move |py, result| updated(py, result, &codec, acknowledged)));
        }
        let operators = options::bson_value(&codec, &options::update(change)?)?;
        let many = which == Change::UpdateMany;
        let updating = async move { update(&client, &namespace, many, filter, operators, given, session).await };
        Ok(Call::new(updating, move |py, result| updated(py, result, &codec, acknowledged)))
    }

    fn delete(
        py: Python<'_>,
        context: CallContext<Self>,
        many: bool,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>> {
        let session = context.session(py, options)?;
        let filter = document(&context.codec, &options::write_filter(filter)?)?;
        let given = options::given(py, &context.codec, options)?;
        let CallContext { client, namespace, .. } = context;
        let acknowledged = client.acknowledges(&namespace, session.as_deref());
        let deleting = async move { delete(&client, &namespace, many, filter, given, session).await };
        Ok(Call::new(deleting, move |py, result| deleted(py, result, acknowledged)))
    }

    fn aggregate(
        py: Python<'_>,
        context: CallContext<Self>,
        pipeline: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Opening> {
        let session = context.session(py, options)?;
        let (pipeline, given) =
            (options::pipeline(&context.codec, pipeline)?, options::given(py, &context.codec, options)?);
        let (ahead, events) = (session.is_none(), event_context(py, context.client.listener())?);
        let CallContext { client, namespace, deadline, .. } = context;
        let timeout = client.settings().time_limits.call;
        let aggregating = Deadline::scope(deadline, aggregate(client, namespace, pipeline, given, session));
        Ok(Box::new(move |runtime| BatchStream::with_events(runtime, ahead, events, aggregating).with_timeout(timeout)))
    }

    fn count_documents(
        py: Python<'_>,
        context: CallContext<Self>,
        filter: &Bound<'_, PyAny>,
        options: &Opts,
    ) -> PyResult<Call<u64>> {
        driver_only::count_documents(py, context, filter, options)
    }

    fn estimated_document_count(py: Python<'_>, context: CallContext<Self>, options: &Opts) -> PyResult<Call<u64>> {
        driver_only::estimated_document_count(py, context, options)
    }

    fn distinct(
        py: Python<'_>,
        context: CallContext<Self>,
        key: String,
        filter: Option<&Bound<'_, PyAny>>,
        options: &Opts,
    ) -> PyResult<Call<Vec<Bson>>> {
        driver_only::distinct(py, context, key, filter, options)
    }

    fn find_one_and(
        py: Python<'_>,
        context: CallContext<Self>,
        arguments: &FindOneAndArguments,
    ) -> PyResult<Call<Option<RawDocumentBuf>>> {
        driver_only::find_one_and_change(py, context, arguments)
    }

    fn bulk_write(py: Python<'_>, context: CallContext<Self>, arguments: &BulkArguments) -> PyResult<Call<BulkResult>> {
        driver_only::bulk_write_collection(py, context, arguments)
    }

    fn save(py: Python<'_>, context: CallContext<Self>, record: Record) -> PyResult<Enqueue> {
        let CallContext { client, namespace, caller, .. } = context;
        let document = raw_document(py, record.document)?;
        let outgoing = BsonInsert { document, seal: Some(record.seal), caller };
        Ok(Box::new(move |runtime, completion, submission| {
            InsertQueue::insert(&client, runtime, &namespace, outgoing, completion, submission)
                .then_some(client as Arc<dyn Flush>)
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
            listener.iter().for_each(|listener| listener.drain());
            Ok(py.None())
        })
    }
}

/// The core's query for the arguments of `find_one` or `find`.
fn query(py: Python<'_>, context: &CallContext<DriverClient>, arguments: &FindArguments) -> PyResult<Find> {
    let codec = &*context.codec;
    if (arguments.min.is_some() || arguments.max.is_some()) && arguments.hint.is_none() {
        let message = "Passing a 'hint' is required when using the min/max query option to ensure the query utilizes the \
                       correct index";
        return Err(invalid_operation(py, message));
    }
    let bound = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.bind(py).clone());
    let given = |value: &Option<Py<PyAny>>| bound(value).map(|value| document(codec, &value)).transpose();
    Ok(Find {
        filter: given(&arguments.filter)?.unwrap_or_default(),
        projection: match bound(&arguments.projection) {
            Some(projection) => options::projection(&projection)?.map(|names| document(codec, &names)).transpose()?,
            None => None,
        },
        sort: given(&arguments.sort)?,
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
        max: given(&arguments.max)?,
        min: given(&arguments.min)?,
        allow_disk_use: arguments.allow_disk_use,
        allow_partial_results: arguments.allow_partial_results.then_some(true),
        no_cursor_timeout: arguments.no_cursor_timeout.then_some(true),
        return_key: arguments.return_key,
        show_record_id: arguments.show_record_id,
        tailable: match arguments.cursor_type {
            0 => None,
            2 => Some(CursorType::Tailable),
            34 => Some(CursorType::TailableAwait),
            _ => return Err(PyValueError::new_err("not a valid value for cursor_type")),
        },
        max_await_time: arguments.max_await_time_ms.map(Duration::from_millis),
        session: session_of(py, bound(&arguments.session).as_ref(), &context.pooled)?,
    })
}

fn index_hint(codec: &Codec, hint: &Bound<'_, PyAny>) -> PyResult<bson::Bson> {
    match hint.extract::<String>() {
        Ok(name) => Ok(bson::Bson::String(name)),
        Err(_) => Ok(bson::Bson::Document(document(codec, hint)?)),
    }
}
