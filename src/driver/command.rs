//! Arbitrary commands, including those that return a cursor.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mongodb::options::{SelectionCriteria, WriteConcern};

use super::bulk::raw;
use super::error::{Attempt, Attempted};
use super::reply_check::CursorCheck;
use super::retryable::{PRIMARY, UnsentRetry, is_retryable_read};
use super::session::{Session, batches, opened, send};
use super::size::within;
use super::time_limit::{Deadline, timed, without_wtimeout};
use super::{DriverClient, Namespace, unacknowledged};
use crate::batch_stream::Batch;
use crate::codec::MAX_COMMAND_SIZE;
use crate::concern::{Concerns, is_unacknowledged, write_concern_document};
use crate::error::{Error, ErrorKind, Result};

/// The options of a command.
#[derive(Clone, Default)]
pub struct CommandOptions {
    /// The session.
    pub session: Option<Arc<Session>>,
    /// The read preference. `None` means the primary.
    pub read_preference: Option<SelectionCriteria>,
    /// Whether the command only reads, so that it is retried once after a network error.
    pub reads: bool,
    /// Whether the command writes, so that it includes the write concern of the collection or client.
    pub writes: bool,
    /// The collection's own write concern.
    pub write_concern: Option<WriteConcern>,
}

impl CommandOptions {
    /// Options of a command that only reads.
    pub fn reading(session: Option<Arc<Session>>) -> Self {
        Self { session, reads: true, ..Self::default() }
    }

    /// Options of a command that writes, with the collection's write concern.
    pub fn writing(session: Option<Arc<Session>>, namespace: &Namespace) -> Self {
        let write_concern = namespace.concerns.write_concern.clone();
        Self { session, writes: true, write_concern, ..Self::default() }
    }

    /// Options of a command that is sent once, without changes.
    pub fn once(session: Option<Arc<Session>>) -> Self {
        Self { session, ..Self::default() }
    }

    /// Adds the write concern to the command, unless the caller gave one. Returns whether it is unacknowledged.
    ///
    /// # Errors
    /// `Configuration` if the write concern is invalid, or if the write is unacknowledged and has a session or a
    /// collation.
    fn add_concern(&self, connected: &super::Connected, command: &mut Document) -> Result<bool> {
        if !self.writes || self.session.as_deref().is_some_and(Session::in_transaction) {
            return Ok(false);
        }
        let given = match command.get_document("writeConcern") {
            Ok(given) => Some(Concerns::new(None, Some(given), None)?),
            Err(_) => None,
        };
        let concern = given.as_ref().and_then(|given| given.write_concern.as_ref()).or(self.write_concern.as_ref());
        let Some(concern) = concern.or(connected.write_concern.as_ref()) else { return Ok(false) };
        if given.is_none()
            && let Some(concern) = write_concern_document(concern).and_then(without_wtimeout)
        {
            command.insert("writeConcern", concern);
        }
        if !is_unacknowledged(concern) {
            return Ok(false);
        }
        unacknowledged::check_session(self.session.as_deref(), Some(concern))?;
        match command.contains_key("collation") {
            true => Err(unacknowledged::unsupported("Collation")),
            false => Ok(true),
        }
    }

    fn is_retried(&self, connected: &super::Connected) -> bool {
        self.reads
            && connected.retry_reads
            && !self.session.as_deref().is_some_and(Session::in_transaction)
            && !Deadline::current().is_some_and(Deadline::is_over)
    }
}

const DOING: &str = "run the command";

fn namespace(database: &str, command: &Document) -> Namespace {
    Namespace::new(database, command.keys().next().cloned().unwrap_or_default())
}

/// Returns all documents of a command that returns a cursor. Use it for small results only, such as
/// the indexes of a collection.
///
/// # Errors
/// As [`run_command`].
pub async fn list(
    client: &Arc<DriverClient>,
    database: String,
    command: Document,
    how: CommandOptions,
) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    let mut batches = cursor(Arc::clone(client), database, command, how, GetMore::default()).await?;
    while let Some(mut batch) = batches.try_next().await? {
        while let Some(document) = batch.take_next() {
            documents.push(
                Document::try_from(document?).map_err(|error| {
                    Error::new(ErrorKind::Protocol, format!("the reply is not a document: {error}"))
                })?,
            );
        }
    }
    Ok(documents)
}

/// The options of `getMore`.
#[derive(Debug, Clone, Default)]
pub struct GetMore {
    /// The maximum number of documents in a batch.
    pub batch_size: Option<u32>,
    /// How long the server waits for new documents.
    pub max_await_time: Option<Duration>,
    /// The comment in the server's log and profiler.
    pub comment: Option<Bson>,
}

/// Returns the documents of a command that returns a cursor, in batches.
///
/// # Errors
/// As [`run_command`].
pub async fn cursor(
    client: Arc<DriverClient>,
    database: String,
    mut command: Document,
    how: CommandOptions,
    more: GetMore,
) -> Result<BoxStream<'static, Result<Batch>>> {
    let namespace = Arc::new(namespace(&database, &command));
    let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
    let connected = client.connected(&attempt).await?;
    let unacknowledged = how.add_concern(connected, &mut command)?;
    let command = within(raw(&command)?, MAX_COMMAND_SIZE, &attempt)?;
    if unacknowledged {
        let database = connected.client.database(&namespace.database);
        unacknowledged::send(&client, &attempt, &database, command).await?;
        return Ok(futures_util::stream::empty().boxed());
    }
    raw_cursor(&client, &namespace, &command, &how, &more, (DOING, CursorCheck::of_database)).await
}

/// What a cursor is for, in messages, and how its batches are checked.
pub(super) type CursorKind = (&'static str, fn(&Namespace) -> CursorCheck);

/// Returns the documents of a command that is already encoded, in batches.
///
/// # Errors
/// As [`run_command`].
pub(super) async fn raw_cursor(
    client: &Arc<DriverClient>,
    namespace: &Arc<Namespace>,
    command: &RawDocumentBuf,
    how: &CommandOptions,
    more: &GetMore,
    kind: CursorKind,
) -> Result<BoxStream<'static, Result<Batch>>> {
    match open(client, namespace, command, how, more, kind).await {
        Err((_, true)) => open(client, namespace, command, how, more, kind).await.map_err(|(error, _)| error),
        opened => opened.map_err(|(error, _)| error),
    }
}

/// Opens a cursor. With an error, also returns whether to retry.
async fn open(
    client: &Arc<DriverClient>,
    namespace: &Arc<Namespace>,
    command: &RawDocumentBuf,
    how: &CommandOptions,
    more: &GetMore,
    (doing, check): CursorKind,
) -> std::result::Result<BoxStream<'static, Result<Batch>>, (Error, bool)> {
    let attempt = Attempt { doing, namespace, settings: client.settings() };
    let connected = client.connected(&attempt).await.map_err(|error| (error, false))?;
    let database = connected.client.database(&namespace.database);
    let action = || {
        let mut action = database.run_raw_cursor_command(timed(command.clone()));
        if let Some(criteria) = &how.read_preference {
            action = action.selection_criteria(criteria.clone());
        }
        if let Some(batch_size) = more.batch_size {
            action = action.batch_size(batch_size);
        }
        if let Some(time) = more.max_await_time {
            action = action.max_time(time);
        }
        if let Some(comment) = &more.comment {
            action = action.comment(comment.clone());
        }
        action
    };
    let opening = async {
        let source = opened!(how.session, client, &attempt, UnsentRetry::new(client), action());
        Ok(batches(Arc::clone(client), Arc::clone(namespace), doing, source, check(namespace)))
    };
    opening.await.map_err(|error: Error| {
        let again = how.is_retried(connected) && is_retryable_read(&error);
        (error, again)
    })
}

/// Runs a command and returns the server's reply.
///
/// # Errors
/// `Operation` if the server rejected it, and those of any command.
pub async fn run_command(
    client: &DriverClient,
    database: String,
    mut command: Document,
    how: CommandOptions,
) -> Result<RawDocumentBuf> {
    let namespace = namespace(&database, &command);
    let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
    let connected = client.connected(&attempt).await?;
    let database = connected.client.database(&namespace.database);
    let unacknowledged = how.add_concern(connected, &mut command)?;
    let command = within(raw(&command)?, MAX_COMMAND_SIZE, &attempt)?;
    if unacknowledged {
        unacknowledged::send(client, &attempt, &database, command).await?;
        // PyMongo's reply to it.
        return raw(&doc! { "ok": 1 });
    }
    let mut tried = false;
    let reply = loop {
        let action = || {
            let action = database.run_raw_command(timed(command.clone()));
            match &how.read_preference {
                Some(criteria) => action.selection_criteria(criteria.clone()),
                None if how.writes => action.selection_criteria(PRIMARY),
                None => action,
            }
        };
        match send!(how.session, client, &attempt, UnsentRetry::new(client), action()).attempted(&attempt) {
            Err(error) if !tried && how.is_retried(connected) && is_retryable_read(&error) => tried = true,
            reply => break reply?,
        }
    };
    let reply = RawDocumentBuf::try_from(&reply)
        .map_err(|error| Error::new(ErrorKind::Protocol, format!("the reply is not a document: {error}")))?;
    if how.writes { attempt.check_write_concern(reply) } else { Ok(reply) }
}
