//! Change streams. The driver resumes one whose connection broke.

use std::sync::Arc;

use bson::{Document, RawDocumentBuf};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::session::SessionChangeStream;
use mongodb::options::ChangeStreamOptions;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;

use super::error::{Attempt, Attempted};
use super::events::Heard;
use super::session::Session;
use super::{DriverClient, Namespace};
use crate::cursor::Demand;
use crate::error::{Error, ErrorKind, Result};

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All databases.
    Client,
    /// All collections of a database.
    Database,
    /// A collection.
    Collection,
}

/// A change, or that there was none; and where to resume.
pub struct Seen {
    /// The change.
    pub document: Option<RawDocumentBuf>,
    /// The token to resume after.
    pub token: Option<Document>,
    /// Whether more may come.
    pub alive: bool,
}

enum Stream {
    Implicit(ChangeStream<RawDocumentBuf>),
    Explicit(Box<SessionChangeStream<RawDocumentBuf>>, Arc<Session>),
}

/// A change stream under way. It runs in a task of its own, so that who stops
/// waiting for a change does not lose it.
pub struct Watching {
    seen: Arc<Mutex<mpsc::Receiver<Result<Seen>>>>,
    demand: Arc<Demand>,
    task: AbortHandle,
}

/// What to watch, and how.
pub struct Watch {
    /// What is watched.
    pub level: Level,
    /// The collection, or the database.
    pub namespace: Arc<Namespace>,
    /// What becomes of each change.
    pub pipeline: Vec<Document>,
    /// The driver's options.
    pub options: ChangeStreamOptions,
    /// The session.
    pub session: Option<Arc<Session>>,
}

const DOING: &str = "watch";

impl Watching {
    /// Opens a change stream.
    pub fn start(runtime: &Handle, client: Arc<DriverClient>, watch: Watch, heard: Option<Heard>) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let demand: Arc<Demand> = Arc::default();
        let wanted = Arc::clone(&demand);
        let watching = async move {
            let namespace = Arc::clone(&watch.namespace);
            let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
            let mut stream = match client.until_given_up(open(&client, watch, &attempt)).await {
                Ok(stream) => stream,
                Err(error) => return drop(sender.send(Err(error)).await),
            };
            let opened = Seen { document: None, token: stream.token(), alive: true };
            if sender.send(Ok(opened)).await.is_err() {
                return;
            }
            while let Ok(place) = sender.reserve().await {
                wanted.wanted().await;
                let document = client.until_given_up(stream.next_if_any(&client, &attempt)).await;
                // What came with the last batch is still there.
                let over = !matches!(document, Ok(Some(_))) && (document.is_err() || !stream.is_alive());
                let (token, alive) = (stream.token(), stream.is_alive());
                place.send(document.map(|document| Seen { document, token, alive }));
                if over {
                    return;
                }
            }
        };
        let task = runtime.spawn(Heard::scope(heard, watching));
        Self { seen: Arc::new(Mutex::new(receiver)), demand, task: task.abort_handle() }
    }

    /// Waits until it is open.
    pub fn opened(&self) -> impl Future<Output = Result<Seen>> + Send + 'static {
        let seen = Arc::clone(&self.seen);
        async move { seen.lock().await.recv().await.unwrap_or_else(|| Err(ended())) }
    }

    /// The next change; one look, if there is none and `once`.
    pub fn next(&self, once: bool) -> impl Future<Output = Result<Seen>> + Send + 'static {
        let (seen, demand) = (Arc::clone(&self.seen), Arc::clone(&self.demand));
        async move {
            let mut seen = seen.lock().await;
            loop {
                let next = match seen.try_recv() {
                    Ok(next) => Some(next),
                    Err(_) => {
                        demand.ask();
                        seen.recv().await
                    }
                };
                demand.answered();
                let next = next.unwrap_or_else(|| Err(ended()))?;
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

fn ended() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the change stream has ended: watch anew, with resume_after")
}

async fn open(client: &DriverClient, watch: Watch, attempt: &Attempt<'_>) -> Result<Stream> {
    macro_rules! opened {
        ($watch:expr) => {{
            // The driver's retry is enough for what only reads, if it begins with a new pool.
            client.purge().await;
            let action = $watch.pipeline(watch.pipeline).with_options(watch.options);
            match watch.session {
                None => Stream::Implicit(action.await.attempted(attempt)?.with_type()),
                Some(session) => {
                    let mut held = session.hold(client, attempt).await?;
                    let stream = action.session(&mut *held).await.attempted(attempt)?.with_type();
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

/// The driver's options of MongoDB's own names for them.
///
/// # Errors
/// `Configuration` where one cannot be used.
pub fn options(given: &Document, max_await_time: Option<std::time::Duration>) -> Result<ChangeStreamOptions> {
    let wrong = |error: String| Error::new(ErrorKind::Configuration, format!("the options cannot be used: {error}"));
    let bytes = bson::serialize_to_vec(given).map_err(|error| wrong(error.to_string()))?;
    let mut options: ChangeStreamOptions =
        bson::deserialize_from_slice(&bytes).map_err(|error| wrong(crate::error::excerpt(&error.to_string(), 200)))?;
    options.max_await_time = max_await_time;
    Ok(options)
}
