//! Many writes to one collection in few commands, as PyMongo's `bulk_write`
//! and `insert_many` send them.
//!
//! The driver gives a command that it is handed no transaction number, so that these writes have numbers of their own,
//! from 2^40. A server refuses a number that is lower than the last that it saw in a session, and the driver's own count
//! from 0. Hence the invariant: **a session that ever carried one of our numbers never comes into the driver's pool while
//! a call can be made.** It holds by construction:
//!
//! - The driver takes a session into its pool when its `ClientSession` is dropped, and only then. (It leaves out those that
//!   it marked itself, after an error on a connection in use, and those that are about to expire by the timeout that the
//!   server tells. Neither can be relied on: an error while a connection is being made marks nothing.)
//! - A session gets a number in [`send`] alone, where [`Lent`] owns it. Whatever ends the call (an answer, an error,
//!   cancellation, a panic) drops the `Lent`, which puts the session back into [`BulkSessions`]; nothing but `Lent` takes
//!   one out.
//! - [`BulkSessions`] drops its sessions when the [`DriverClient`] is dropped, which every call holds on to. Closing a
//!   client ends them on the server by id, and keeps them.
//!
//! So they are used again after an error, and after the server has forgotten them. Both are safe: the numbers of a session
//! only grow, and a server makes a session of any id that it does not know. There are as many as were ever in use at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use bson::{Bson, Document, RawBsonRef, RawDocumentBuf, doc};
use mongodb::options::{ReadPreference, SelectionCriteria};
use mongodb::{Client, ClientSession, Database};

use super::answer::{Expected, Repeats, time_of};
use super::concern::write_concern_document;
use super::error::{Attempt, Attempted, is_retryable_write};
use super::session::Session;
use super::{DriverClient, Namespace};
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::error::{Error, ErrorKind, Result, excerpt};

/// Which command a statement goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `insert`: the statement is the document.
    Insert,
    /// `update`: the statement is `{q, u, multi, upsert, …}`.
    Update,
    /// `delete`: the statement is `{q, limit, …}`.
    Delete,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Insert => ("insert", "documents"),
            Self::Update => ("update", "updates"),
            Self::Delete => ("delete", "deletes"),
        }
    }
}

/// One write of many.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Which command it goes into.
    pub kind: Kind,
    /// The statement.
    pub document: RawDocumentBuf,
    /// Whether the server may do it again without harm.
    pub retryable: bool,
}

impl Statement {
    /// An insert.
    pub(super) fn insert(document: RawDocumentBuf) -> Self {
        Self { kind: Kind::Insert, document, retryable: true }
    }
}

/// How many writes are done.
#[derive(Debug, Clone, Default)]
pub struct BulkOptions {
    /// Whether to stop at the first that fails.
    pub ordered: bool,
    /// More fields of each command: `bypassDocumentValidation`, `comment`, `let`.
    pub more: Document,
}

/// What many writes did: PyMongo's `bulk_api_result`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// How many documents were inserted.
    pub inserted: i64,
    /// How many matched an update.
    pub matched: i64,
    /// How many were changed.
    pub modified: i64,
    /// How many were deleted.
    pub removed: i64,
    /// `{index, _id}` of each that was inserted by an update.
    pub upserted: Vec<Document>,
    write_errors: Vec<Document>,
    write_concern_errors: Vec<Document>,
}

impl Done {
    /// As PyMongo has it.
    pub fn document(&self) -> Document {
        doc! {
            "writeErrors": self.write_errors.clone(),
            "writeConcernErrors": self.write_concern_errors.clone(),
            "nInserted": number(self.inserted),
            "nUpserted": number(self.upserted.len().try_into().unwrap_or(i64::MAX)),
            "nMatched": number(self.matched),
            "nModified": number(self.modified),
            "nRemoved": number(self.removed),
            "upserted": self.upserted.clone(),
        }
    }

    /// Takes over what a command said; `places` are its statements'.
    fn add(&mut self, kind: Kind, places: &[usize], answer: &Document) {
        let number = |name: &str| answer.get(name).and_then(as_number).unwrap_or(0);
        let place = |document: &Document| {
            let index = document.get("index").and_then(as_number).and_then(|index| usize::try_from(index).ok());
            let place = index.and_then(|index| places.get(index)).copied().unwrap_or(usize::MAX);
            i32::try_from(place).unwrap_or(i32::MAX)
        };
        match kind {
            Kind::Insert => self.inserted += number("n"),
            Kind::Delete => self.removed += number("n"),
            Kind::Update => {
                let upserted = answer.get_array("upserted").map(Vec::as_slice).unwrap_or_default();
                for upserted in upserted.iter().filter_map(Bson::as_document) {
                    let id = upserted.get("_id").cloned().unwrap_or(Bson::Null);
                    self.upserted.push(doc! { "index": place(upserted), "_id": id });
                }
                self.matched += number("n") - i64::try_from(upserted.len()).unwrap_or(0);
                self.modified += number("nModified");
            }
        }
        for error in answer.get_array("writeErrors").into_iter().flatten().filter_map(Bson::as_document) {
            let mut error = error.clone();
            error.insert("index", place(&error));
            self.write_errors.push(error);
        }
        self.write_concern_errors.extend(answer.get_document("writeConcernError").ok().cloned());
    }

    fn into_result(mut self, attempt: &Attempt<'_>, labels: Vec<String>) -> Result<Self> {
        if self.write_errors.is_empty() && self.write_concern_errors.is_empty() {
            return Ok(self);
        }
        self.write_errors.sort_by_key(|error| error.get_i32("index").unwrap_or(i32::MAX));
        let first = self.write_errors.first().or(self.write_concern_errors.first());
        let first = first.and_then(|error| error.get_str("errmsg").ok()).unwrap_or_default();
        let message = format!(
            "batch op errors occurred: {} refused; the first error: {} ({attempt})",
            self.write_errors.len(),
            excerpt(first, 500),
        );
        let mut error = Error::new(ErrorKind::BulkWrite, attempt.settings.without_secrets(&message))
            .with_code(Some(65))
            .with_details(RawDocumentBuf::try_from(&self.document()).ok());
        error.labels = labels;
        Err(error)
    }
}

fn number(count: i64) -> Bson {
    i32::try_from(count).map_or(Bson::Int64(count), Bson::Int32)
}

fn as_number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

/// The most that goes into one command: its body is a document, with room for
/// the command itself.
const COMMAND_BYTES: usize = MAX_DOCUMENT_SIZE;
const COMMAND_STATEMENTS: usize = 100_000;

/// Statements of one kind that go as one command: their places.
struct Run {
    kind: Kind,
    places: Vec<usize>,
}

/// The commands that the statements make: in their order, or by their kind.
fn runs(statements: &[Statement], ordered: bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut bytes = 0;
    let mut add = |place: usize, statement: &Statement| {
        // Its length, its type, and its place as text.
        let size = statement.document.as_bytes().len() + 12;
        match runs.last_mut() {
            Some(run)
                if run.kind == statement.kind
                    && bytes + size <= COMMAND_BYTES
                    && run.places.len() < COMMAND_STATEMENTS =>
            {
                run.places.push(place);
                bytes += size;
            }
            _ => {
                runs.push(Run { kind: statement.kind, places: vec![place] });
                bytes = size;
            }
        }
    };
    if ordered {
        statements.iter().enumerate().for_each(|(place, statement)| add(place, statement));
    } else {
        for kind in Kind::ALL {
            let of_kind = statements.iter().enumerate().filter(|(_, statement)| statement.kind == kind);
            of_kind.for_each(|(place, statement)| add(place, statement));
        }
    }
    runs
}

/// Does many writes.
///
/// # Errors
/// `BulkWrite`, with PyMongo's `details` but for each error's `op`, where some
/// were refused; else those of any command.
pub async fn bulk_write(
    client: &DriverClient,
    namespace: &Namespace,
    statements: &[Statement],
    options: &BulkOptions,
    session: Option<&Session>,
) -> Result<Done> {
    let attempt = Attempt { doing: "write to", namespace, settings: client.settings() };
    for statement in statements {
        within_limit(&statement.document, &attempt)?;
    }
    let mut done = Done::default();
    let mut labels = Vec::new();
    for run in runs(statements, options.ordered) {
        let retryable = run.places.iter().all(|place| statements[*place].retryable);
        let command = Command { kind: run.kind, places: &run.places, statements, options };
        let body = |concern: Option<Document>, transaction: Option<i64>| command.body(namespace, concern, transaction);
        let answer = send(client, namespace, &attempt, session, retryable, command.expected(), &body).await?;
        done.add(run.kind, &run.places, &answer);
        let given = answer.get_array("errorLabels").into_iter().flatten().filter_map(Bson::as_str);
        labels.extend(given.map(str::to_owned));
        if options.ordered && !done.write_errors.is_empty() {
            break;
        }
    }
    done.into_result(&attempt, labels)
}

/// Refuses a document that MongoDB would refuse.
pub(super) fn within_limit(document: &RawDocumentBuf, attempt: &Attempt<'_>) -> Result<()> {
    let size = document.as_bytes().len();
    if size > MAX_DOCUMENT_SIZE {
        return Err(Error::new(
            ErrorKind::DocumentTooLarge,
            format!(
                "BSON document too large ({size} bytes): MongoDB supports BSON document sizes up to {MAX_DOCUMENT_SIZE} \
                 bytes ({attempt}); split it, or keep large files in GridFS"
            ),
        ));
    }
    Ok(())
}

struct Command<'a> {
    kind: Kind,
    places: &'a [usize],
    statements: &'a [Statement],
    options: &'a BulkOptions,
}

impl Command<'_> {
    /// What its answer must look like.
    fn expected(&self) -> Expected {
        let count = self.places.len();
        match self.kind {
            Kind::Insert => Expected::Insert { count, ordered: self.options.ordered },
            Kind::Update => Expected::Update(count),
            Kind::Delete => Expected::Delete(count),
        }
    }

    /// The command, its fields in PyMongo's order.
    fn body(
        &self,
        namespace: &Namespace,
        concern: Option<Document>,
        transaction: Option<i64>,
    ) -> Result<RawDocumentBuf> {
        let (name, field) = self.kind.names();
        let mut head = doc! { name: &namespace.collection, "ordered": self.options.ordered };
        if let Some(concern) = concern {
            head.insert("writeConcern", concern);
        }
        head.extend(self.options.more.clone());
        if let Some(transaction) = transaction {
            head.insert("txnNumber", transaction);
        }
        with_array(&raw(&head)?, field, self.places.iter().map(|place| &self.statements[*place].document))
    }
}

fn raw(document: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidBson, error.to_string())
}

/// A command with an array of documents at its end; each document is copied once.
fn with_array<'a>(
    head: &RawDocumentBuf,
    field: &str,
    documents: impl Iterator<Item = &'a RawDocumentBuf> + Clone,
) -> Result<RawDocumentBuf> {
    // An element: its type, its name (a place, as text), and a zero.
    let size: usize = documents.clone().map(|document| document.as_bytes().len() + 12).sum();
    let mut out = BsonWriter::with_capacity(head.as_bytes().len() + field.len() + size + 16);
    let root = out.begin_root();
    out.elements(head)?;
    let array = out.begin(Key::Name(field), true);
    for (place, document) in documents.enumerate() {
        out.value(Key::Index(place), RawBsonRef::Document(document), document.as_bytes())?;
    }
    out.end(array);
    out.end(root);
    RawDocumentBuf::from_bytes(out.buf).map_err(unreadable)
}

/// A command that writes, made with a write concern and a transaction number.
type Body<'a> = &'a (dyn Fn(Option<Document>, Option<i64>) -> Result<RawDocumentBuf> + Sync);

/// How often an answer that may be another's is asked for again.
const SENT_AGAIN: usize = 5;

/// Sends a command that writes; once more where that is safe and may help.
async fn send(
    client: &DriverClient,
    namespace: &Namespace,
    attempt: &Attempt<'_>,
    session: Option<&Session>,
    retryable: bool,
    expected: Expected,
    body: Body<'_>,
) -> Result<Document> {
    let connected = client.connected(attempt).await?;
    let database = connected.client.database(&namespace.database);
    let concern = namespace.concerns.write_concern.as_ref().or(connected.client.write_concern());
    let concern = concern.and_then(write_concern_document);
    let mut explicit = match session {
        Some(session) => Some(session.hold(client, attempt).await?),
        None => None,
    };
    if let Some(held) = &mut explicit
        && session.is_some_and(|session| session.in_transaction() || session.is_snapshot())
    {
        let answer = database.run_raw_command(body(None, None)?).session(&mut **held).await;
        return fitting(client, attempt, expected, answer).await;
    }
    if !(retryable && connected.retry_writes) || client.bulk_sessions.are_refused() {
        let mut repeats = Repeats::new(client);
        loop {
            let sending = database.run_raw_command(body(concern.clone(), None)?);
            let answer = match &mut explicit {
                Some(held) => sending.session(&mut **held).await,
                None => sending.await,
            };
            match answer {
                Err(error) if repeats.again(&error).await => {}
                answer => return fitting(client, attempt, expected, answer).await,
            }
        }
    }
    let own = match client.bulk_sessions.take() {
        Some(own) => own,
        None => connected.client.start_session().await.attempted(attempt)?,
    };
    let mut own = Lent { own: Some(own), sessions: &client.bulk_sessions, last: false };
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
        client.bulk_sessions.refuse();
        let answer = database.run_raw_command(body(concern, None)?).await;
        return fitting(client, attempt, expected, answer).await;
    }
    for left in (0..SENT_AGAIN).rev() {
        let Ok(told) = &answer else { break };
        if expected.check(told) != Ok(true) {
            break;
        }
        let newer = match left {
            0 => client.check_time(attempt, known, time_of(told)).await.map(|()| true)?,
            _ => client.is_newer(attempt, known, time_of(told)).await?,
        };
        if newer && (left == 0 || undoubted.is_some_and(|before| client.times.undoubted() == Some(before))) {
            break;
        }
        // The same number gets the true answer from a connection that is in step.
        undoubted = client.times.undoubted();
        answer = numbered.send(client, session).await?;
    }
    own.last = matches!(&answer, Err(error) if is_broken(error)) || numbered.repeated;
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

/// An answer that fits what was sent.
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
    /// Whether it was sent twice.
    repeated: bool,
}

impl Numbered<'_> {
    /// Sends it; once more where its connection broke, or the server says that this may help. What was never sent does
    /// not count.
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
                // What the first attempt met with tells more than that there is no server now.
                Err(error) if is_selection(&error) => return Ok(first.unwrap_or(Err(error))),
                answer => return Ok(answer),
            }
        }
    }
}

/// Writes to any collections, in few commands (`bulkWrite`, MongoDB 8.0).
pub struct ClientBulk {
    /// `{insert: place, document}` and the like; places are of the namespaces.
    pub operations: Vec<Statement>,
    /// The collections.
    pub namespaces: Vec<String>,
    /// How they are done.
    pub options: BulkOptions,
    /// Whether each operation's result is wanted.
    pub verbose: bool,
}

/// The answers to a [`ClientBulk`].
#[derive(Debug, Default)]
pub struct ClientBulkDone {
    /// `nInserted`, `nUpserted`, `nMatched`, `nModified`, `nDeleted`.
    pub counts: Document,
    /// What came of operations, each with its `idx`.
    pub results: Vec<Document>,
    /// Whether any operation did not fail.
    pub successful: bool,
    /// Write concerns that were not met.
    pub write_concern_errors: Vec<Document>,
}

/// Writes to any collections.
///
/// # Errors
/// Those of any command; what came of an operation is no error here.
pub async fn client_bulk_write(
    client: &DriverClient,
    admin: &Namespace,
    bulk: &ClientBulk,
    session: Option<&Session>,
) -> Result<ClientBulkDone> {
    let attempt = Attempt { doing: "write to", namespace: admin, settings: client.settings() };
    let namespaces: Vec<RawDocumentBuf> =
        bulk.namespaces.iter().map(|namespace| raw(&doc! { "ns": namespace })).collect::<Result<_>>()?;
    let overhead: usize = namespaces.iter().map(|namespace| namespace.as_bytes().len() + 12).sum();
    let mut done = ClientBulkDone::default();
    let mut start = 0;
    while start < bulk.operations.len() {
        let mut bytes = overhead;
        let fitting = bulk.operations[start..].iter().take_while(|operation| {
            bytes += operation.document.as_bytes().len() + 12;
            bytes <= COMMAND_BYTES
        });
        let end = start + fitting.count().clamp(1, COMMAND_STATEMENTS);
        let operations = &bulk.operations[start..end];
        for operation in operations {
            within_limit(&operation.document, &attempt)?;
        }
        let body = |concern: Option<Document>, transaction: Option<i64>| {
            let mut head = doc! { "bulkWrite": 1, "errorsOnly": !bulk.verbose, "ordered": bulk.options.ordered };
            head.extend(bulk.options.more.clone());
            if let Some(concern) = concern {
                head.insert("writeConcern", concern);
            }
            if let Some(transaction) = transaction {
                head.insert("txnNumber", transaction);
            }
            let command = with_array(&raw(&head)?, "ops", operations.iter().map(|operation| &operation.document))?;
            with_array(&command, "nsInfo", namespaces.iter())
        };
        let retryable = operations.iter().all(|operation| operation.retryable);
        let answer = send(client, admin, &attempt, session, retryable, Expected::Bulk, &body).await?;
        let count = i64::try_from(operations.len()).unwrap_or(i64::MAX);
        let refused = done.add(start, count, answer, client, &attempt, session).await?;
        if refused && bulk.options.ordered {
            break;
        }
        start = end;
    }
    Ok(done)
}

impl ClientBulkDone {
    /// Takes over an answer; gives whether an operation was refused.
    async fn add(
        &mut self,
        start: usize,
        count: i64,
        answer: Document,
        client: &DriverClient,
        attempt: &Attempt<'_>,
        session: Option<&Session>,
    ) -> Result<bool> {
        for name in ["nInserted", "nUpserted", "nMatched", "nModified", "nDeleted"] {
            let before = self.counts.get(name).and_then(as_number).unwrap_or(0);
            self.counts.insert(name, number(before + answer.get(name).and_then(as_number).unwrap_or(0)));
        }
        self.write_concern_errors.extend(answer.get_document("writeConcernError").ok().cloned());
        let errors = answer.get("nErrors").and_then(as_number).unwrap_or(0);
        let refused = errors > 0;
        self.successful |= errors < count;
        let mut answer = answer;
        let mut field = "firstBatch";
        while let Ok(cursor) = answer.get_document("cursor") {
            for result in cursor.get_array(field).into_iter().flatten().filter_map(Bson::as_document) {
                let mut result = result.clone();
                let place = result.get("idx").and_then(as_number).unwrap_or(0);
                result.insert("idx", number(place + i64::try_from(start).unwrap_or(0)));
                self.results.push(result);
            }
            let id = cursor.get("id").and_then(as_number).unwrap_or(0);
            if id == 0 {
                break;
            }
            let collection = cursor.get_str("ns").ok().and_then(|ns| ns.split_once('.')).map_or("", |(_, name)| name);
            let command = doc! { "getMore": id, "collection": collection };
            let database = client.database("admin", attempt).await?;
            answer = match session {
                Some(session) => {
                    let mut held = session.hold(client, attempt).await?;
                    database.run_command(command).session(&mut *held).await
                }
                None => database.run_command(command).await,
            }
            .attempted(attempt)?;
            field = "nextBatch";
        }
        Ok(refused)
    }
}

/// A transaction number that was not used before, in any session: a server takes a write of the same number for the
/// same write. The driver's own count from 0, and it may have used a session before it came here.
fn next_transaction() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1 << 40);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Has one session be no earlier than another.
fn follow(session: &mut ClientSession, other: &ClientSession) {
    if let Some(time) = other.cluster_time() {
        session.advance_cluster_time(time);
    }
    if let Some(time) = other.operation_time() {
        session.advance_operation_time(time);
    }
}

/// A session in use. It comes back here when it is dropped: after an answer or an error, and where its call is cancelled
/// or panics.
struct Lent<'a> {
    own: Option<ClientSession>,
    sessions: &'a BulkSessions,
    /// Whether others are to be used before it, since the server may still be at work on what its connection lost.
    last: bool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            self.sessions.give_back(own, self.last);
        }
    }
}

/// Whether the connection broke.
fn is_broken(error: &mongodb::error::Error) -> bool {
    use mongodb::error::ErrorKind as Driver;
    matches!(&*error.kind, Driver::Io(_) | Driver::ConnectionPoolCleared { .. })
}

/// The sessions whose writes have transaction numbers of this module. Nothing takes one out but [`Lent`], which brings it
/// back.
#[derive(Default)]
pub(super) struct BulkSessions {
    idle: Mutex<VecDeque<ClientSession>>,
    /// Whether the server has no transaction numbers: it is no replica set.
    refused: AtomicBool,
}

/// The most session ids in one `endSessions`.
const ENDED_AT_ONCE: usize = 10_000;

impl BulkSessions {
    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<ClientSession>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<ClientSession> {
        self.idle().pop_back()
    }

    fn give_back(&self, own: ClientSession, last: bool) {
        let mut idle = self.idle();
        if last { idle.push_front(own) } else { idle.push_back(own) }
    }

    fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    fn are_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Has the server end those that are not in use. They stay here, where no one else gets them.
    pub(super) async fn end(&self, client: &Client) {
        let Some(own) = self.take() else { return };
        let mut own = Lent { own: Some(own), sessions: self, last: true };
        let Some(session) = &mut own.own else { return };
        let mut ids: Vec<Document> = self.idle().iter().map(|idle| idle.id().clone()).collect();
        ids.push(session.id().clone());
        let admin = client.database("admin");
        for ids in ids.chunks(ENDED_AT_ONCE) {
            let ending = admin
                .run_command(doc! { "endSessions": ids })
                .selection_criteria(SelectionCriteria::from(ReadPreference::PrimaryPreferred { options: None }));
            if ending.session(&mut *session).await.is_err() {
                return;
            }
        }
    }

    /// Lets them go, when no call can be under way any more.
    pub(super) fn clear(&self) {
        let sessions = std::mem::take(&mut *self.idle());
        drop(sessions);
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

fn is_selection(error: &mongodb::error::Error) -> bool {
    matches!(&*error.kind, mongodb::error::ErrorKind::ServerSelection { .. })
}

fn is_no_replica_set(answer: &mongodb::error::Result<Document>) -> bool {
    use mongodb::error::ErrorKind as Driver;
    // IllegalOperation: "Transaction numbers are only allowed on a replica set member or mongos".
    matches!(answer, Err(error) if matches!(&*error.kind, Driver::Command(command)
        if command.code == 20 && command.message.starts_with("Transaction numbers")))
}

/// Inserts documents in one command, which they must fit in; the server's answer,
/// in which some may have been refused.
pub(super) async fn insert_once(
    client: &DriverClient,
    namespace: &Namespace,
    statements: &[Statement],
    options: &BulkOptions,
    session: Option<&Session>,
) -> Result<Document> {
    let attempt = Attempt { doing: "insert into", namespace, settings: client.settings() };
    let places: Vec<usize> = (0..statements.len()).collect();
    let command = Command { kind: Kind::Insert, places: &places, statements, options };
    let body = |concern: Option<Document>, transaction: Option<i64>| command.body(namespace, concern, transaction);
    send(client, namespace, &attempt, session, true, command.expected(), &body).await
}

/// The statements of an insert.
pub(super) fn inserts(documents: Vec<RawDocumentBuf>) -> Vec<Statement> {
    documents.into_iter().map(Statement::insert).collect()
}

/// Inserts documents; as [`bulk_write`].
///
/// # Errors
/// As [`bulk_write`].
pub async fn insert_many(
    client: &DriverClient,
    namespace: &Namespace,
    documents: Vec<RawDocumentBuf>,
    options: &BulkOptions,
    session: Option<&Session>,
) -> Result<()> {
    let statements: Vec<_> =
        documents.into_iter().map(|document| Statement { kind: Kind::Insert, document, retryable: true }).collect();
    bulk_write(client, namespace, &statements, options, session).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(kind: Kind, size: usize) -> Statement {
        Statement { kind, document: bson::rawdoc! { "t": "x".repeat(size) }, retryable: true }
    }

    fn shape(statements: &[Statement], ordered: bool) -> Vec<(Kind, Vec<usize>)> {
        runs(statements, ordered).into_iter().map(|run| (run.kind, run.places)).collect()
    }

    #[test]
    fn statements_keep_their_order_or_go_by_kind() {
        use Kind::{Delete, Insert, Update};
        let statements: Vec<_> =
            [Insert, Insert, Update, Delete, Insert].into_iter().map(|kind| statement(kind, 1)).collect();
        assert_eq!(
            shape(&statements, true),
            [(Insert, vec![0, 1]), (Update, vec![2]), (Delete, vec![3]), (Insert, vec![4])]
        );
        assert_eq!(shape(&statements, false), [(Insert, vec![0, 1, 4]), (Update, vec![2]), (Delete, vec![3])]);
        assert!(shape(&[], true).is_empty());
    }

    #[test]
    fn commands_keep_below_the_limits() {
        let large: Vec<_> = (0..3).map(|_| statement(Kind::Insert, 7 * 1024 * 1024)).collect();
        assert_eq!(shape(&large, true), [(Kind::Insert, vec![0, 1]), (Kind::Insert, vec![2])]);
        let many = vec![statement(Kind::Insert, 1); COMMAND_STATEMENTS + 1];
        assert_eq!(runs(&many, true).len(), 2);
    }

    #[test]
    fn a_command_ends_with_its_array() {
        let documents: Vec<_> = (0..11).map(|n| bson::rawdoc! { "n": n, "t": "é" }).collect();
        let command = with_array(&bson::rawdoc! { "insert": "c", "ordered": true }, "documents", documents.iter());
        let expected: Vec<_> = (0..11).map(|n| doc! { "n": n, "t": "é" }).collect();
        assert_eq!(
            command.ok().and_then(|command| Document::try_from(&command).ok()),
            Some(doc! { "insert": "c", "ordered": true, "documents": expected })
        );
        let empty = with_array(&RawDocumentBuf::new(), "ops", [].iter());
        assert_eq!(empty.ok(), Some(bson::rawdoc! { "ops": [] }));
    }

    #[test]
    fn places_are_those_of_the_whole() {
        let mut done = Done::default();
        let answer = doc! {
            "n": 3, "nModified": 1, "upserted": [{ "index": 1, "_id": "u" }],
            "writeErrors": [{ "index": 0, "code": 11000, "errmsg": "dup", "keyValue": { "_id": 1 } }],
        };
        done.add(Kind::Update, &[4, 7], &answer);
        assert_eq!((done.matched, done.modified), (2, 1));
        assert_eq!(done.upserted, [doc! { "index": 7, "_id": "u" }]);
        assert_eq!(done.write_errors[0].get("index"), Some(&Bson::Int32(4)));
        assert!(done.write_errors[0].contains_key("keyValue"));
    }
}
