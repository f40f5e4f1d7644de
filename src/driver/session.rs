//! Sessions: what calls belong together, and transactions.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bson::{Document, Timestamp};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use mongodb::options::{SessionOptions, TransactionOptions};
use mongodb::raw_batch_cursor::{RawBatchCursor, SessionRawBatchCursor};
use mongodb::{ClientSession, ClusterTime};
use tokio::sync::{Mutex as AsyncMutex, OwnedMappedMutexGuard, OwnedMutexGuard};

use super::answer::Cursor;
use super::error::{Attempt, Attempted};
use super::retryable::Repeats;
use super::{DriverClient, Namespace};
use crate::cursor::Batch;
use crate::error::{Error, ErrorKind, Result};

/// A session of PyMongo's. The driver's own is made with the first call, so
/// that starting one does no I/O.
pub struct Session {
    options: SessionOptions,
    inner: Arc<AsyncMutex<Option<ClientSession>>>,
    noted: Arc<Mutex<Noted>>,
}

/// What is known without the driver's session at hand.
#[derive(Default)]
struct Noted {
    /// A transaction that begins with the next call.
    starting: Option<TransactionOptions>,
    /// Times to be taken over with the next call.
    advance: (Option<ClusterTime>, Option<Timestamp>),
    cluster_time: Option<Document>,
    operation_time: Option<Timestamp>,
    /// Whether calls are part of a transaction.
    in_transaction: bool,
}

/// The driver's session, in use.
pub(super) struct Held {
    session: OwnedMappedMutexGuard<Option<ClientSession>, ClientSession>,
    noted: Arc<Mutex<Noted>>,
}

impl Deref for Held {
    type Target = ClientSession;

    fn deref(&self) -> &ClientSession {
        &self.session
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut ClientSession {
        &mut self.session
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.cluster_time = self.session.cluster_time().and_then(|time| bson::serialize_to_document(time).ok());
        noted.operation_time = self.session.operation_time();
    }
}

const DOING: &str = "use a session at";

impl Session {
    /// A session that has not begun.
    pub fn new(options: SessionOptions) -> Self {
        Self { options, inner: Arc::default(), noted: Arc::default() }
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The driver's session, for one call.
    pub(super) async fn hold(&self, client: &DriverClient, attempt: &Attempt<'_>) -> Result<Held> {
        let mut inner = Arc::clone(&self.inner).lock_owned().await;
        if inner.is_none() {
            let options = self.options.clone();
            let session = client.client(attempt).await?.start_session().with_options(options).await;
            *inner = Some(session.attempted(attempt)?);
        }
        let session = OwnedMutexGuard::try_map(inner, Option::as_mut)
            .map_err(|_| Error::new(ErrorKind::InvalidOperation, "Cannot use ended session"))?;
        let mut held = Held { session, noted: Arc::clone(&self.noted) };
        let (starting, (cluster_time, operation_time)) = {
            let mut noted = self.noted();
            (noted.starting.take(), std::mem::take(&mut noted.advance))
        };
        if let Some(time) = cluster_time {
            held.advance_cluster_time(&time);
        }
        if let Some(time) = operation_time {
            held.advance_operation_time(time);
        }
        if let Some(options) = starting {
            // Its first command cannot be sent again: the driver takes the transaction as begun.
            client.purge().await;
            held.start_transaction().with_options(options).await.attempted(attempt)?;
        }
        Ok(held)
    }

    /// Begins a transaction with the next call.
    pub fn start_transaction(&self, options: TransactionOptions) {
        let mut noted = self.noted();
        noted.starting = Some(options);
        noted.in_transaction = true;
    }

    /// Whether all its reads see one moment.
    pub fn is_snapshot(&self) -> bool {
        self.options.snapshot == Some(true)
    }

    /// Whether calls are part of a transaction.
    pub fn in_transaction(&self) -> bool {
        self.noted().in_transaction
    }

    /// Forgets a transaction that no call was made in.
    pub fn forget_transaction(&self) {
        let mut noted = self.noted();
        noted.starting = None;
        noted.in_transaction = false;
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// Those of any command.
    pub async fn commit(&self, client: &DriverClient) -> Result<()> {
        self.finish(client, "commitTransaction", true).await
    }

    /// Aborts the transaction.
    ///
    /// # Errors
    /// Those of any command.
    pub async fn abort(&self, client: &DriverClient) -> Result<()> {
        self.finish(client, "abortTransaction", false).await
    }

    async fn finish(&self, client: &DriverClient, name: &str, commit: bool) -> Result<()> {
        let namespace = Namespace::new("admin", name);
        let attempt = Attempt { doing: "run the command", namespace: &namespace, settings: client.settings() };
        self.noted().in_transaction = false;
        let finishing = async {
            let mut held = self.hold(client, &attempt).await?;
            let finished = match commit {
                true => held.commit_transaction().await,
                false => held.abort_transaction().await,
            };
            finished.attempted(&attempt)
        };
        client.until_given_up(finishing).await
    }

    /// Ends it: the server's session goes back to the driver's pool.
    pub async fn end(&self) {
        drop(self.inner.lock().await.take());
    }

    /// The server's id of it.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn id(&self, client: &DriverClient) -> Result<Document> {
        let namespace = Namespace::new("admin", "");
        let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
        Ok(self.hold(client, &attempt).await?.id().clone())
    }

    /// The newest time of the cluster that it has seen.
    pub fn cluster_time(&self) -> Option<Document> {
        self.noted().cluster_time.clone()
    }

    /// The time of its last call.
    pub fn operation_time(&self) -> Option<Timestamp> {
        self.noted().operation_time
    }

    /// Takes over a time of the cluster, if it is newer.
    ///
    /// # Errors
    /// `Configuration` where it is none.
    pub fn advance_cluster_time(&self, time: Document) -> Result<()> {
        let parsed: ClusterTime = bson::deserialize_from_document(time.clone())
            .map_err(|_| Error::new(ErrorKind::Configuration, "cluster_time must be a clusterTime document"))?;
        let mut noted = self.noted();
        noted.advance.0 = Some(parsed);
        let newer =
            |known: &Document| known.get_timestamp("clusterTime").ok() >= time.get_timestamp("clusterTime").ok();
        if !noted.cluster_time.as_ref().is_some_and(newer) {
            noted.cluster_time = Some(time);
        }
        Ok(())
    }

    /// Takes over the time of an operation, if it is newer.
    pub fn advance_operation_time(&self, time: Timestamp) {
        let mut noted = self.noted();
        noted.advance.1 = Some(time);
        noted.operation_time = noted.operation_time.max(Some(time));
    }
}

/// Sends an action of the driver's, in a session where there is one. The action is made anew each time
/// that it is repeated.
macro_rules! send {
    ($session:expr, $client:expr, $attempt:expr, $action:expr) => {{
        let mut repeats = $crate::driver::retryable::Repeats::new($client);
        loop {
            let action = $action;
            let answer = match &$session {
                Some(session) => {
                    let mut held = session.hold($client, $attempt).await?;
                    action.session(&mut *held).await
                }
                None => action.await,
            };
            match answer {
                Err(error) if repeats.again(&error).await => {}
                Err(error) => {
                    $client.doubt(&error).await;
                    break Err(error);
                }
                answer => break answer,
            }
        }
    }};
}

/// Opens a cursor of the driver's, in a session where there is one. The action is made anew each time
/// that it is repeated.
macro_rules! opened {
    ($session:expr, $client:expr, $attempt:expr, $action:expr) => {{
        let mut repeats = $crate::driver::retryable::Repeats::new($client);
        loop {
            let action = $action;
            let opened = match &$session {
                Some(session) => {
                    let opening = async {
                        let mut held = session.hold($client, $attempt).await?;
                        Ok(action.session(&mut *held).batch().await)
                    };
                    let in_session =
                        |cursor| $crate::driver::session::Source::InSession(Box::new(cursor), Arc::clone(session));
                    $client.until_given_up(opening).await?.map(in_session)
                }
                None => {
                    let opened = $client.until_given_up(async { Ok(action.batch().await) }).await?;
                    opened.map(|cursor| $crate::driver::session::Source::Alone(Box::new(cursor)))
                }
            };
            match opened {
                Err(error) if repeats.again(&error).await => {}
                Err(error) => {
                    $client.doubt(&error).await;
                    return Err($attempt.failed(&error));
                }
                Ok(source) => break source,
            }
        }
    }};
}

pub(super) use {opened, send};

/// A cursor of the driver's.
pub(super) enum Source {
    /// In a session of its own.
    Alone(Box<RawBatchCursor>),
    /// In a session of the caller's.
    InSession(Box<SessionRawBatchCursor>, Arc<Session>),
}

impl Source {
    /// The next batch. One in a session asks for it only when it is wanted: calls of a session do not overlap.
    pub(super) async fn next(
        &mut self,
        client: &DriverClient,
        attempt: &Attempt<'_>,
        cursor: &mut Cursor,
    ) -> Option<Result<Batch>> {
        let mut repeats = Repeats::new(client);
        loop {
            // The driver does not repeat a `getMore`.
            client.purge().await;
            let next = match self {
                Self::Alone(source) => source.next().await,
                Self::InSession(source, session) => match session.hold(client, attempt).await {
                    Ok(mut held) => source.stream(&mut held).next().await,
                    Err(error) => return Some(Err(error)),
                },
            };
            match next? {
                Ok(batch) => return Some(cursor.take(client, attempt, batch).await),
                Err(error) if repeats.again(&error).await => {}
                Err(error) => {
                    client.doubt(&error).await;
                    return Some(Err(attempt.failed(&error)));
                }
            }
        }
    }
}

/// The batches of a cursor.
pub(super) fn batches(
    client: Arc<DriverClient>,
    namespace: Arc<Namespace>,
    doing: &'static str,
    source: Source,
    cursor: Cursor,
) -> BoxStream<'static, Result<Batch>> {
    let state = (source, cursor, client, namespace);
    let batches = futures_util::stream::unfold(state, move |(mut source, mut cursor, client, namespace)| async move {
        let next = {
            let attempt = Attempt { doing, namespace: &namespace, settings: client.settings() };
            let next = async { source.next(&client, &attempt, &mut cursor).await.transpose() };
            client.until_given_up(next).await.transpose()
        };
        next.map(|batch| (batch, (source, cursor, client, namespace)))
    });
    batches.boxed()
}
