//! How a command is sent: the one way of every write, and what is repeated.
//!
//! # Writes
//!
//! [`write`] sends every insert, update, deletion, `findAndModify` and bulk write as a command of
//! our own, not by the driver's actions: the server's whole answer comes back, and can be checked
//! ([`super::answer`]). A write that a server executes once at most under a transaction number
//! (<https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md>)
//! gets one from this module, and is repeated once, as MongoDB's drivers do.
//!
//! The driver gives a command that it is handed no transaction number. So these writes have numbers
//! of their own, from 2^40, where the driver's own numbers count from 0. A server refuses a number
//! that is lower than the last one it saw in a session. Hence the invariant: **a session that ever
//! carried one of our numbers never enters the driver's session pool while a call can be made.** It
//! holds by construction:
//!
//! - The driver takes a session into its pool when its `ClientSession` is dropped, and only then.
//!   (It leaves out those that it marked dirty, after an error on a connection in use, and those that
//!   are about to expire. Neither can be relied on: an error while a connection is being established
//!   marks nothing.)
//! - A session gets a number in [`write`] alone, where [`Lent`] owns it. Whatever ends the call (an
//!   answer, an error, cancellation, a panic) drops the `Lent`, which puts the session back into
//!   [`OwnSessions`]; nothing but `Lent` takes one out.
//! - [`OwnSessions`] drops its sessions when the [`DriverClient`] is dropped, to which every call holds
//!   a reference. Closing a client ends them on the server by id, and keeps them.
//!
//! So a session is used again after an error, and after the server has expired it. Both are safe: the
//! numbers of a session only grow, and a server creates a session for an id that it does not know.
//! There are as many as were ever in use at once.
//!
//! # Repeats
//!
//! [`Repeats`] sends any command again of which no server can have received the whole, as often as
//! the server selection timeout allows: it changes nothing what the command does. The driver repeats
//! reads, `commitTransaction` and `abortTransaction` itself, once. [`is_retryable_read`] is for
//! commands that it does not know to be reads.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind};
use mongodb::options::{ReadPreference, SelectionCriteria};
use mongodb::{Client, ClientSession, Database};

use super::answer::{Change, Expected, time_of};
use super::concern::write_concern_document;
use super::error::{Attempt, Attempted};
use super::session::Session;
use super::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind, Result};

/// The error codes after which a read may succeed if it is sent again
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

/// How often an answer that may belong to another request is asked for again.
const MAX_VERIFICATIONS: usize = 5;

/// The most session ids in one `endSessions`.
const MAX_ENDED_AT_ONCE: usize = 10_000;

/// Whether a command that only reads may succeed if it is sent again.
pub(super) fn is_retryable_read(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::AutoReconnect | ErrorKind::NetworkTimeout | ErrorKind::NotPrimary)
        || error.code.is_some_and(|code| RETRYABLE_CODES.contains(&code))
}

/// Whether a write with a transaction number may succeed if it is sent again.
fn is_retryable_write(error: &DriverError) -> bool {
    is_broken(error) || error.contains_label("RetryableWriteError")
}

/// Whether the connection broke.
fn is_broken(error: &DriverError) -> bool {
    matches!(&*error.kind, DriverErrorKind::Io(_) | DriverErrorKind::ConnectionPoolCleared { .. })
}

fn is_selection(error: &DriverError) -> bool {
    matches!(&*error.kind, DriverErrorKind::ServerSelection { .. })
}

/// Whether no server can have received the whole command, in any attempt of the driver's to send it.
pub(super) fn was_not_sent(error: &DriverError) -> bool {
    match &*error.kind {
        // Only sending gives this error; receiving ends with `UnexpectedEof` or `ConnectionReset`. Of the
        // commands that the driver sends again by itself, none does harm if it is executed twice.
        DriverErrorKind::Io(error) => error.kind() == io::ErrorKind::BrokenPipe,
        // The pool was cleared while the command waited for a connection. If an earlier attempt was sent,
        // the driver returns that attempt's error. (A message that begins with "Connection to" is about a
        // connection in use.)
        DriverErrorKind::ConnectionPoolCleared { message, .. } => message.starts_with("Connection pool for "),
        _ => false,
    }
}

/// Repeats a command that was not sent.
pub(super) struct Repeats {
    until: Instant,
    wait: Duration,
}

impl Repeats {
    const FIRST_WAIT: Duration = Duration::from_millis(2);
    const MAX_WAIT: Duration = Duration::from_millis(100);

    /// For a command that is about to be sent: repeats it for the server selection timeout.
    pub(super) fn new(client: &DriverClient) -> Self {
        Self { until: Instant::now() + client.settings().server_selection_timeout, wait: Self::FIRST_WAIT }
    }

    /// Whether to send the command again after this error, now.
    pub(super) async fn again(&mut self, error: &DriverError) -> bool {
        if !was_not_sent(error) || Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(Self::MAX_WAIT);
        true
    }
}

/// Writes the command, with a write concern and a transaction number where it has them.
type Body<'a> = &'a (dyn Fn(Option<Document>, Option<i64>) -> Result<RawDocumentBuf> + Sync);

/// A command that writes.
pub(super) struct WriteCommand<'a> {
    /// The command.
    pub(super) body: Body<'a>,
    /// Whether a server executes it once under a transaction number.
    pub(super) retryable: bool,
    /// What its answer looks like.
    pub(super) expected: Expected,
}

/// Sends a command that writes, and returns the server's answer, in which statements may have been refused.
///
/// # Errors
/// Those of any command; `Protocol` where the answer belongs to another request.
pub(super) async fn write(
    client: &DriverClient,
    namespace: &Namespace,
    attempt: &Attempt<'_>,
    session: Option<&Session>,
    command: WriteCommand<'_>,
) -> Result<Document> {
    let WriteCommand { body, retryable, expected } = command;
    let connected = client.connected(attempt).await?;
    let database = connected.client.database(&namespace.database);
    let concern = namespace.concerns.write_concern.as_ref().or(connected.client.write_concern());
    let concern = concern.and_then(write_concern_document);
    let mut explicit = match session {
        Some(session) => Some(session.hold(client, attempt).await?),
        None => None,
    };
    let in_snapshot = session.is_some_and(|session| session.in_transaction() || session.is_snapshot());
    if in_snapshot || !(retryable && connected.retry_writes) || client.own_sessions.are_refused() {
        let known = client.times.newest();
        let mut repeats = Repeats::new(client);
        let answer = loop {
            let concern = concern.clone().filter(|_| !in_snapshot);
            let sending = database.run_raw_command(body(concern, None)?);
            let answer = match &mut explicit {
                Some(held) => sending.session(&mut **held).await,
                None => sending.await,
            };
            match answer {
                Err(error) if repeats.again(&error).await => {}
                answer => break fitting(client, attempt, expected, answer).await?,
            }
        };
        match expected.check(&answer) {
            Ok(Change::Certain) if !in_snapshot => client.check_time(attempt, known, time_of(&answer)).await?,
            Ok(Change::Possible) if !in_snapshot => {
                let _newer = client.is_newer(attempt, known, time_of(&answer)).await?;
            }
            _ => {}
        }
        return Ok(answer);
    }
    let own = match client.own_sessions.take() {
        Some(own) => own,
        None => connected.client.start_session().await.attempted(attempt)?,
    };
    let mut own = Lent { own: Some(own), sessions: &client.own_sessions, use_last: false };
    let Some(session) = &mut own.own else {
        return Err(Error::new(ErrorKind::InvalidOperation, "a session was lost"));
    };
    if let Some(held) = &explicit {
        follow(session, held);
    }
    let (known, mut undoubted) = (client.times.newest(), client.times.undoubted());
    let transaction = next_transaction();
    let mut numbered = Numbered { database: &database, transaction, concern: concern.as_ref(), body, repeated: false };
    let mut answer = numbered.send(client, session).await?;
    if is_no_replica_set(&answer) {
        client.own_sessions.refuse();
        let answer = database.run_raw_command(body(concern, None)?).await;
        return fitting(client, attempt, expected, answer).await;
    }
    for left in (0..MAX_VERIFICATIONS).rev() {
        let Ok(written) = &answer else { break };
        let newer = match expected.check(written) {
            Ok(Change::Certain) if left == 0 => {
                client.check_time(attempt, known, time_of(written)).await?;
                true
            }
            Ok(Change::Certain) => client.is_newer(attempt, known, time_of(written)).await?,
            // What was found may not have been changed: then the answer need not be newer.
            Ok(Change::Possible) => client.is_newer(attempt, known, time_of(written)).await.map(|_| true)?,
            _ => break,
        };
        if newer && (left == 0 || undoubted.is_some_and(|before| client.times.undoubted() == Some(before))) {
            break;
        }
        // Under the same number, a connection that is in step gets the true answer.
        undoubted = client.times.undoubted();
        answer = numbered.send(client, session).await?;
    }
    own.use_last = matches!(&answer, Err(error) if is_broken(error)) || numbered.repeated;
    if let (Some(held), Some(session)) = (&mut explicit, &own.own) {
        follow(held, session);
    }
    match answer {
        Ok(_) => fitting(client, attempt, expected, answer).await,
        Err(error) => {
            client.doubt(&error).await;
            let mut failed = attempt.failed(&error);
            if (is_retryable_write(&error) || is_selection(&error))
                && !failed.labels.iter().any(|label| label == "RetryableWriteError")
            {
                failed.labels.push("RetryableWriteError".to_owned());
            }
            Err(failed)
        }
    }
}

/// The answer, if it fits what was sent.
async fn fitting(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    expected: Expected,
    answer: mongodb::error::Result<Document>,
) -> Result<Document> {
    match answer {
        Ok(answer) => match expected.check(&answer) {
            Ok(_) => Ok(answer),
            Err(wrong) => Err(client.misfit(attempt, wrong).await),
        },
        Err(error) => {
            client.doubt(&error).await;
            Err(attempt.failed(&error))
        }
    }
}

/// A write with a transaction number.
struct Numbered<'a> {
    database: &'a Database,
    transaction: i64,
    concern: Option<&'a Document>,
    body: Body<'a>,
    /// Whether it was repeated.
    repeated: bool,
}

impl Numbered<'_> {
    /// Sends it; once more where its connection broke, or the server says that this may help. An
    /// attempt that was not sent does not count.
    async fn send(
        &mut self,
        client: &DriverClient,
        session: &mut ClientSession,
    ) -> Result<mongodb::error::Result<Document>> {
        let mut repeats = Repeats::new(client);
        let mut first = None;
        loop {
            let body = (self.body)(self.concern.cloned(), Some(self.transaction))?;
            let answer = self.database.run_raw_command(body).session(&mut *session).await;
            match answer {
                Err(error) if repeats.again(&error).await => {}
                answer if first.is_none() && answer_is_retryable(&answer) => {
                    self.repeated = true;
                    first = Some(answer);
                }
                // The error of the first attempt tells more than that there is no server now.
                Err(error) if is_selection(&error) => return Ok(first.unwrap_or(Err(error))),
                answer => return Ok(answer),
            }
        }
    }
}

fn answer_is_retryable(answer: &mongodb::error::Result<Document>) -> bool {
    match answer {
        Err(error) => is_retryable_write(error),
        Ok(answer) => answer
            .get_array("errorLabels")
            .is_ok_and(|labels| labels.iter().any(|label| label.as_str() == Some("RetryableWriteError"))),
    }
}

fn is_no_replica_set(answer: &mongodb::error::Result<Document>) -> bool {
    // IllegalOperation: "Transaction numbers are only allowed on a replica set member or mongos".
    matches!(answer, Err(error) if matches!(&*error.kind, DriverErrorKind::Command(command)
        if command.code == 20 && command.message.starts_with("Transaction numbers")))
}

/// A transaction number that was not used before in this process, in any session.
fn next_transaction() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1 << 40);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Advances the times of one session to those of another.
fn follow(session: &mut ClientSession, other: &ClientSession) {
    if let Some(time) = other.cluster_time() {
        session.advance_cluster_time(time);
    }
    if let Some(time) = other.operation_time() {
        session.advance_operation_time(time);
    }
}

/// A session in use. Dropping it gives it back: after an answer or an error, and where its call is
/// cancelled or panics.
struct Lent<'a> {
    own: Option<ClientSession>,
    sessions: &'a OwnSessions,
    /// Whether to use others before it, since the server may still execute what its connection lost.
    use_last: bool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            self.sessions.give_back(own, self.use_last);
        }
    }
}

/// The sessions whose writes have transaction numbers of this module. Only [`Lent`] takes one out,
/// and brings it back.
#[derive(Default)]
pub(super) struct OwnSessions {
    idle: Mutex<VecDeque<ClientSession>>,
    /// Whether the server has no transaction numbers: it is no replica set.
    refused: AtomicBool,
}

impl OwnSessions {
    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<ClientSession>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<ClientSession> {
        self.idle().pop_back()
    }

    fn give_back(&self, own: ClientSession, use_last: bool) {
        let mut idle = self.idle();
        if use_last { idle.push_front(own) } else { idle.push_back(own) }
    }

    fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    fn are_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Ends those that are not in use on the server. They stay here, where no other call gets them.
    pub(super) async fn end(&self, client: &Client) {
        let Some(own) = self.take() else { return };
        let mut own = Lent { own: Some(own), sessions: self, use_last: true };
        let Some(session) = &mut own.own else { return };
        let mut ids: Vec<Document> = self.idle().iter().map(|idle| idle.id().clone()).collect();
        ids.push(session.id().clone());
        let admin = client.database("admin");
        for ids in ids.chunks(MAX_ENDED_AT_ONCE) {
            let ids: Vec<Bson> = ids.iter().cloned().map(Bson::Document).collect();
            let ending = admin
                .run_command(doc! { "endSessions": ids })
                .selection_criteria(SelectionCriteria::from(ReadPreference::PrimaryPreferred { options: None }));
            if ending.session(&mut *session).await.is_err() {
                return;
            }
        }
    }

    /// Drops them, when no call can be in flight any more.
    pub(super) fn clear(&self) {
        let sessions = std::mem::take(&mut *self.idle());
        drop(sessions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_sent_is_repeated() {
        let io = |kind: io::ErrorKind| DriverError::from(io::Error::from(kind));
        assert!(was_not_sent(&io(io::ErrorKind::BrokenPipe)));
        for sent in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof, io::ErrorKind::TimedOut] {
            assert!(!was_not_sent(&io(sent)));
        }
    }

    #[test]
    fn transaction_numbers_only_grow() {
        let first = next_transaction();
        assert!(first >= 1 << 40);
        assert!(next_transaction() > first);
    }
}
