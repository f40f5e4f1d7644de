//! `find_one` and `find`.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf};
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use mongodb::options::{Collation, CursorType, FindOptions, Hint, SelectionCriteria};
use mongodb::raw_batch_cursor::RawBatch;

use super::bulk::{encoded, unreadable};
use super::command::{CommandOptions, GetMore, raw_cursor};
use super::error::{Attempt, is_network_error};
use super::reply_check::CursorCheck;
use super::retryable::{CheckedOutSession, UnsentRetry, is_retryable_read};
use super::session::{Session, batches, opened};
use super::size::within;
use super::time_limit::{self, max_time};
use super::{Connected, DriverClient, Namespace};
use crate::batch_stream::Batch;
use crate::codec::MAX_COMMAND_SIZE;
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::error::{Error, ErrorKind, Result};

/// The arguments of a query.
#[derive(Clone, Default)]
pub struct Find {
    /// The filter.
    pub filter: Document,
    /// The projection.
    pub projection: Option<Document>,
    /// The sort order.
    pub sort: Option<Document>,
    /// The number of documents to skip.
    pub skip: Option<u64>,
    /// The maximum number of documents. If it is negative, they are returned in a single batch.
    pub limit: Option<i64>,
    /// The maximum number of documents in one batch.
    pub batch_size: Option<u32>,
    /// The time limit on the server.
    pub max_time: Option<Duration>,
    /// The comment in the server's log and profiler.
    pub comment: Option<Bson>,
    /// The index to use: its name or its keys.
    pub hint: Option<Bson>,
    /// The collation.
    pub collation: Option<Document>,
    /// Variables for the query's expressions.
    pub let_vars: Option<Document>,
    /// The exclusive upper bound for the index in `hint`.
    pub max: Option<Document>,
    /// The inclusive lower bound for the index in `hint`.
    pub min: Option<Document>,
    /// Whether the server may use temporary files on disk.
    pub allow_disk_use: Option<bool>,
    /// Whether to return partial results if some shards are unavailable.
    pub allow_partial_results: Option<bool>,
    /// Whether the server keeps an idle cursor open.
    pub no_cursor_timeout: Option<bool>,
    /// Whether to return only the index keys.
    pub return_key: Option<bool>,
    /// Whether to add `$recordId`.
    pub show_record_id: Option<bool>,
    /// The kind of tailable cursor, for a capped collection.
    pub tailable: Option<CursorType>,
    /// How long the server waits for new documents of a tailable cursor.
    pub max_await_time: Option<Duration>,
    /// The session.
    pub session: Option<Arc<Session>>,
}

impl Find {
    /// Builds the `find` command, with its fields in PyMongo's order.
    pub fn command(&self, collection: &str) -> Document {
        let mut command = bson::doc! { "find": collection, "filter": self.filter.clone() };
        let mut add = |name: &str, value: Option<Bson>| {
            if let Some(value) = value {
                command.insert(name, value);
            }
        };
        let number = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok()).map(Bson::Int64);
        add("projection", self.projection.clone().map(Bson::Document));
        add("skip", number(self.skip));
        add("limit", self.limit.map(|limit| Bson::Int64(limit.abs())));
        add("singleBatch", self.limit.filter(|limit| *limit < 0).map(|_| Bson::Boolean(true)));
        add("batchSize", self.batch_size.map(|size| Bson::Int64(i64::from(size))));
        add("sort", self.sort.clone().map(Bson::Document));
        add("hint", self.hint.clone());
        add("comment", self.comment.clone());
        add("max", self.max.clone().map(Bson::Document));
        add("min", self.min.clone().map(Bson::Document));
        add("returnKey", self.return_key.map(Bson::Boolean));
        add("showRecordId", self.show_record_id.map(Bson::Boolean));
        add("collation", self.collation.clone().map(Bson::Document));
        add("let", self.let_vars.clone().map(Bson::Document));
        add("allowDiskUse", self.allow_disk_use.map(Bson::Boolean));
        add("maxTimeMS", number(self.max_time.and_then(|time| u64::try_from(time.as_millis()).ok())));
        command
    }
}

const DOING: &str = "find in";

/// Returns the first matching document. The driver retries the command once after a network error
/// (retryable reads).
///
/// # Errors
/// Those of any command.
pub async fn find_one(client: &DriverClient, namespace: &Namespace, query: Find) -> Result<Option<RawDocumentBuf>> {
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let collection = client.collection_in(namespace, &attempt, query.session.as_deref()).await?;
    let mut options = FindOptions::default();
    options.collation = collation(query.collation)?;
    options.hint = hint(query.hint);
    options.projection = query.projection;
    options.sort = query.sort;
    options.skip = query.skip;
    options.max_time = query.max_time;
    options.comment = query.comment;
    options.let_vars = query.let_vars;
    options.max = query.max;
    options.min = query.min;
    options.allow_partial_results = query.allow_partial_results;
    options.return_key = query.return_key;
    options.show_record_id = query.show_record_id;
    // A single batch. The reply names the collection, which is checked.
    options.limit = Some(-1);
    let action = || collection.find(query.filter.clone()).with_options(timed(&options));
    let retry = UnsentRetry::of_read(client, query.session.as_deref());
    let mut source = opened!(query.session, client, &attempt, retry, action());
    let batch = source.next(client, &attempt, &mut CursorCheck::of_collection(namespace)).await.transpose()?;
    batch.and_then(|mut batch| batch.take_next().map(|found| found.map(RawDocument::to_owned))).transpose()
}

/// Returns the matching documents in batches. The driver retries the `find` command once after a
/// network error (retryable reads), but not `getMore`.
///
/// # Errors
/// Those of any command.
pub async fn find(
    client: Arc<DriverClient>,
    namespace: Arc<Namespace>,
    query: Find,
) -> Result<BoxStream<'static, Result<Batch>>> {
    let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
    let collection = client.collection_in(&namespace, &attempt, query.session.as_deref()).await?;
    let mut options = FindOptions::default();
    options.collation = collation(query.collation)?;
    options.hint = hint(query.hint);
    options.projection = query.projection;
    options.sort = query.sort;
    options.skip = query.skip;
    options.limit = query.limit;
    options.batch_size = query.batch_size;
    options.max_time = query.max_time;
    options.comment = query.comment;
    options.let_vars = query.let_vars;
    options.max = query.max;
    options.min = query.min;
    options.allow_disk_use = query.allow_disk_use;
    options.allow_partial_results = query.allow_partial_results;
    options.no_cursor_timeout = query.no_cursor_timeout;
    options.return_key = query.return_key;
    options.show_record_id = query.show_record_id;
    options.cursor_type = query.tailable;
    options.max_await_time = query.max_await_time;
    let action = || collection.find(query.filter.clone()).with_options(timed(&options));
    let retry = UnsentRetry::of_read(&client, query.session.as_deref());
    let source = opened!(query.session, &client, &attempt, retry, action());
    let cursor = CursorCheck::of_collection(&namespace);
    Ok(batches(Arc::clone(&client), Arc::clone(&namespace), DOING, source, cursor))
}

/// The options of a query that is sent now.
fn timed(options: &FindOptions) -> FindOptions {
    let mut options = options.clone();
    options.max_time = max_time(options.max_time);
    options
}

fn hint(hint: Option<Bson>) -> Option<Hint> {
    match hint {
        Some(Bson::String(name)) => Some(Hint::Name(name)),
        Some(Bson::Document(keys)) => Some(Hint::Keys(keys)),
        _ => None,
    }
}

/// Checks that the driver can send a collation.
///
/// # Errors
/// `Configuration` if it has no `locale`, or a value that no collation has.
pub fn check_collation(given: Document) -> Result<()> {
    collation(Some(given)).map(drop)
}

fn collation(collation: Option<Document>) -> Result<Option<Collation>> {
    collation
        .map(bson::deserialize_from_document)
        .transpose()
        .map_err(|error| Error::new(ErrorKind::Configuration, format!("the collation cannot be used: {error}")))
}

/// A query whose parts are already encoded.
#[derive(Clone, Copy, Default)]
pub struct RawFind<'q> {
    /// The filter.
    pub filter: Option<&'q RawDocument>,
    /// The projection.
    pub projection: Option<&'q RawDocument>,
    /// The sort order.
    pub sort: Option<&'q RawDocument>,
    /// The number of documents to skip.
    pub skip: Option<u32>,
    /// The maximum number of documents.
    pub limit: Option<u32>,
    /// The maximum number of documents in one batch.
    pub batch_size: Option<u32>,
    /// The time limit on the server.
    pub max_time: Option<Duration>,
    /// The comment in the server's log and profiler.
    pub comment: Option<&'q Bson>,
}

impl RawFind<'_> {
    /// Builds the `find` command, with its fields in PyMongo's order.
    fn command(&self, connected: &Connected, attempt: &Attempt<'_>, single: bool) -> Result<RawDocumentBuf> {
        let namespace = attempt.namespace;
        let parts = [("filter", self.filter), ("projection", self.projection), ("sort", self.sort)];
        let size: usize = parts.iter().filter_map(|(_, part)| part.map(|part| part.as_bytes().len())).sum();
        let mut out = BsonWriter::with_capacity(size + namespace.collection.len() + 160);
        let root = out.begin_root();
        out.string(Key::Name("find"), &namespace.collection);
        if self.filter.is_none() {
            let filter = out.begin(Key::Name("filter"), false);
            out.end(filter);
        }
        for (name, part) in parts {
            if let Some(part) = part {
                out.value(Key::Name(name), RawBsonRef::Document(part), part.as_bytes())?;
            }
        }
        for (name, number) in [("skip", self.skip), ("limit", self.limit), ("batchSize", self.batch_size)] {
            if let Some(number) = number {
                out.int64(Key::Name(name), i64::from(number));
            }
        }
        if single {
            out.boolean(Key::Name("singleBatch"), true);
        }
        reading_options(&mut out, connected, namespace, self.comment, self.max_time)?;
        out.end(root);
        within(encoded(out)?, MAX_COMMAND_SIZE, attempt)
    }
}

/// Writes the options of a command that only reads: its comment, its time limit and the read concern.
pub(super) fn reading_options(
    out: &mut BsonWriter,
    connected: &Connected,
    namespace: &Namespace,
    comment: Option<&Bson>,
    max_time: Option<Duration>,
) -> Result<()> {
    if let Some(limit) = max_time {
        out.int64(Key::Name("maxTimeMS"), i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    }
    let concern = namespace.concerns.read_concern.as_ref().or(connected.client.read_concern());
    if comment.is_some() || concern.is_some() {
        let mut rest = Document::new();
        rest.extend(comment.map(|comment| ("comment".to_owned(), comment.clone())));
        if let Some(concern) = concern {
            rest.insert("readConcern", bson::serialize_to_bson(concern).map_err(unreadable)?);
        }
        out.elements(&RawDocumentBuf::try_from(&rest).map_err(unreadable)?)?;
    }
    Ok(())
}

/// The options with which [`raw_cursor`] sends a command that only reads.
pub(super) fn reading(connected: &Connected, namespace: &Namespace) -> CommandOptions {
    CommandOptions { read_preference: read_preference(connected, namespace).cloned(), ..CommandOptions::reading(None) }
}

fn read_preference<'a>(connected: &'a Connected, namespace: &'a Namespace) -> Option<&'a SelectionCriteria> {
    namespace.concerns.read_preference.as_ref().or(connected.client.selection_criteria())
}

/// Returns the first matching document as the only one of a batch. The command is retried once after a network error
/// (retryable reads).
///
/// # Errors
/// Those of any command.
pub async fn find_one_raw(client: &DriverClient, namespace: &Namespace, query: &RawFind<'_>) -> Result<Batch> {
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let connected = client.connected(&attempt).await?;
    let command = RawFind { limit: Some(1), ..*query }.command(connected, &attempt, true)?;
    let mut retry = UnsentRetry::new(client);
    let mut tried = !connected.retry_reads;
    loop {
        let sending = only_batch(client, connected, &attempt, &command);
        match client.until_given_up(sending).await? {
            Ok(Some(batch)) => return CursorCheck::check_only(client, &attempt, namespace, batch).await,
            // The driver returns the server's reply even if it has no documents.
            Ok(None) => return Err(client.mismatch(&attempt, "it has no batch").await),
            Err(error) if retry.should_resend(&error).await => {}
            Err(error) => {
                client.check_sync_after(&error).await;
                let error = attempt.failed(&error);
                if std::mem::replace(&mut tried, true) || !is_retryable_read(&error) {
                    return Err(error);
                }
            }
        }
    }
}

/// Sends a command and returns the first batch of its cursor, in one of the client's own sessions if the server
/// supports them.
async fn only_batch(
    client: &DriverClient,
    connected: &Connected,
    attempt: &Attempt<'_>,
    command: &RawDocumentBuf,
) -> Result<mongodb::error::Result<Option<RawBatch>>> {
    let database = connected.client.database(&attempt.namespace.database);
    let mut action = database.run_raw_cursor_command(time_limit::timed(command.clone()));
    if let Some(criteria) = read_preference(connected, attempt.namespace) {
        action = action.selection_criteria(criteria.clone());
    }
    let mut checked_out = client.check_out_session(connected, attempt).await?;
    let batch = match checked_out.as_mut().and_then(CheckedOutSession::session) {
        Some(session) => {
            let reading = async {
                let mut cursor = action.session(&mut *session).batch().await?;
                cursor.stream(session).try_next().await
            };
            client.limited(false, reading).await
        }
        None => client.limited(false, async { action.batch().await?.try_next().await }).await,
    };
    if let Some(checked_out) = &mut checked_out {
        checked_out.use_last = batch.as_ref().is_err_and(is_network_error);
    }
    Ok(batch)
}

/// Returns the matching documents in batches. The command is retried once after a network error (retryable reads), but
/// not `getMore`.
///
/// # Errors
/// Those of any command.
pub async fn find_raw(
    client: &Arc<DriverClient>,
    namespace: &Arc<Namespace>,
    query: &RawFind<'_>,
) -> Result<BoxStream<'static, Result<Batch>>> {
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let connected = client.connected(&attempt).await?;
    let command = query.command(connected, &attempt, false)?;
    let more = GetMore { batch_size: query.batch_size, comment: query.comment.cloned(), ..GetMore::default() };
    let kind = (DOING, CursorCheck::of_collection as fn(&Namespace) -> CursorCheck);
    raw_cursor(client, namespace, &command, &reading(connected, namespace), &more, kind).await
}
