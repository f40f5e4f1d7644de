//! Retries: every write is sent by [`write`], and no other module decides what is retried.
//!
//! # Writes
//!
//! [`write`] sends every insert, update, delete, `findAndModify` and bulk write as a raw command
//! instead of using the driver's actions, so that the server's complete reply is returned and can be
//! checked ([`super::reply_check`]). A retryable write
//! (<https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md>)
//! carries a transaction number from this module and is retried once, as in MongoDB's drivers.
//!
//! The driver does not add a transaction number to a raw command. So this module numbers its writes
//! itself, starting at 2^40, whereas the driver starts at 0. A server rejects a number lower than the
//! last one it saw in a session. Hence the invariant: **a session that ever carried one of this
//! module's numbers never enters the driver's session pool while a call can be made.** It holds by
//! construction:
//!
//! - The driver adds a session to its pool only when the `ClientSession` is dropped. (It skips
//!   sessions that it marked dirty, after an error on a connection in use, and sessions that are about
//!   to expire. Neither is sufficient: an error while a connection is being established marks nothing.)
//! - Only [`write`] sends a number, in a session that a [`CheckedOutSession`] owns. (A read of
//!   [`DriverClient::check_out_session`] uses such a session too, without a number.) However the call
//!   ends (reply, error, cancellation, panic), the `CheckedOutSession` is dropped and returns the
//!   session to [`WriteSessions`]. Nothing else removes a session from there.
//! - [`WriteSessions`] drops its sessions when the [`DriverClient`] is dropped, and every call holds a
//!   reference to the client. Closing a client ends them on the server by ID, and keeps them.
//!
//! So a session is reused after an error, and after it has expired on the server. Both are safe: the
//! numbers of a session only increase, and a server creates a session for an unknown ID. The number
//! of sessions is the maximum that was ever in use at once.
//!
//! # Retries
//!
//! [`UnsentRetry`] resends any command that no server can have received completely, until the server
//! selection timeout: since it was not executed, resending is always safe. The driver itself retries
//! reads, `commitTransaction` and `abortTransaction` once. [`is_retryable_read`] covers commands that
//! the driver does not recognize as reads.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind};
use mongodb::options::{ReadPreference, SelectionCriteria};
use mongodb::{Client, ClientSession, Database, ServerType};

use super::error::{Attempt, Attempted, is_network_error, is_selection_timeout};
use super::reply_check::{Change, Expected, time_of};
use super::session::Session;
use super::size::within;
use super::time_limit::{Deadline, TimedOut, timed, without_wtimeout};
use super::{Connected, DriverClient, Namespace, unacknowledged};
use crate::concern::write_concern_document;
use crate::error::{Error, ErrorKind, Result};

/// The error codes of retryable reads, as in MongoDB's specification
/// (<https://github.com/mongodb/specifications/blob/master/source/retryable-reads/retryable-reads.md>).
const RETRYABLE_CODES: [i32; 13] = [
    11600, // InterruptedAtShutdown
    11602, // InterruptedDueToReplStateChange
    10107, // NotWritablePrimary
    13435, // NotPrimaryNoSecondaryOk
    13436, // NotPrimaryOrSecondary
    189,   // PrimarySteppedDown
    91,    // ShutdownInProgress
    7,     // HostNotFound
    6,     // HostUnreachable
    89,    // NetworkTimeout
    9001,  // SocketException
    262,   // ExceededTimeLimit
    134,   // ReadConcernMajorityNotAvailableYet
];

/// How often a write is resent because its reply may belong to another request.
const MAX_VERIFICATIONS: usize = 5;

/// The server of writes.
pub(super) const PRIMARY: SelectionCriteria = SelectionCriteria::ReadPreference(ReadPreference::Primary);
/// The maximum number of session IDs in one `endSessions`.
const MAX_END_SESSIONS: usize = 10_000;

/// Returns whether to retry a command that only reads.
pub(super) fn is_retryable_read(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::AutoReconnect | ErrorKind::NetworkTimeout | ErrorKind::NotPrimary)
        || error.code.is_some_and(|code| RETRYABLE_CODES.contains(&code))
}

/// Returns whether to retry a write with a transaction number.
fn is_retryable_write(error: &DriverError) -> bool {
    is_network_error(error) || error.contains_label("RetryableWriteError")
}

/// Returns whether no server can have received the complete command, in any of the driver's attempts.
pub(super) fn was_not_sent(error: &DriverError) -> bool {
    match &*error.kind {
        // Only sending fails with this error; receiving fails with `UnexpectedEof` or `ConnectionReset`.
        // The commands that the driver itself retries are safe to execute twice.
        DriverErrorKind::Io(error) => error.kind() == io::ErrorKind::BrokenPipe,
        // The pool was cleared while the command waited for a connection. If an earlier attempt was sent,
        // the driver returns that attempt's error. (A message that begins with "Connection to" concerns
        // a connection in use.)
        DriverErrorKind::ConnectionPoolCleared { message, .. } => message.starts_with("Connection pool for "),
        _ => false,
    }
}

/// Resends a command that no server has received.
pub(super) struct UnsentRetry {
    until: Instant,
    wait: Duration,
    /// Whether the command is a read that may be retried after a timeout: the driver, which retries
    /// reads itself, does not see one of this package's time limits.
    is_read: bool,
}

impl UnsentRetry {
    const FIRST_WAIT: Duration = Duration::from_millis(2);
    const MAX_WAIT: Duration = Duration::from_millis(100);

    /// Starts the server selection timeout, within which the command is resent.
    pub(super) fn new(client: &DriverClient) -> Self {
        let until = Instant::now() + client.settings().server_selection_timeout;
        Self { until, wait: Self::FIRST_WAIT, is_read: false }
    }

    /// For a command that only reads, unless it is sent in a transaction.
    pub(super) fn of_read(client: &DriverClient, session: Option<&Session>) -> Self {
        let retried = client.client.get().is_some_and(|connected| connected.retry_reads);
        let is_read = retried && !session.is_some_and(Session::in_transaction);
        Self { is_read, ..Self::new(client) }
    }

    /// Returns whether to resend the command after this error. Waits before it returns true.
    pub(super) async fn should_resend(&mut self, error: &DriverError) -> bool {
        if self.is_read && TimedOut::was_first_reply(error) {
            // Once, as the driver does after other network errors.
            self.is_read = false;
            return true;
        }
        let retried_until_deadline = self.is_read && is_retried_until_deadline(error);
        if !retried_until_deadline && (!was_not_sent(error) || Instant::now() >= self.until) {
            return false;
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(Self::MAX_WAIT);
        true
    }
}

/// Returns whether to retry although it was retried before: a call with a deadline of its own is
/// retried after network errors until then, as in PyMongo.
fn is_retried_until_deadline(error: &DriverError) -> bool {
    Deadline::current().is_some() && is_network_error(error) && TimedOut::of(error).is_none()
}

/// Builds the command with an optional write concern and an optional transaction number.
type Body<'a> = &'a (dyn Fn(Option<Document>, Option<i64>) -> Result<RawDocumentBuf> + Sync);

/// A write command.
pub(super) struct WriteCommand<'a> {
    /// Builds the command.
    pub(super) body: Body<'a>,
    /// Whether the command supports retryable writes.
    pub(super) retryable: bool,
    /// The expected form of the reply.
    pub(super) expected: Expected,
    /// The maximum size of the command.
    pub(super) limit: usize,
}

/// Sends a write command and returns the server's reply, which may contain write errors. The reply to an
/// unacknowledged write is that of [`unacknowledged::send`].
///
/// # Errors
/// Those of any command; `DocumentTooLarge` if the command exceeds its limit; `Protocol` if the reply belongs to another
/// request.
pub(super) async fn write(
    client: &DriverClient,
    namespace: &Namespace,
    attempt: &Attempt<'_>,
    session: Option<&Session>,
    command: WriteCommand<'_>,
) -> Result<Document> {
    let WriteCommand { body, retryable, expected, limit } = command;
    let body = &|concern, transaction| within(body(concern, transaction)?, limit, attempt);
    let connected = client.connected(attempt).await?;
    let database = connected.client.database(&namespace.database);
    let concern = connected.write_concern_of(namespace);
    if !client.acknowledges(namespace, session) {
        unacknowledged::check_session(session, concern)?;
        let command = body(concern.and_then(write_concern_document), None)?;
        return Box::pin(unacknowledged::send(client, attempt, &database, command)).await;
    }
    let concern = concern.and_then(write_concern_document).and_then(without_wtimeout);
    let mut explicit = match session {
        Some(session) => Some(Box::pin(session.hold(client, attempt)).await?),
        None => None,
    };
    let without_concern = session.is_some_and(|session| session.in_transaction() || session.is_snapshot());
    if without_concern || !(retryable && connected.retry_writes) || !client.numbers_writes() {
        let known = client.cluster_times.newest();
        let mut retry = UnsentRetry::new(client);
        let reply = loop {
            let concern = concern.clone().filter(|_| !without_concern);
            let sending = database.run_raw_command(timed(body(concern, None)?));
            let reply = match &mut explicit {
                // A transaction's read preference does not apply to its writes.
                Some(held) if without_concern => {
                    let in_transaction = session.is_some_and(Session::in_transaction);
                    client.limited(in_transaction, sending.selection_criteria(PRIMARY).session(&mut **held)).await
                }
                Some(held) => client.limited(false, sending.session(&mut **held)).await,
                None => client.limited(false, sending).await,
            };
            match reply {
                Err(error) if retry.should_resend(&error).await => {}
                reply => break checked(client, attempt, expected, reply).await?,
            }
        };
        match expected.check(&reply) {
            Ok(Change::Certain) if !without_concern => client.check_time(attempt, known, time_of(&reply)).await?,
            Ok(Change::Possible) if !without_concern => {
                let _newer = client.is_newer(attempt, known, time_of(&reply)).await?;
            }
            _ => {}
        }
        return Ok(reply);
    }
    let mut checked_out = client.own_session(connected, attempt).await?;
    let Some(session) = &mut checked_out.session else {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "a bug in connect-eaas-mongodb (a write has no session): please report it",
        ));
    };
    if let Some(held) = &explicit {
        advance_times(session, held);
    }
    let (known, mut searches_before) = (client.cluster_times.newest(), client.cluster_times.search_count());
    let transaction = next_transaction();
    let mut retryable_write =
        RetryableWrite { database: &database, transaction, concern: concern.as_ref(), body, retried: false };
    let mut reply = retryable_write.send(client, session).await?;
    if is_no_replica_set(&reply) {
        client.write_sessions.set_unsupported();
        let reply = client.limited(false, database.run_raw_command(timed(body(concern, None)?))).await;
        return checked(client, attempt, expected, reply).await;
    }
    for remaining in (0..MAX_VERIFICATIONS).rev() {
        let Ok(written) = &reply else { break };
        let newer = match expected.check(written) {
            Ok(Change::Certain) if remaining == 0 => {
                client.check_time(attempt, known, time_of(written)).await?;
                true
            }
            Ok(Change::Certain) => client.is_newer(attempt, known, time_of(written)).await?,
            // The matched document may be unchanged, and then the reply need not be newer.
            Ok(Change::Possible) => client.is_newer(attempt, known, time_of(written)).await.map(|_| true)?,
            _ => break,
        };
        if newer
            && (remaining == 0
                || searches_before.is_some_and(|before| client.cluster_times.search_count() == Some(before)))
        {
            break;
        }
        // With the same transaction number, a connection that is in sync returns the actual result.
        searches_before = client.cluster_times.search_count();
        reply = retryable_write.send(client, session).await?;
    }
    checked_out.use_last = matches!(&reply, Err(error) if is_network_error(error)) || retryable_write.retried;
    if let (Some(held), Some(session)) = (&mut explicit, &checked_out.session) {
        advance_times(held, session);
    }
    match reply {
        Ok(_) => checked(client, attempt, expected, reply).await,
        Err(error) => {
            client.check_sync_after(&error).await;
            let mut failed = attempt.failed(&error);
            if (is_retryable_write(&error) || is_selection_timeout(&error))
                && !failed.labels.iter().any(|label| label == "RetryableWriteError")
            {
                failed.labels.push("RetryableWriteError".to_owned());
            }
            Err(failed)
        }
    }
}

/// Returns the reply if it has the expected form.
async fn checked(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    expected: Expected,
    reply: mongodb::error::Result<Document>,
) -> Result<Document> {
    match reply {
        Ok(reply) => match expected.check(&reply) {
            Ok(_) => Ok(reply),
            Err(reason) => Err(client.mismatch(attempt, reason).await),
        },
        Err(error) => {
            client.check_sync_after(&error).await;
            Err(attempt.failed(&error))
        }
    }
}

/// A write with a transaction number.
struct RetryableWrite<'a> {
    database: &'a Database,
    transaction: i64,
    concern: Option<&'a Document>,
    body: Body<'a>,
    /// Whether it was retried after an error.
    retried: bool,
}

impl RetryableWrite<'_> {
    /// Sends the write, and retries it once after a network error or an error with the label
    /// `RetryableWriteError`. Attempts that no server received do not count.
    async fn send(
        &mut self,
        client: &DriverClient,
        session: &mut ClientSession,
    ) -> Result<mongodb::error::Result<Document>> {
        let mut retry = UnsentRetry::new(client);
        let mut first = None;
        loop {
            let body = timed((self.body)(self.concern.cloned(), Some(self.transaction))?);
            let reply = client.limited(false, self.database.run_raw_command(body).session(&mut *session)).await;
            match reply {
                Err(error) if retry.should_resend(&error).await => {}
                Err(error) if is_retried_until_deadline(&error) => {
                    self.retried = true;
                    first = Some(Err(error));
                }
                reply if first.is_none() && reply_is_retryable(&reply) => {
                    self.retried = true;
                    first = Some(reply);
                }
                // The error of the first attempt is more informative than a server selection timeout.
                Err(error) if is_selection_timeout(&error) => return Ok(first.unwrap_or(Err(error))),
                reply => return Ok(reply),
            }
        }
    }
}

fn reply_is_retryable(reply: &mongodb::error::Result<Document>) -> bool {
    match reply {
        Err(error) => is_retryable_write(error) && !TimedOut::of(error).is_some_and(|timed_out| timed_out.at_deadline),
        Ok(reply) => reply
            .get_array("errorLabels")
            .is_ok_and(|labels| labels.iter().any(|label| label.as_str() == Some("RetryableWriteError"))),
    }
}

fn is_no_replica_set(reply: &mongodb::error::Result<Document>) -> bool {
    // IllegalOperation: "Transaction numbers are only allowed on a replica set member or mongos".
    matches!(reply, Err(error) if matches!(&*error.kind, DriverErrorKind::Command(command)
        if command.code == 20 && command.message.starts_with("Transaction numbers")))
}

/// Returns a transaction number that this process has not used before in any session.
fn next_transaction() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1 << 40);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Advances the cluster time and operation time of a session to those of another.
fn advance_times(session: &mut ClientSession, other: &ClientSession) {
    if let Some(time) = other.cluster_time() {
        session.advance_cluster_time(time);
    }
    if let Some(time) = other.operation_time() {
        session.advance_operation_time(time);
    }
}

/// A session in use. Dropping it returns the session to the pool: after a reply or an error, and if
/// the call is cancelled or panics.
pub(super) struct CheckedOutSession<'a> {
    session: Option<ClientSession>,
    sessions: &'a WriteSessions,
    /// Whether to prefer other sessions, since the server may still be executing the command.
    pub(super) use_last: bool,
}

impl CheckedOutSession<'_> {
    /// Returns the session, which is there until this is dropped.
    pub(super) fn session(&mut self) -> Option<&mut ClientSession> {
        self.session.as_mut()
    }
}

impl Drop for CheckedOutSession<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.sessions.put_back(session, self.use_last);
        }
    }
}

impl DriverClient {
    /// Checks out a session for a command that only reads and whose reply is complete. `None` if the server may not
    /// support sessions: then the driver decides. The driver's implicit sessions cost a task each.
    pub(super) async fn check_out_session(
        &self,
        connected: &Connected,
        attempt: &Attempt<'_>,
    ) -> Result<Option<CheckedOutSession<'_>>> {
        if self.write_sessions.are_supported() != Some(true) {
            self.numbers_writes();
            return Ok(None);
        }
        self.own_session(connected, attempt).await.map(Some)
    }

    /// Checks out one of the client's own sessions, or starts one.
    async fn own_session(&self, connected: &Connected, attempt: &Attempt<'_>) -> Result<CheckedOutSession<'_>> {
        let session = match self.write_sessions.take() {
            Some(session) => session,
            None => connected.client.start_session().await.attempted(attempt)?,
        };
        Ok(CheckedOutSession { session: Some(session), sessions: &self.write_sessions, use_last: false })
    }

    /// Returns whether writes carry transaction numbers. They do until the server is known: a standalone server
    /// rejects the first one.
    fn numbers_writes(&self) -> bool {
        if let Some(supported) = self.write_sessions.are_supported() {
            return supported;
        }
        let standalone = self.server_type().map(|kind| kind == ServerType::Standalone);
        match standalone {
            Some(true) => self.write_sessions.set_unsupported(),
            Some(false) => self.write_sessions.supported.store(true, Ordering::Relaxed),
            None => {}
        }
        standalone != Some(true)
    }
}

/// The sessions for writes with transaction numbers of this module. Only [`CheckedOutSession`]
/// removes a session, and returns it.
#[derive(Default)]
pub(super) struct WriteSessions {
    idle: Mutex<VecDeque<ClientSession>>,
    /// Whether the server is known to support transaction numbers.
    supported: AtomicBool,
    /// Whether the server does not support transaction numbers, because it is not a replica set.
    unsupported: AtomicBool,
}

impl WriteSessions {
    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<ClientSession>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<ClientSession> {
        self.idle().pop_back()
    }

    fn put_back(&self, session: ClientSession, use_last: bool) {
        let mut idle = self.idle();
        if use_last { idle.push_front(session) } else { idle.push_back(session) }
    }

    fn set_unsupported(&self) {
        self.unsupported.store(true, Ordering::Relaxed);
    }

    /// Returns whether the server supports transaction numbers; `None` if it is not known yet.
    fn are_supported(&self) -> Option<bool> {
        if self.unsupported.load(Ordering::Relaxed) {
            return Some(false);
        }
        self.supported.load(Ordering::Relaxed).then_some(true)
    }

    /// Ends the idle sessions on the server. They stay in this pool, not in the driver's.
    pub(super) async fn end(&self, client: &Client) {
        let Some(session) = self.take() else { return };
        let mut session = CheckedOutSession { session: Some(session), sessions: self, use_last: true };
        let Some(session) = &mut session.session else { return };
        let mut ids: Vec<Document> = self.idle().iter().map(|idle| idle.id().clone()).collect();
        ids.push(session.id().clone());
        let admin = client.database("admin");
        for ids in ids.chunks(MAX_END_SESSIONS) {
            let ids: Vec<Bson> = ids.iter().cloned().map(Bson::Document).collect();
            let ending = admin
                .run_command(doc! { "endSessions": ids })
                .selection_criteria(SelectionCriteria::from(ReadPreference::PrimaryPreferred { options: None }));
            if ending.session(&mut *session).await.is_err() {
                return;
            }
        }
    }

    /// Drops the sessions. No call may be pending.
    pub(super) fn clear(&self) {
        let sessions = std::mem::take(&mut *self.idle());
        drop(sessions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unsent_commands_are_resent() {
        let io = |kind: io::ErrorKind| DriverError::from(io::Error::from(kind));
        assert!(was_not_sent(&io(io::ErrorKind::BrokenPipe)));
        for sent in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof, io::ErrorKind::TimedOut] {
            assert!(!was_not_sent(&io(sent)));
        }
    }

    #[test]
    fn transaction_numbers_increase() {
        let first = next_transaction();
        assert!(first >= 1 << 40);
        assert!(next_transaction() > first);
    }
}
