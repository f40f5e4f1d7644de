//! `aggregate`, `count_documents`, `estimated_document_count` and `distinct`.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawArray, RawBsonRef, RawDocumentBuf, doc};
use futures_util::stream::BoxStream;
use mongodb::options::{AggregateOptions, CountOptions, DistinctOptions, EstimatedDocumentCountOptions};

use super::bulk::{as_number, encoded};
use super::command::{self, CommandOptions, GetMore, raw_cursor, run_command};
use super::error::{Attempt, Attempted};
use super::find::{self, reading_options};
use super::reply_check::CursorCheck;
use super::retryable::UnsentRetry;
use super::session::{Session, batches, opened, send};
use super::size::within;
use super::time_limit::max_time;
use super::write::options;
use super::{Connected, DriverClient, Namespace};
use crate::batch_stream::Batch;
use crate::codec::MAX_COMMAND_SIZE;
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::error::{Error, ErrorKind, Result, excerpt};

/// The options of each operation that the driver has.
const AGGREGATE_OPTIONS: [&str; 9] = [
    "allowDiskUse",
    "batchSize",
    "bypassDocumentValidation",
    "collation",
    "comment",
    "hint",
    "let",
    "maxAwaitTimeMS",
    "maxTimeMS",
];
const COUNT_OPTIONS: [&str; 6] = ["collation", "comment", "hint", "limit", "maxTimeMS", "skip"];
const ESTIMATED_COUNT_OPTIONS: [&str; 2] = ["comment", "maxTimeMS"];
const DISTINCT_OPTIONS: [&str; 4] = ["collation", "comment", "hint", "maxTimeMS"];

/// Whether there are options beside those of the driver. The server decides about them.
fn has_others(given: &Document, known: &[&str]) -> bool {
    given.keys().any(|name| !known.contains(&name.as_str()))
}

/// The options of a command that only reads. Adds the read concern to the command, unless the caller gave one or a
/// transaction has its own.
fn reading(
    command: &mut Document,
    connected: &Connected,
    namespace: &Namespace,
    session: Option<Arc<Session>>,
) -> Result<CommandOptions> {
    let concern = namespace.concerns.read_concern.as_ref().or(connected.client.read_concern());
    if let Some(concern) = concern
        && !session.as_deref().is_some_and(Session::in_transaction)
        && !command.contains_key("readConcern")
    {
        command.insert("readConcern", bson::serialize_to_bson(concern).map_err(invalid)?);
    }
    let read_preference =
        namespace.concerns.read_preference.clone().or_else(|| connected.client.selection_criteria().cloned());
    Ok(CommandOptions { read_preference, ..CommandOptions::reading(session) })
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Configuration, format!("the options are invalid: {}", excerpt(&error.to_string(), 200)))
}

/// Runs a command that only reads, with options that the driver does not have.
async fn read(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    mut command: Document,
    session: Option<Arc<Session>>,
) -> Result<RawDocumentBuf> {
    let namespace = attempt.namespace;
    let how = reading(&mut command, client.connected(attempt).await?, namespace, session)?;
    run_command(client, namespace.database.clone(), command, how).await
}

/// A number in the server's reply.
fn number(value: Option<RawBsonRef<'_>>) -> u64 {
    let number = value.and_then(|value| as_number(&Bson::try_from(value).ok()?));
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// Returns `maxTimeMS`, which not all of the driver's option types deserialize.
fn given_max_time(given: &Document) -> Option<Duration> {
    let millis = match given.get("maxTimeMS")? {
        Bson::Int32(millis) => u64::try_from(*millis).ok(),
        Bson::Int64(millis) => u64::try_from(*millis).ok(),
        _ => None,
    };
    millis.map(Duration::from_millis)
}

const DOING: &str = "aggregate in";

/// Returns the documents of a pipeline that is already encoded and only reads, in batches. The command is retried once
/// after a network error (retryable reads), but not `getMore`.
///
/// # Errors
/// Those of any command.
pub async fn aggregate_raw(
    client: &Arc<DriverClient>,
    namespace: &Arc<Namespace>,
    pipeline: &RawArray,
    batch_size: Option<u32>,
    comment: Option<&Bson>,
    time: Option<Duration>,
) -> Result<BoxStream<'static, Result<Batch>>> {
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let connected = client.connected(&attempt).await?;
    let mut out = BsonWriter::with_capacity(pipeline.as_bytes().len() + namespace.collection.len() + 160);
    let root = out.begin_root();
    out.string(Key::Name("aggregate"), &namespace.collection);
    out.value(Key::Name("pipeline"), RawBsonRef::Array(pipeline), pipeline.as_bytes())?;
    let cursor = out.begin(Key::Name("cursor"), false);
    if let Some(size) = batch_size {
        out.int64(Key::Name("batchSize"), i64::from(size));
    }
    out.end(cursor);
    reading_options(&mut out, connected, namespace, comment, time)?;
    out.end(root);
    let command = within(encoded(out)?, MAX_COMMAND_SIZE, &attempt)?;
    let more = GetMore { batch_size, comment: comment.cloned(), ..GetMore::default() };
    let kind = (DOING, CursorCheck::of_collection as fn(&Namespace) -> CursorCheck);
    raw_cursor(client, namespace, &command, &find::reading(connected, namespace), &more, kind).await
}

/// Returns the documents of a pipeline in batches.
///
/// # Errors
/// Those of any command.
pub async fn aggregate(
    client: Arc<DriverClient>,
    namespace: Arc<Namespace>,
    pipeline: Vec<Document>,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<BoxStream<'static, Result<Batch>>> {
    let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
    let writes = pipeline.iter().any(|stage| stage.contains_key("$out") || stage.contains_key("$merge"));
    let is_unacknowledged = writes && !client.acknowledges(&namespace, session.as_deref());
    if is_unacknowledged || has_others(&given, &AGGREGATE_OPTIONS) {
        return command_of(&client, &attempt, pipeline, writes, given, session).await;
    }
    let limit = given_max_time(&given);
    let mut given = options::<AggregateOptions>(given)?;
    given.max_time = limit.or(given.max_time);
    let collection = client.collection_in(&namespace, &attempt, session.as_deref()).await?;
    let action = || {
        let mut given = given.clone();
        given.max_time = max_time(given.max_time);
        collection.aggregate(pipeline.clone()).with_options(given)
    };
    let retry = match writes {
        true => UnsentRetry::new(&client),
        false => UnsentRetry::of_read(&client, session.as_deref()),
    };
    let source = opened!(session, &client, &attempt, retry, action());
    let cursor = CursorCheck::of_collection(&namespace);
    Ok(batches(Arc::clone(&client), Arc::clone(&namespace), DOING, source, cursor))
}

/// An `aggregate` command that the driver cannot send: with options that it does not have, or unacknowledged.
async fn command_of(
    client: &Arc<DriverClient>,
    attempt: &Attempt<'_>,
    pipeline: Vec<Document>,
    writes: bool,
    mut given: Document,
    session: Option<Arc<Session>>,
) -> Result<BoxStream<'static, Result<Batch>>> {
    let namespace = attempt.namespace;
    let batch_size = given.remove("batchSize").and_then(|size| as_number(&size)).and_then(|n| u32::try_from(n).ok());
    let max_await_time = given.remove("maxAwaitTimeMS").and_then(|time| as_number(&time));
    let cursor = match batch_size {
        Some(size) if !writes => doc! { "batchSize": i64::from(size) },
        _ => Document::new(),
    };
    let comment = given.get("comment").cloned();
    let mut command = doc! { "aggregate": &namespace.collection, "pipeline": pipeline, "cursor": cursor };
    command.extend(given);
    let how = reading(&mut command, client.connected(attempt).await?, namespace, session)?;
    let how = CommandOptions { reads: !writes, writes, write_concern: namespace.concerns.write_concern.clone(), ..how };
    let more = GetMore {
        batch_size,
        max_await_time: max_await_time.and_then(|time| u64::try_from(time).ok()).map(Duration::from_millis),
        comment,
    };
    command::cursor(Arc::clone(client), namespace.database.clone(), command, how, more).await
}

/// Returns the number of matching documents.
///
/// # Errors
/// Those of any command.
pub async fn count(
    client: &DriverClient,
    namespace: &Namespace,
    filter: Document,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<u64> {
    let attempt = Attempt { doing: "count in", namespace, settings: client.settings() };
    if has_others(&given, &COUNT_OPTIONS) {
        let mut given = given;
        let mut pipeline = vec![doc! { "$match": filter }];
        for (option, stage) in [("skip", "$skip"), ("limit", "$limit")] {
            pipeline.extend(given.remove(option).map(|value| doc! { stage: value }));
        }
        pipeline.push(doc! { "$group": { "_id": 1, "n": { "$sum": 1 } } });
        let mut command = doc! { "aggregate": &namespace.collection, "pipeline": pipeline, "cursor": {} };
        command.extend(given);
        let reply = match read(client, &attempt, command, session).await {
            // NamespaceNotFound: the collection has no documents.
            Err(error) if error.code == Some(26) => return Ok(0),
            reply => reply?,
        };
        let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let group = batch.ok().and_then(|batch| batch.into_iter().next()?.ok()?.as_document());
        return Ok(number(group.and_then(|group| group.get("n").ok()?)));
    }
    let limit = given_max_time(&given);
    let mut given = options::<CountOptions>(given)?;
    given.max_time = limit.or(given.max_time);
    let collection = client.collection_in(namespace, &attempt, session.as_deref()).await?;
    let action = || {
        let mut given = given.clone();
        given.max_time = max_time(given.max_time);
        collection.count_documents(filter.clone()).with_options(given)
    };
    let retry = UnsentRetry::of_read(client, session.as_deref());
    send!(session, client, &attempt, retry, action()).attempted(&attempt)
}

/// Returns the number of documents according to the collection's metadata.
///
/// # Errors
/// Those of any command.
pub async fn estimated_count(client: &DriverClient, namespace: &Namespace, given: Document) -> Result<u64> {
    let attempt = Attempt { doing: "count in", namespace, settings: client.settings() };
    if has_others(&given, &ESTIMATED_COUNT_OPTIONS) {
        let mut command = doc! { "count": &namespace.collection };
        command.extend(given);
        let reply = read(client, &attempt, command, None).await?;
        return Ok(number(reply.get("n").ok().flatten()));
    }
    let limit = given_max_time(&given);
    let mut given = options::<EstimatedDocumentCountOptions>(given)?;
    given.max_time = limit.or(given.max_time);
    let collection = client.collection(namespace, &attempt).await?;
    let mut retry = UnsentRetry::of_read(client, None);
    loop {
        given.max_time = max_time(limit.or(given.max_time));
        match client.limited(false, collection.estimated_document_count().with_options(given.clone())).await {
            Err(error) if retry.should_resend(&error).await => {}
            counted => return counted.attempted(&attempt),
        }
    }
}

/// Returns the distinct values of a field in the matching documents.
///
/// # Errors
/// Those of any command.
pub async fn distinct(
    client: &DriverClient,
    namespace: &Namespace,
    field: &str,
    filter: Document,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<Vec<Bson>> {
    let attempt = Attempt { doing: "find in", namespace, settings: client.settings() };
    if has_others(&given, &DISTINCT_OPTIONS) {
        let mut command = doc! { "distinct": &namespace.collection, "key": field, "query": filter };
        command.extend(given);
        let reply = read(client, &attempt, command, session).await?;
        let values = reply.get_array("values").map_err(invalid)?;
        return values
            .into_iter()
            .map(|value| Bson::try_from(value?))
            .collect::<bson::error::Result<_>>()
            .map_err(invalid);
    }
    let limit = given_max_time(&given);
    let mut given = options::<DistinctOptions>(given)?;
    given.max_time = limit.or(given.max_time);
    let collection = client.collection_in(namespace, &attempt, session.as_deref()).await?;
    let action = || {
        let mut given = given.clone();
        given.max_time = max_time(given.max_time);
        collection.distinct(field, filter.clone()).with_options(given)
    };
    let retry = UnsentRetry::of_read(client, session.as_deref());
    send!(session, client, &attempt, retry, action()).attempted(&attempt)
}
