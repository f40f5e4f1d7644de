//! Change streams. A change stream is an `aggregate` whose first stage is `$changeStream`. After an error that is
//! resumable, the stream is opened again at the last change, by the rules of PyMongo.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::StreamExt as _;
use mongodb::options::AggregateOptions;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;

use super::error::Attempt;
use super::events::EventContext;
use super::reply_check::CursorCheck;
use super::retryable::UnsentRetry;
use super::session::{Session, batches, opened};
use super::time_limit::Deadline;
use super::{DriverClient, Namespace};
use crate::batch_stream::{Batch, Batches, Demand};
use crate::error::{Error, ErrorKind, Result};

/// The scope of a change stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All databases.
    Client,
    /// All collections of a database.
    Database,
    /// A collection.
    Collection,
}

/// The result of one poll of a change stream.
pub struct ChangePoll {
    /// The change, if there was one.
    pub change: Result<Option<RawDocumentBuf>>,
    /// The resume token.
    pub token: Option<Bson>,
    /// Whether the stream is still open.
    pub alive: bool,
}

/// An open change stream. It runs in a separate task, so that a cancelled caller does not lose a
/// change.
pub struct Watching {
    polls: Arc<Mutex<mpsc::Receiver<ChangePoll>>>,
    demand: Arc<Demand>,
    task: AbortHandle,
}

/// The position at which a change stream starts or resumes.
#[derive(Debug, Clone, Default)]
pub struct Position {
    /// The resume token.
    pub token: Option<Bson>,
    /// Whether the token is sent as `startAfter`, which is allowed after the collection was dropped.
    pub uses_start_after: bool,
    /// Whether the token was given as `resumeAfter`, or is that of a change.
    pub uses_resume_after: bool,
    /// The operation time, which applies without a token.
    pub operation_time: Option<Bson>,
}

/// The arguments of `watch`.
pub struct Watch {
    /// The scope of a change stream.
    pub level: Level,
    /// The collection or the database.
    pub namespace: Arc<Namespace>,
    /// The pipeline that processes each change.
    pub pipeline: Vec<Document>,
    /// The options of the `$changeStream` stage, except the position.
    pub stage: Document,
    /// The position at which the stream starts.
    pub start: Position,
    /// The options of the `aggregate` command and its `getMore`.
    pub options: AggregateOptions,
    /// The session.
    pub session: Option<Arc<Session>>,
}

const DOING: &str = "watch";

impl Watching {
    /// Opens a change stream, until the deadline.
    pub fn start(
        runtime: &Handle,
        client: Arc<DriverClient>,
        watch: Watch,
        events: Option<EventContext>,
        deadline: Option<Deadline>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let demand: Arc<Demand> = Arc::default();
        let requests = Arc::clone(&demand);
        let watching = async move {
            let events = events.as_ref();
            let mut changes = Changes::new(client, watch);
            let opening = Deadline::scope(deadline, changes.open());
            let opened = EventContext::scope(events, opening).await;
            let alive = opened.is_ok();
            let token = changes.position.token.clone();
            if sender.send(ChangePoll { change: opened.map(|()| None), token, alive }).await.is_err() || !alive {
                return;
            }
            while let Ok(slot) = sender.reserve().await {
                requests.requested().await;
                let poll = EventContext::scope(events, changes.poll()).await;
                let alive = poll.alive;
                slot.send(poll);
                if !alive {
                    return;
                }
            }
        };
        let task = runtime.spawn(watching);
        Self { polls: Arc::new(Mutex::new(receiver)), demand, task: task.abort_handle() }
    }

    /// Waits until the change stream is open.
    pub fn opened(&self) -> impl Future<Output = ChangePoll> + Send + 'static {
        let polls = Arc::clone(&self.polls);
        async move { polls.lock().await.recv().await.unwrap_or_else(ended) }
    }

    /// Waits for the next change. With `once`, polls the server once.
    pub fn next(&self, once: bool) -> impl Future<Output = ChangePoll> + Send + 'static {
        let (polls, demand) = (Arc::clone(&self.polls), Arc::clone(&self.demand));
        async move {
            let mut polls = polls.lock().await;
            loop {
                let next = match polls.try_recv() {
                    Ok(next) => Some(next),
                    Err(_) => {
                        demand.request();
                        polls.recv().await
                    }
                };
                demand.fulfilled();
                let next = next.unwrap_or_else(ended);
                if once || !next.alive || !matches!(next.change, Ok(None)) {
                    return next;
                }
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The poll of a stream whose task has ended.
fn ended() -> ChangePoll {
    let error =
        Error::new(ErrorKind::InvalidOperation, "the change stream has ended: open a new one with resume_after");
    ChangePoll { change: Err(error), token: None, alive: false }
}

/// The state of a change stream.
struct Changes {
    client: Arc<DriverClient>,
    watch: Watch,
    position: Position,
    /// The cursor's batches. `None` after an error: the next poll resumes.
    batches: Option<Batches>,
    /// The last batch.
    batch: Option<Batch>,
}

impl Changes {
    fn new(client: Arc<DriverClient>, watch: Watch) -> Self {
        let position = watch.start.clone();
        Self { client, watch, position, batches: None, batch: None }
    }

    /// Opens the cursor at the current position, and reads its first batch.
    async fn open(&mut self) -> Result<()> {
        // The last cursor is closed first.
        (self.batches, self.batch) = (None, None);
        let stage = self.position.stage(&self.watch);
        let mut batches = aggregate(&self.client, &self.watch, stage).await?;
        let first = batches.next().await.transpose()?;
        if let Some(batch) = &first
            && batch.is_empty()
        {
            if let Some(token) = batch_token(batch) {
                self.position.token = Some(token);
            } else if self.position.operation_time.is_none()
                && !self.position.uses_resume_after
                && !self.position.uses_start_after
            {
                let time = batch.reply().and_then(|reply| reply.get_timestamp("operationTime").ok());
                self.position.operation_time = time.map(Bson::Timestamp);
            }
        }
        (self.batches, self.batch) = (Some(batches), first);
        Ok(())
    }

    /// Returns the next change after at most one `getMore`, and at most one attempt to resume.
    async fn poll(&mut self) -> ChangePoll {
        let change = match self.advance().await {
            Ok(change) => self.accept(change),
            Err(error) => Err(error),
        };
        let alive = match &change {
            Ok(_) => self.is_open(),
            // The next poll resumes, so a failed server or a slow one does not end the stream.
            Err(error) => is_resumable(error) || error.kind == ErrorKind::ExecutionTimeout,
        };
        if change.is_err() || !alive {
            self.batches = None;
        }
        ChangePoll { change, token: self.position.token.clone(), alive }
    }

    async fn advance(&mut self) -> Result<Option<RawDocumentBuf>> {
        if self.batches.is_none() {
            self.open().await?;
        }
        match self.fetch().await {
            Err(error) if is_resumable(&error) => self.open().await?,
            fetched => fetched?,
        }
        let document = self.batch.as_mut().and_then(Batch::take_next).transpose()?;
        Ok(document.map(RawDocument::to_owned))
    }

    /// Fetches a batch, unless changes are left of the last one.
    async fn fetch(&mut self) -> Result<()> {
        if self.batch.as_ref().is_some_and(|batch| !batch.is_empty()) {
            return Ok(());
        }
        if let Some(batches) = &mut self.batches
            && let Some(batch) = batches.next().await.transpose()?
        {
            self.batch = Some(batch);
        }
        Ok(())
    }

    /// Whether the cursor may return more changes.
    fn is_open(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.is_empty() || batch.cursor_id() != Some(0))
    }

    /// Stores the position after a change.
    fn accept(&mut self, change: Option<RawDocumentBuf>) -> Result<Option<RawDocumentBuf>> {
        let last = self.batch.as_ref().filter(|batch| batch.is_empty());
        let token = match (last.and_then(batch_token), &change) {
            (Some(token), Some(change)) if change.get("_id").is_ok_and(|id| id.is_some()) => Some(token),
            (token, None) => token,
            (_, Some(change)) => match change.get("_id").map(|id| id.map(Bson::try_from)) {
                Ok(Some(Ok(id))) => Some(id),
                _ => {
                    let message = "Cannot provide resume functionality when the resume token is missing.";
                    return Err(Error::new(ErrorKind::InvalidOperation, message));
                }
            },
        };
        if change.is_some() {
            (self.position.uses_start_after, self.position.uses_resume_after) = (false, true);
        }
        if token.is_some() {
            (self.position.token, self.position.operation_time) = (token, None);
        }
        Ok(change)
    }
}

/// Opens a cursor whose pipeline begins with this stage.
async fn aggregate(client: &Arc<DriverClient>, watch: &Watch, stage: Document) -> Result<Batches> {
    let attempt = Attempt { doing: DOING, namespace: &watch.namespace, settings: client.settings() };
    let mut pipeline = vec![doc! { "$changeStream": stage }];
    pipeline.extend_from_slice(&watch.pipeline);
    let (source, check) = match watch.level {
        Level::Collection => {
            let collection = client.collection(&watch.namespace, &attempt).await?;
            let action = || collection.aggregate(pipeline.clone()).with_options(watch.options.clone());
            (
                opened!(
                    watch.session,
                    client,
                    &attempt,
                    UnsentRetry::of_read(client, watch.session.as_deref()),
                    action()
                ),
                CursorCheck::of_collection(&watch.namespace),
            )
        }
        Level::Database | Level::Client => {
            let mut namespace = Namespace::clone(&watch.namespace);
            if watch.level == Level::Client {
                "admin".clone_into(&mut namespace.database);
            }
            let database = client.database_of(&namespace, &attempt).await?;
            let action = || database.aggregate(pipeline.clone()).with_options(watch.options.clone());
            (
                opened!(
                    watch.session,
                    client,
                    &attempt,
                    UnsentRetry::of_read(client, watch.session.as_deref()),
                    action()
                ),
                CursorCheck::of_database(&namespace),
            )
        }
    };
    Ok(batches(Arc::clone(client), Arc::clone(&watch.namespace), DOING, source, check))
}

impl Position {
    /// Returns the options of the stage `$changeStream`.
    fn stage(&self, watch: &Watch) -> Document {
        let mut stage = Document::new();
        let mut rest = watch.stage.clone();
        for name in ["fullDocument", "fullDocumentBeforeChange"] {
            if let Some(value) = rest.remove(name) {
                stage.insert(name, value);
            }
        }
        match (&self.token, &self.operation_time) {
            (Some(token), _) => {
                stage.insert(if self.uses_start_after { "startAfter" } else { "resumeAfter" }, token.clone());
            }
            (None, Some(time)) => {
                stage.insert("startAtOperationTime", time.clone());
            }
            (None, None) => {}
        }
        stage.extend(rest);
        if watch.level == Level::Client {
            stage.insert("allChangesForCluster", true);
        }
        stage
    }
}

/// Converts the command's collation and comment to the driver's options.
///
/// # Errors
/// `Configuration` if an option is invalid.
pub fn options(given: Document, batch_size: Option<u32>, max_await_time: Option<Duration>) -> Result<AggregateOptions> {
    let mut options: AggregateOptions = super::write::options(given)?;
    options.batch_size = batch_size;
    options.max_await_time = max_await_time;
    Ok(options)
}

/// Returns the token that follows the changes of a batch.
fn batch_token(batch: &Batch) -> Option<Bson> {
    let token = batch.reply()?.get_document("cursor").ok()?.get_document("postBatchResumeToken").ok()?;
    Document::try_from(token).ok().map(Bson::Document)
}

/// Returns whether a stream can be resumed after an error.
fn is_resumable(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::AutoReconnect
            | ErrorKind::NetworkTimeout
            | ErrorKind::NotPrimary
            | ErrorKind::ServerSelectionTimeout
            | ErrorKind::CursorNotFound
    ) || error.labels.iter().any(|label| label == "ResumableChangeStreamError")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(level: Level) -> Watch {
        Watch {
            level,
            namespace: Arc::new(Namespace::new("shop", "orders")),
            pipeline: Vec::new(),
            stage: doc! { "showExpandedEvents": true, "fullDocument": "updateLookup" },
            start: Position::default(),
            options: AggregateOptions::default(),
            session: None,
        }
    }

    #[test]
    fn a_token_replaces_the_operation_time() {
        let time = Bson::Timestamp(bson::Timestamp { time: 5, increment: 1 });
        let mut position = Position { operation_time: Some(time.clone()), ..Position::default() };
        assert_eq!(
            position.stage(&watch(Level::Collection)),
            doc! { "fullDocument": "updateLookup", "startAtOperationTime": time, "showExpandedEvents": true }
        );
        position.token = Some(Bson::Document(doc! { "_data": "82" }));
        assert_eq!(
            position.stage(&watch(Level::Client)),
            doc! {
                "fullDocument": "updateLookup", "resumeAfter": { "_data": "82" }, "showExpandedEvents": true,
                "allChangesForCluster": true,
            }
        );
        position.uses_start_after = true;
        assert!(position.stage(&watch(Level::Database)).contains_key("startAfter"));
    }

    #[test]
    fn the_kind_or_the_label_of_an_error_makes_it_resumable() {
        let mut error = Error::new(ErrorKind::Operation, "no");
        assert!(!is_resumable(&error));
        error.labels.push("ResumableChangeStreamError".to_owned());
        assert!(is_resumable(&error));
        assert!(is_resumable(&Error::new(ErrorKind::CursorNotFound, "no")));
        assert!(is_resumable(&Error::new(ErrorKind::NotPrimary, "no")));
    }
}
