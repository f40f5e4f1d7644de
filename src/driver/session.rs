//! Sessions and transactions.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bson::{Document, Timestamp};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mongodb::options::{SessionOptions, TransactionOptions};
use mongodb::raw_batch_cursor::{RawBatchCursor, SessionRawBatchCursor};
use mongodb::{ClientSession, ClusterTime};
use tokio::sync::{Mutex as AsyncMutex, OwnedMappedMutexGuard, OwnedMutexGuard};

use super::error::{Attempt, Attempted};
use super::reply_check::CursorCheck;
use super::retryable::UnsentRetry;
use super::time_limit::TimedOut;
use super::{DriverClient, Namespace};
use crate::batch_stream::Batch;
use crate::error::{Error, ErrorKind, Result};

/// A session as in PyMongo. The driver's session is created on the first call, so that starting a
/// session does no I/O.
pub struct Session {
    options: SessionOptions,
    inner: Arc<AsyncMutex<Option<ClientSession>>>,
    state: Arc<Mutex<State>>,
}

/// The state that is available without locking the driver's session.
#[derive(Default)]
struct State {
    /// The options of a transaction that starts with the next call.
    starting: Option<TransactionOptions>,
    /// The times to advance to with the next call.
    advance: (Option<ClusterTime>, Option<Timestamp>),
    cluster_time: Option<Document>,
    operation_time: Option<Timestamp>,
    /// Whether a transaction is in progress.
    in_transaction: bool,
}

/// The driver's session, locked for one call.
pub(super) struct Held {
    session: OwnedMappedMutexGuard<Option<ClientSession>, ClientSession>,
    state: Arc<Mutex<State>>,
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cluster_time = self.session.cluster_time().and_then(|time| bson::serialize_to_document(time).ok());
        state.operation_time = self.session.operation_time();
    }
}

const DOING: &str = "start a session at";

impl Session {
    /// Creates a session without starting it on the server.
    pub fn new(options: SessionOptions) -> Self {
        Self { options, inner: Arc::default(), state: Arc::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the driver's session for one call. Starts the session and the transaction if necessary.
    pub(super) async fn hold(&self, client: &DriverClient, attempt: &Attempt<'_>) -> Result<Held> {
        let mut inner = Arc::clone(&self.inner).lock_owned().await;
        if inner.is_none() {
            let options = self.options.clone();
            let session = client.client(attempt).await?.start_session().with_options(options).await;
            *inner = Some(session.attempted(attempt)?);
        }
        let session = OwnedMutexGuard::try_map(inner, Option::as_mut)
            .map_err(|_| Error::new(ErrorKind::InvalidOperation, "Cannot use ended session"))?;
        let mut held = Held { session, state: Arc::clone(&self.state) };
        let (starting, (cluster_time, operation_time)) = {
            let mut state = self.state();
            (state.starting.take(), std::mem::take(&mut state.advance))
        };
        if let Some(time) = cluster_time {
            held.advance_cluster_time(&time);
        }
        if let Some(time) = operation_time {
            held.advance_operation_time(time);
        }
        if let Some(options) = starting {
            // The transaction's first command cannot be resent: the driver considers the transaction started.
            client.purge().await;
            held.start_transaction().with_options(options).await.attempted(attempt)?;
        }
        Ok(held)
    }

    /// Starts a transaction with the next call.
    pub fn start_transaction(&self, options: TransactionOptions) {
        let mut state = self.state();
        state.starting = Some(options);
        state.in_transaction = true;
    }

    /// Returns whether it is a snapshot session.
    pub fn is_snapshot(&self) -> bool {
        self.options.snapshot == Some(true)
    }

    /// Returns whether a transaction is in progress.
    pub fn in_transaction(&self) -> bool {
        self.state().in_transaction
    }

    /// Discards a transaction that contains no call.
    pub fn forget_transaction(&self) {
        let mut state = self.state();
        state.starting = None;
        state.in_transaction = false;
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
        self.state().in_transaction = false;
        let finishing = async {
            let mut held = self.hold(client, &attempt).await?;
            let mut finished = client.limited(false, finish(&mut held, commit)).await;
            // The driver's own retry does not see this package's time limits.
            if finished.as_ref().is_err_and(TimedOut::was_first_reply) {
                finished = client.limited(false, finish(&mut held, commit)).await;
            }
            finished.attempted(&attempt)
        };
        client.until_given_up(finishing).await
    }

    /// Ends the session, which returns the server's session to the driver's pool.
    pub async fn end(&self) {
        drop(self.inner.lock().await.take());
    }

    /// Returns the session ID. Starts the session if necessary.
    ///
    /// # Errors
    /// Those of connecting to the server.
    pub async fn id(&self, client: &DriverClient) -> Result<Document> {
        let namespace = Namespace::new("admin", "");
        let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
        Ok(self.hold(client, &attempt).await?.id().clone())
    }

    /// Returns the newest cluster time that the session has seen.
    pub fn cluster_time(&self) -> Option<Document> {
        self.state().cluster_time.clone()
    }

    /// Returns the operation time of the last call.
    pub fn operation_time(&self) -> Option<Timestamp> {
        self.state().operation_time
    }

    /// Advances the cluster time, if `time` is newer.
    ///
    /// # Errors
    /// `Configuration` if it is not a cluster time.
    pub fn advance_cluster_time(&self, time: Document) -> Result<()> {
        let parsed: ClusterTime = bson::deserialize_from_document(time.clone())
            .map_err(|_| Error::new(ErrorKind::Configuration, "cluster_time must be a clusterTime document"))?;
        let mut state = self.state();
        state.advance.0 = Some(parsed);
        let newer =
            |known: &Document| known.get_timestamp("clusterTime").ok() >= time.get_timestamp("clusterTime").ok();
        if !state.cluster_time.as_ref().is_some_and(newer) {
            state.cluster_time = Some(time);
        }
        Ok(())
    }

    /// Advances the operation time, if `time` is newer.
    pub fn advance_operation_time(&self, time: Timestamp) {
        let mut state = self.state();
        state.advance.1 = Some(time);
        state.operation_time = state.operation_time.max(Some(time));
    }
}

async fn finish(session: &mut ClientSession, commit: bool) -> mongodb::error::Result<()> {
    match commit {
        true => session.commit_transaction().await,
        false => session.abort_transaction().await,
    }
}

/// Runs one of the driver's actions, optionally in a session. The expression of the action is evaluated
/// again for each retry.
macro_rules! send {
    ($session:expr, $client:expr, $attempt:expr, $retry:expr, $action:expr) => {{
        let mut retry = $retry;
        loop {
            let action = $action;
            let reply = match &$session {
                Some(session) => {
                    let mut held = session.hold($client, $attempt).await?;
                    $client.limited(session.in_transaction(), action.session(&mut *held)).await
                }
                None => $client.limited(false, action).await,
            };
            match reply {
                Err(error) if retry.should_resend(&error).await => {}
                Err(error) => {
                    $client.check_sync_after(&error).await;
                    break Err(error);
                }
                reply => break reply,
            }
        }
    }};
}

/// Opens one of the driver's cursors, optionally in a session. The expression of the action is evaluated
/// again for each retry.
macro_rules! opened {
    ($session:expr, $client:expr, $attempt:expr, $retry:expr, $action:expr) => {{
        let mut retry = $retry;
        loop {
            let action = $action;
            let opened = match &$session {
                Some(session) => {
                    let opening = async {
                        let mut held = session.hold($client, $attempt).await?;
                        Ok($client.limited(session.in_transaction(), action.session(&mut *held).batch()).await)
                    };
                    let in_session =
                        |cursor| $crate::driver::session::DriverCursor::Explicit(Box::new(cursor), Arc::clone(session));
                    $client.until_given_up(opening).await?.map(in_session)
                }
                None => {
                    let opened = async { Ok($client.limited(false, action.batch()).await) };
                    let opened = $client.until_given_up(opened).await?;
                    opened.map(|cursor| $crate::driver::session::DriverCursor::Implicit(Box::new(cursor)))
                }
            };
            match opened {
                Err(error) if retry.should_resend(&error).await => {}
                Err(error) => {
                    $client.check_sync_after(&error).await;
                    return Err($attempt.failed(&error));
                }
                Ok(source) => break source,
            }
        }
    }};
}

pub(super) use {opened, send};

/// One of the driver's cursors.
pub(super) enum DriverCursor {
    /// In an implicit session.
    Implicit(Box<RawBatchCursor>),
    /// In the caller's session.
    Explicit(Box<SessionRawBatchCursor>, Arc<Session>),
}

impl DriverCursor {
    /// Returns the next batch. Calls in the same explicit session must not overlap.
    pub(super) async fn next(
        &mut self,
        client: &DriverClient,
        attempt: &Attempt<'_>,
        cursor: &mut CursorCheck,
    ) -> Option<Result<Batch>> {
        let mut retry = UnsentRetry::new(client);
        loop {
            // The driver does not retry `getMore`.
            client.purge().await;
            let next = match self {
                Self::Implicit(source) => client.limited(false, source.try_next()).await,
                Self::Explicit(source, session) => match session.hold(client, attempt).await {
                    Ok(mut held) => client.limited(session.in_transaction(), source.stream(&mut held).try_next()).await,
                    Err(error) => return Some(Err(error)),
                },
            };
            match next.transpose()? {
                Ok(batch) => return Some(cursor.check(client, attempt, batch).await),
                Err(error) if retry.should_resend(&error).await => {}
                Err(error) => {
                    client.check_sync_after(&error).await;
                    return Some(Err(attempt.failed(&error)));
                }
            }
        }
    }
}

/// Returns the batches of a cursor.
pub(super) fn batches(
    client: Arc<DriverClient>,
    namespace: Arc<Namespace>,
    doing: &'static str,
    source: DriverCursor,
    cursor: CursorCheck,
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
