//! Many writes to one collection in few commands, as PyMongo's `bulk_write`
//! and `insert_many` send them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bson::{Bson, Document, RawBsonRef, RawDocumentBuf, doc};
use mongodb::ClientSession;

use super::concern::write_concern_document;
use super::error::{Attempt, Attempted, is_retryable_write};
use super::idle::{ByDriver, Repeats};
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
        let answer = send(client, namespace, &attempt, session, retryable, &body).await?;
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

/// Sends a command that writes; once more where that is safe and may help.
async fn send(
    client: &DriverClient,
    namespace: &Namespace,
    attempt: &Attempt<'_>,
    session: Option<&Session>,
    retryable: bool,
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
        let mut repeats = Repeats::new(client, session, ByDriver::Never);
        return loop {
            let answer = database.run_raw_command(body(None, None)?).session(&mut **held).await;
            if !repeats.again(&answer) {
                break answer.attempted(attempt);
            }
        };
    }
    if !(retryable && connected.retry_writes) || client.bulk_sessions.are_refused() {
        let mut repeats = Repeats::new(client, session, ByDriver::Never);
        return loop {
            let sending = database.run_raw_command(body(concern.clone(), None)?);
            let answer = match &mut explicit {
                Some(held) => sending.session(&mut **held).await,
                None => sending.await,
            };
            if !repeats.again(&answer) {
                break answer.attempted(attempt);
            }
        };
    }
    let own = match client.bulk_sessions.take() {
        Some(own) => own,
        None => OwnSession::new(connected.client.start_session().await.attempted(attempt)?),
    };
    let mut own = Lent { own: Some(own), sessions: &client.bulk_sessions, broken: false };
    let Some(OwnSession { session: own_session, .. }) = &mut own.own else {
        return Err(Error::new(ErrorKind::InvalidOperation, "a session was lost"));
    };
    if let Some(held) = &explicit {
        follow(own_session, held);
    }
    let transaction = next_transaction();
    let mut answer =
        database.run_raw_command(body(concern.clone(), Some(transaction))?).session(&mut *own_session).await;
    if is_no_replica_set(&answer) {
        client.bulk_sessions.refuse();
        return database.run_raw_command(body(concern, None)?).await.attempted(attempt);
    }
    let mut broken = is_broken(&answer);
    if answer_is_retryable(&answer) {
        let again = database.run_raw_command(body(concern, Some(transaction))?).session(&mut *own_session).await;
        broken |= is_broken(&again);
        // What the first attempt met with tells more than that there is no server now.
        if !matches!(&again, Err(error) if is_selection(error)) {
            answer = again;
        }
    }
    if let Some(held) = &mut explicit {
        follow(held, own_session);
    }
    own.broken = broken;
    answer.map_err(|error| {
        let mut failed = attempt.failed(&error);
        if (is_retryable_write(&error) || is_selection(&error))
            && !failed.labels.iter().any(|label| label == "RetryableWriteError")
        {
            failed.labels.push("RetryableWriteError".to_owned());
        }
        failed
    })
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
        let answer = send(client, admin, &attempt, session, retryable, &body).await?;
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

/// A session of the driver's that only many writes use, with transaction
/// numbers of their own: the driver does not number what it is given as a
/// command.
pub(super) struct OwnSession {
    session: ClientSession,
    last_use: Instant,
}

impl OwnSession {
    fn new(session: ClientSession) -> Self {
        Self { session, last_use: Instant::now() }
    }
}

/// A transaction number that was not used before, in any session: a server
/// takes a write of the same number for the same write. The driver's own count
/// from 0, and it may have used a session before it came here.
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

/// A session in use. It comes back here, whatever becomes of its call: in the
/// driver's pool its numbers would be too high for the driver's writes. One
/// whose connection broke the driver does not use again, and so it is let go.
struct Lent<'a> {
    own: Option<OwnSession>,
    sessions: &'a BulkSessions,
    broken: bool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(mut own) = self.own.take().filter(|_| !self.broken) {
            own.last_use = Instant::now();
            self.sessions.give_back(own);
        }
    }
}

/// Whether the connection broke.
fn is_broken(answer: &mongodb::error::Result<Document>) -> bool {
    use mongodb::error::ErrorKind as Driver;
    matches!(answer, Err(error) if matches!(&*error.kind, Driver::Io(_) | Driver::ConnectionPoolCleared { .. }))
}

/// The sessions of many writes.
#[derive(Default)]
pub(super) struct BulkSessions {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    sessions: Vec<OwnSession>,
    /// Whether the server has no transaction numbers: it is no replica set.
    refused: bool,
    /// Whether the client is closed.
    closed: bool,
}

/// A server forgets a session after 30 minutes.
const SESSION_LIFE: Duration = Duration::from_secs(28 * 60);
/// When the driver does not take a session back into its pool either, where
/// its numbers would be too high for it.
const SESSION_DEAD: Duration = Duration::from_secs(31 * 60);

impl BulkSessions {
    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<OwnSession> {
        let mut idle = self.idle();
        idle.sessions.retain(|own| own.last_use.elapsed() < SESSION_DEAD);
        let place = idle.sessions.iter().rposition(|own| own.last_use.elapsed() < SESSION_LIFE)?;
        Some(idle.sessions.swap_remove(place))
    }

    fn give_back(&self, own: OwnSession) {
        let mut idle = self.idle();
        if !idle.closed {
            idle.sessions.push(own);
        }
    }

    fn refuse(&self) {
        self.idle().refused = true;
    }

    fn are_refused(&self) -> bool {
        self.idle().refused
    }

    /// Ends them, with their client.
    pub(super) fn close(&self) {
        let sessions = {
            let mut idle = self.idle();
            idle.closed = true;
            std::mem::take(&mut idle.sessions)
        };
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
    send(client, namespace, &attempt, session, true, &body).await
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
