//! Sessions: what calls belong together, and transactions.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bson::{Document, Timestamp};
use mongodb::options::{SessionOptions, TransactionOptions};
use mongodb::{ClientSession, ClusterTime};
use tokio::sync::{Mutex as AsyncMutex, OwnedMappedMutexGuard, OwnedMutexGuard};

use super::error::{Attempt, Attempted};
use super::{DriverClient, Namespace};
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

/// Sends an action of the driver's, in a session where there is one; once more
/// where it did not leave as a whole. The action is made anew each time.
macro_rules! send {
    ($session:expr, $client:expr, $attempt:expr, $action:expr) => {
        $crate::driver::session::send!(Never, $session, $client, $attempt, $action)
    };
    ($by_driver:ident, $session:expr, $client:expr, $attempt:expr, $action:expr) => {{
        let session = &$session;
        let by_driver = $crate::driver::idle::ByDriver::$by_driver;
        let mut repeats = $crate::driver::idle::Repeats::new($client, session.as_deref(), by_driver);
        loop {
            let action = $action;
            let answer = match session {
                Some(session) => {
                    let mut held = session.hold($client, $attempt).await?;
                    action.session(&mut *held).await
                }
                None => action.await,
            };
            if !repeats.again(&answer) {
                break answer;
            }
        }
    }};
}

/// Opens a cursor of the driver's; its batches. One in a session asks for the
/// next batch only when that is wanted: calls of a session do not overlap.
macro_rules! batches {
    ($session:expr, $client:expr, $attempt:expr, $doing:expr, $namespace:expr, $action:expr) => {{
        let (session, client) = ($session, $client);
        let by_driver = $crate::driver::idle::ByDriver::Never;
        let mut repeats = $crate::driver::idle::Repeats::new(&client, session.as_deref(), by_driver);
        match session {
            Some(session) => {
                let cursor = loop {
                    let action = $action;
                    let opening = async {
                        let mut held = session.hold(&client, $attempt).await?;
                        Ok(action.session(&mut *held).batch().await)
                    };
                    let cursor = client.until_given_up(opening).await?;
                    if !repeats.again(&cursor) {
                        break cursor.attempted($attempt)?;
                    }
                };
                $crate::driver::session::in_session(client, $namespace, $doing, cursor, session)
            }
            None => {
                let cursor = loop {
                    let action = $action;
                    let cursor = client.until_given_up(async { Ok(action.batch().await) }).await?;
                    if !repeats.again(&cursor) {
                        break cursor.attempted($attempt)?;
                    }
                };
                $crate::driver::session::without_session(client, $namespace, $doing, cursor)
            }
        }
    }};
}

pub(super) use {batches, send};

/// The batches of a cursor.
pub(super) fn without_session(
    client: Arc<DriverClient>,
    namespace: Arc<Namespace>,
    doing: &'static str,
    cursor: mongodb::raw_batch_cursor::RawBatchCursor,
) -> futures_util::stream::BoxStream<'static, Result<crate::cursor::Batch>> {
    use futures_util::StreamExt as _;
    let batches = futures_util::stream::unfold((cursor, client, namespace), move |(mut cursor, client, namespace)| {
        async move {
            let next = async {
                // The driver does not ask for a batch again.
                client.purge().await;
                let attempt = Attempt { doing, namespace: &namespace, settings: client.settings() };
                cursor.next().await.transpose().attempted(&attempt)?.map(crate::cursor::Batch::of_mongodb).transpose()
            };
            let next = client.until_given_up(next).await.transpose();
            next.map(|batch| (batch, (cursor, client, namespace)))
        }
    });
    batches.boxed()
}

/// The batches of a cursor in a session.
pub(super) fn in_session(
    client: Arc<DriverClient>,
    namespace: Arc<Namespace>,
    doing: &'static str,
    cursor: mongodb::raw_batch_cursor::SessionRawBatchCursor,
    session: Arc<Session>,
) -> futures_util::stream::BoxStream<'static, Result<crate::cursor::Batch>> {
    use futures_util::StreamExt as _;
    let state = (cursor, session, client, namespace);
    let batches = futures_util::stream::unfold(state, move |(mut cursor, session, client, namespace)| async move {
        let next = async {
            // The driver does not ask for a batch again.
            client.purge().await;
            let attempt = Attempt { doing, namespace: &namespace, settings: client.settings() };
            let mut held = session.hold(&client, &attempt).await?;
            let batch = cursor.stream(&mut held).next().await.transpose().attempted(&attempt)?;
            batch.map(crate::cursor::Batch::of_mongodb).transpose()
        };
        let next = client.until_given_up(next).await.transpose();
        next.map(|batch| (batch, (cursor, session, client, namespace)))
    });
    batches.boxed()
}
