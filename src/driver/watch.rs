//! Change streams. The driver resumes a change stream after a network error.

use std::sync::Arc;

use bson::{Document, RawDocumentBuf};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::session::SessionChangeStream;
use mongodb::options::ChangeStreamOptions;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;

use super::error::{Attempt, Attempted};
use super::events::EventContext;
use super::session::Session;
use super::time_limit::Deadline;
use super::{DriverClient, Namespace};
use crate::batch_stream::Demand;
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
    pub document: Option<RawDocumentBuf>,
    /// The resume token.
    pub token: Option<Document>,
    /// Whether the stream is still open.
    pub alive: bool,
}

enum Stream {
    Implicit(ChangeStream<RawDocumentBuf>),
    Explicit(Box<SessionChangeStream<RawDocumentBuf>>, Arc<Session>),
}

/// An open change stream. It runs in a separate task, so that a cancelled caller does not lose a
/// change.
pub struct Watching {
    polls: Arc<Mutex<mpsc::Receiver<Result<ChangePoll>>>>,
    demand: Arc<Demand>,
    task: AbortHandle,
}

/// The arguments of `watch`.
pub struct Watch {
    /// The scope of a change stream.
    pub level: Level,
    /// The collection or the database.
    pub namespace: Arc<Namespace>,
    /// The pipeline that processes each change.
    pub pipeline: Vec<Document>,
    /// The driver's options.
    pub options: ChangeStreamOptions,
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
            let namespace = Arc::clone(&watch.namespace);
            let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
            let mut stream =
                match client.until_given_up(Deadline::scope(deadline, open(&client, watch, &attempt))).await {
                    Ok(stream) => stream,
                    Err(error) => return drop(sender.send(Err(error)).await),
                };
            let opened = ChangePoll { document: None, token: stream.token(), alive: true };
            if sender.send(Ok(opened)).await.is_err() {
                return;
            }
            while let Ok(slot) = sender.reserve().await {
                requests.requested().await;
                let document = client.until_given_up(stream.next_if_any(&client, &attempt)).await;
                // Changes of the last batch may still be buffered.
                let finished = !matches!(document, Ok(Some(_))) && (document.is_err() || !stream.is_alive());
                let (token, alive) = (stream.token(), stream.is_alive());
                slot.send(document.map(|document| ChangePoll { document, token, alive }));
                if finished {
                    return;
                }
            }
        };
        let task = runtime.spawn(EventContext::scope(events, watching));
        Self { polls: Arc::new(Mutex::new(receiver)), demand, task: task.abort_handle() }
    }

    /// Waits until the change stream is open.
    pub fn opened(&self) -> impl Future<Output = Result<ChangePoll>> + Send + 'static {
        let polls = Arc::clone(&self.polls);
        async move { polls.lock().await.recv().await.unwrap_or_else(|| Err(closed())) }
    }

    /// Waits for the next change. With `once`, polls the server once.
    pub fn next(&self, once: bool) -> impl Future<Output = Result<ChangePoll>> + Send + 'static {
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
                let next = next.unwrap_or_else(|| Err(closed()))?;
                if next.document.is_some() || once || !next.alive {
                    return Ok(next);
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

fn closed() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the change stream has ended: open a new one with resume_after")
}

async fn open(client: &DriverClient, watch: Watch, attempt: &Attempt<'_>) -> Result<Stream> {
    macro_rules! opened {
        ($watch:expr) => {{
            // The driver's own retry suffices for a read, provided that it starts with a cleared pool.
            client.purge().await;
            let action = $watch.pipeline(watch.pipeline).with_options(watch.options);
            match watch.session {
                None => {
                    Stream::Implicit(client.limited(false, action.into_future()).await.attempted(attempt)?.with_type())
                }
                Some(session) => {
                    let mut held = session.hold(client, attempt).await?;
                    let opened = client.limited(false, action.session(&mut *held).into_future()).await;
                    let stream = opened.attempted(attempt)?.with_type();
                    drop(held);
                    Stream::Explicit(Box::new(stream), session)
                }
            }
        }};
    }
    Ok(match watch.level {
        Level::Client => opened!(client.client(attempt).await?.watch()),
        Level::Database => {
            let database = client.database_of(&watch.namespace, attempt).await?;
            opened!(database.watch())
        }
        Level::Collection => {
            let collection = client.collection(&watch.namespace, attempt).await?;
            opened!(collection.watch())
        }
    })
}

impl Stream {
    fn token(&self) -> Option<Document> {
        let token = match self {
            Self::Implicit(stream) => stream.resume_token(),
            Self::Explicit(stream, _) => stream.resume_token(),
        };
        token.and_then(|token| bson::serialize_to_document(&token).ok())
    }

    fn is_alive(&self) -> bool {
        match self {
            Self::Implicit(stream) => stream.is_alive(),
            Self::Explicit(stream, _) => stream.is_alive(),
        }
    }

    async fn next_if_any(&mut self, client: &DriverClient, attempt: &Attempt<'_>) -> Result<Option<RawDocumentBuf>> {
        client.purge().await;
        match self {
            Self::Implicit(stream) => stream.next_if_any().await.attempted(attempt),
            Self::Explicit(stream, session) => {
                let mut held = session.hold(client, attempt).await?;
                stream.next_if_any(&mut held).await.attempted(attempt)
            }
        }
    }
}

/// Converts a document with MongoDB's option names to the driver's options.
///
/// # Errors
/// `Configuration` if an option is invalid.
pub fn options(given: &Document, max_await_time: Option<std::time::Duration>) -> Result<ChangeStreamOptions> {
    let invalid = |error: String| Error::new(ErrorKind::Configuration, format!("the options are invalid: {error}"));
    let bytes = bson::serialize_to_vec(given).map_err(|error| invalid(error.to_string()))?;
    let mut options: ChangeStreamOptions = bson::deserialize_from_slice(&bytes)
        .map_err(|error| invalid(crate::error::excerpt(&error.to_string(), 200)))?;
    options.max_await_time = max_await_time;
    Ok(options)
}
