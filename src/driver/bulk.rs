//! `bulk_write`, `insert_many` and the client's `bulk_write`, grouped into commands as in PyMongo.

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};

use super::error::{Attempt, Attempted};
use super::reply_check::Expected;
use super::retryable::{self, WriteCommand};
use super::session::Session;
use super::size::{MAX_SENT_SIZE, too_large};
use super::{DriverClient, Namespace, unacknowledged};
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::codec::{MAX_COMMAND_SIZE, MAX_DOCUMENT_SIZE};
use crate::error::{Error, ErrorKind, Result, excerpt};

/// The command that a statement belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// `insert`. The statement is the document.
    Insert,
    /// `update`. The statement is `{q, u, multi, upsert, …}`.
    Update,
    /// `delete`. The statement is `{q, limit, …}`.
    Delete,
}

impl StatementKind {
    const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Insert => ("insert", "documents"),
            Self::Update => ("update", "updates"),
            Self::Delete => ("delete", "deletes"),
        }
    }
}

/// One write operation.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// The command that it belongs to.
    pub kind: StatementKind,
    /// The statement.
    pub document: &'a RawDocument,
    /// Whether it supports retryable writes.
    pub retryable: bool,
}

impl<'a> Statement<'a> {
    /// An insert.
    pub(super) fn insert(document: &'a RawDocument) -> Self {
        Self { kind: StatementKind::Insert, document, retryable: true }
    }
}

/// Write operations, encoded one after the other in one buffer.
#[derive(Debug, Default)]
pub struct Statements {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    kind: StatementKind,
    retryable: bool,
    start: usize,
}

impl Statements {
    /// The maximum size in bytes that is reserved for statements that are not encoded yet.
    const MAX_RESERVED: usize = MAX_COMMAND_BYTES;

    /// Creates a list with a capacity for so many statements.
    pub fn with_capacity(count: usize) -> Self {
        Self { bytes: Vec::new(), entries: Vec::with_capacity(count) }
    }

    /// Returns whether the list has no statement.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a statement, which `encode` appends to the buffer as one BSON document. After an error the list is as before.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn push<T, E>(
        &mut self,
        kind: StatementKind,
        retryable: bool,
        encode: impl FnOnce(&mut BsonWriter) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let start = self.bytes.len();
        let mut out = BsonWriter { buf: std::mem::take(&mut self.bytes) };
        let encoded = encode(&mut out);
        self.bytes = out.buf;
        if encoded.is_err() {
            self.bytes.truncate(start);
            return encoded;
        }
        if self.entries.is_empty() {
            // Statements of one bulk write have similar sizes.
            let size = self.bytes.len() + self.bytes.len() / 8;
            self.bytes.reserve((self.entries.capacity() * size).min(Self::MAX_RESERVED));
        }
        self.entries.push(Entry { kind, retryable, start });
        encoded
    }

    /// Returns the statements.
    ///
    /// # Errors
    /// `InvalidBson` if the bytes of one are not a BSON document.
    pub fn get(&self) -> Result<Vec<Statement<'_>>> {
        let ends = self.entries.iter().skip(1).map(|next| next.start).chain([self.bytes.len()]);
        self.entries
            .iter()
            .zip(ends)
            .map(|(&Entry { kind, retryable, start }, end)| {
                let document = RawDocument::from_bytes(&self.bytes[start..end]).map_err(unreadable)?;
                Ok(Statement { kind, document, retryable })
            })
            .collect()
    }
}

/// The options of a bulk write.
#[derive(Debug, Clone, Default)]
pub struct BulkOptions {
    /// Whether to stop at the first error.
    pub ordered: bool,
    /// Additional fields of each command: `bypassDocumentValidation`, `comment`, `let`.
    pub more: Document,
}

/// The result of a bulk write: PyMongo's `bulk_api_result`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BulkResult {
    /// The number of inserted documents.
    pub inserted: i64,
    /// The number of documents that matched an update.
    pub matched: i64,
    /// The number of modified documents.
    pub modified: i64,
    /// The number of deleted documents.
    pub removed: i64,
    /// `{index, _id}` of each upserted document.
    pub upserted: Vec<Document>,
    write_errors: Vec<Document>,
    write_concern_errors: Vec<Document>,
}

impl BulkResult {
    /// Returns the result as PyMongo's document.
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

    /// Adds the reply to a command. `positions` are the positions of its statements in the bulk write.
    fn add(&mut self, kind: StatementKind, positions: &[usize], reply: &Document) {
        let number = |name: &str| reply.get(name).and_then(as_number).unwrap_or(0);
        let position = |document: &Document| {
            let index = document.get("index").and_then(as_number).and_then(|index| usize::try_from(index).ok());
            let position = index.and_then(|index| positions.get(index)).copied().unwrap_or(usize::MAX);
            i32::try_from(position).unwrap_or(i32::MAX)
        };
        match kind {
            StatementKind::Insert => self.inserted += number("n"),
            StatementKind::Delete => self.removed += number("n"),
            StatementKind::Update => {
                let upserted = reply.get_array("upserted").map(Vec::as_slice).unwrap_or_default();
                for upserted in upserted.iter().filter_map(Bson::as_document) {
                    let id = upserted.get("_id").cloned().unwrap_or(Bson::Null);
                    self.upserted.push(doc! { "index": position(upserted), "_id": id });
                }
                self.matched += number("n") - i64::try_from(upserted.len()).unwrap_or(0);
                self.modified += number("nModified");
            }
        }
        for error in reply.get_array("writeErrors").into_iter().flatten().filter_map(Bson::as_document) {
            let mut error = error.clone();
            error.insert("index", position(&error));
            self.write_errors.push(error);
        }
        self.write_concern_errors.extend(reply.get_document("writeConcernError").ok().cloned());
    }

    fn into_result(mut self, attempt: &Attempt<'_>, labels: Vec<String>) -> Result<Self> {
        if self.write_errors.is_empty() && self.write_concern_errors.is_empty() {
            return Ok(self);
        }
        self.write_errors.sort_by_key(|error| error.get_i32("index").unwrap_or(i32::MAX));
        let first = self.write_errors.first().or(self.write_concern_errors.first());
        let first = first.and_then(|error| error.get_str("errmsg").ok()).unwrap_or_default();
        let message = format!(
            "batch op errors occurred: {} rejected; the first error: {} ({attempt})",
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

pub(super) fn as_number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

/// The limits of one command. The server accepts slightly more than the maximum document size, which
/// leaves room for the command's other fields.
const MAX_COMMAND_BYTES: usize = MAX_DOCUMENT_SIZE;
const MAX_COMMAND_STATEMENTS: usize = 100_000;

/// The error code of a server that does not know the command.
const COMMAND_NOT_FOUND: i32 = 59;

/// The positions of the statements in one command.
struct Batch {
    kind: StatementKind,
    positions: Vec<usize>,
}

/// Groups the statements into commands: in their order, or, if unordered, by kind.
fn batches(statements: &[Statement<'_>], ordered: bool) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut bytes = 0;
    let mut add = |position: usize, statement: &Statement<'_>| {
        // The document, and its type and array index.
        let size = statement.document.as_bytes().len() + 12;
        match batches.last_mut() {
            Some(batch)
                if batch.kind == statement.kind
                    && bytes + size <= MAX_COMMAND_BYTES
                    && batch.positions.len() < MAX_COMMAND_STATEMENTS =>
            {
                batch.positions.push(position);
                bytes += size;
            }
            _ => {
                batches.push(Batch { kind: statement.kind, positions: vec![position] });
                bytes = size;
            }
        }
    };
    if ordered {
        statements.iter().enumerate().for_each(|(position, statement)| add(position, statement));
    } else {
        for kind in StatementKind::ALL {
            let same_kind = statements.iter().enumerate().filter(|(_, statement)| statement.kind == kind);
            same_kind.for_each(|(position, statement)| add(position, statement));
        }
    }
    batches
}

/// Executes a bulk write.
///
/// # Errors
/// `BulkWrite` if some operations failed, with PyMongo's `details` except each error's `op`; otherwise
/// those of any command.
pub async fn bulk_write(
    client: &DriverClient,
    namespace: &Namespace,
    statements: &[Statement<'_>],
    options: &BulkOptions,
    session: Option<&Session>,
) -> Result<BulkResult> {
    let attempt = Attempt { doing: "write to", namespace, settings: client.settings() };
    if !client.acknowledges(namespace, session) {
        write_unacknowledged(client, &attempt, statements, options, session).await?;
        return Ok(BulkResult::default());
    }
    let mut done = BulkResult::default();
    let mut labels = Vec::new();
    for batch in batches(statements, options.ordered) {
        let retryable = batch.positions.iter().all(|position| statements[*position].retryable);
        let command = Command { kind: batch.kind, positions: &batch.positions, statements, options };
        let reply = command.send(client, namespace, &attempt, session, retryable).await?;
        done.add(batch.kind, &batch.positions, &reply);
        let given = reply.get_array("errorLabels").into_iter().flatten().filter_map(Bson::as_str);
        labels.extend(given.map(str::to_owned));
        if options.ordered && !done.write_errors.is_empty() {
            break;
        }
    }
    done.into_result(&attempt, labels)
}

/// Executes an unacknowledged bulk write, as PyMongo does: if it is ordered, all commands except one with the last
/// statement only are acknowledged, because it has to stop at the first error. The server's errors are not returned.
async fn write_unacknowledged(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    statements: &[Statement<'_>],
    options: &BulkOptions,
    session: Option<&Session>,
) -> Result<()> {
    let connected = client.connected(attempt).await?;
    unacknowledged::check_session(session, connected.write_concern_of(attempt.namespace))?;
    for statement in statements.iter().filter(|statement| statement.kind != StatementKind::Insert) {
        unacknowledged::check_options(client, attempt, statement.document).await?;
    }
    if options.more.get_bool("bypassDocumentValidation").unwrap_or(false) {
        return Err(unacknowledged::bypass());
    }
    let acknowledging = attempt.namespace.with_default_write_concern();
    let batches = batches(statements, options.ordered);
    let mut before = None;
    for (place, batch) in batches.iter().enumerate() {
        let command = Command { kind: batch.kind, positions: &batch.positions, statements, options };
        let is_first_of_kind = before.replace(batch.kind) != Some(batch.kind);
        let is_last_statement = place + 1 == batches.len() && batch.positions.len() == 1 && is_first_of_kind;
        let is_acknowledged = options.ordered && !is_last_statement;
        if is_first_of_kind && !is_acknowledged {
            // PyMongo, whose commands are larger, finds it before it sends the first one.
            for statement in statements.iter().filter(|statement| statement.kind == batch.kind) {
                unacknowledged::check_size(batch.kind.names().0, statement.document, attempt)?;
            }
        }
        let namespace = if is_acknowledged { &acknowledging } else { attempt.namespace };
        match command.send(client, namespace, attempt, None, false).await {
            Ok(reply) if options.ordered && reply.contains_key("writeErrors") => break,
            Ok(_) => {}
            Err(error) if error.is_reply() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns whether the server rejected a command, of which nothing was executed, because it is too large.
fn is_too_large(error: &Error) -> bool {
    // InvalidBSON, BSONObjectTooLarge.
    error.kind == ErrorKind::Operation && matches!(error.code, Some(22 | 10334))
}

/// Returns the server's code and message of an error, as fields of a write error.
fn code_and_message(error: &Error) -> Document {
    let message = error.details.as_ref().and_then(|details| details.get_str("errmsg").ok());
    doc! { "code": error.code, "errmsg": message.unwrap_or(&error.message) }
}

struct Command<'a> {
    kind: StatementKind,
    positions: &'a [usize],
    statements: &'a [Statement<'a>],
    options: &'a BulkOptions,
}

impl Command<'_> {
    /// Returns the expected form of the reply.
    fn expected(&self) -> Expected {
        let count = self.positions.len();
        match self.kind {
            StatementKind::Insert => Expected::Insert { count, ordered: self.options.ordered },
            StatementKind::Update => Expected::Update(count),
            StatementKind::Delete => Expected::Delete(count),
        }
    }

    /// Sends the command and returns the server's reply, which may contain write errors. A statement that is too large
    /// is the only one of its command, so that the command's rejection is the statement's error.
    async fn send(
        &self,
        client: &DriverClient,
        namespace: &Namespace,
        attempt: &Attempt<'_>,
        session: Option<&Session>,
        retryable: bool,
    ) -> Result<Document> {
        let sole = match self.positions {
            [position] => Some(self.statements[*position].document.as_bytes().len()),
            _ => None,
        };
        if let Some(size) = sole.filter(|size| *size > MAX_SENT_SIZE) {
            return Err(too_large(self.kind.names().0, size, MAX_DOCUMENT_SIZE, attempt));
        }
        let body = |concern: Option<Document>, transaction: Option<i64>| self.body(namespace, concern, transaction);
        let write = WriteCommand { body: &body, retryable, expected: self.expected(), limit: MAX_SENT_SIZE };
        match retryable::write(client, namespace, attempt, session, write).await {
            Err(error) if sole.is_some_and(|size| size > MAX_DOCUMENT_SIZE) && is_too_large(&error) => {
                let mut rejected = doc! { "index": 0 };
                rejected.extend(code_and_message(&error));
                Ok(doc! { "n": 0, "writeErrors": [rejected] })
            }
            reply => reply,
        }
    }

    /// Builds the command, with its fields in PyMongo's order.
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
        with_array(&raw(&head)?, field, self.positions.iter().map(|position| self.statements[*position].document))
    }
}

pub(super) fn raw(document: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).map_err(unreadable)
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidBson, error.to_string())
}

/// Appends an array of documents to a command. Each document is copied once.
pub(super) fn with_array<'a>(
    head: &RawDocumentBuf,
    field: &str,
    documents: impl Iterator<Item = &'a RawDocument> + Clone,
) -> Result<RawDocumentBuf> {
    // An element consists of its type, its array index as text, a NUL and the document.
    let size: usize = documents.clone().map(|document| document.as_bytes().len() + 12).sum();
    let mut out = BsonWriter::with_capacity(head.as_bytes().len() + field.len() + size + 16);
    let root = out.begin_root();
    out.elements(head)?;
    let array = out.begin(Key::Name(field), true);
    for (position, document) in documents.enumerate() {
        out.value(Key::Index(position), RawBsonRef::Document(document), document.as_bytes())?;
    }
    out.end(array);
    out.end(root);
    encoded(out)
}

/// Returns the document that a writer has written.
pub(super) fn encoded(out: BsonWriter) -> Result<RawDocumentBuf> {
    RawDocumentBuf::from_bytes(out.buf).map_err(unreadable)
}

/// The arguments of the client's `bulk_write` (`bulkWrite`, MongoDB 8.0), which writes to any collections.
pub struct ClientBulk {
    /// `{insert: index, document}` and the like, with indexes into `namespaces`.
    pub operations: Statements,
    /// The namespaces of the collections.
    pub namespaces: Vec<String>,
    /// The options.
    pub options: BulkOptions,
    /// Whether to return the result of each operation.
    pub verbose: bool,
}

/// The result of a [`ClientBulk`].
#[derive(Debug, Default)]
pub struct ClientBulkDone {
    /// `nInserted`, `nUpserted`, `nMatched`, `nModified`, `nDeleted`.
    pub counts: Document,
    /// The results of the operations, each with its `idx`.
    pub results: Vec<Document>,
    /// Whether at least one operation succeeded.
    pub successful: bool,
    /// The write concern errors.
    pub write_concern_errors: Vec<Document>,
}

/// Executes the client's `bulk_write`.
///
/// # Errors
/// Those of any command. Errors of single operations are part of the result.
pub async fn client_bulk_write(
    client: &DriverClient,
    admin: &Namespace,
    bulk: &ClientBulk,
    session: Option<&Session>,
) -> Result<ClientBulkDone> {
    let attempt = Attempt { doing: "write to", namespace: admin, settings: client.settings() };
    let statements = bulk.operations.get()?;
    let namespaces: Vec<RawDocumentBuf> =
        bulk.namespaces.iter().map(|namespace| raw(&doc! { "ns": namespace })).collect::<Result<_>>()?;
    let overhead: usize = namespaces.iter().map(|namespace| namespace.as_bytes().len() + 12).sum();
    let is_unacknowledged = !client.acknowledges(admin, session);
    if is_unacknowledged {
        check_unacknowledged(client, &attempt, bulk, &statements, session).await?;
    }
    let mut done = ClientBulkDone::default();
    let mut start = 0;
    while start < statements.len() {
        let mut bytes = overhead;
        let fitting = statements[start..].iter().take_while(|operation| {
            bytes += operation.document.as_bytes().len() + 12;
            bytes <= MAX_COMMAND_BYTES
        });
        let end = start + fitting.count().clamp(1, MAX_COMMAND_STATEMENTS);
        let operations = &statements[start..end];
        let sole = match operations {
            [operation] => Some(operation.document.as_bytes().len()),
            _ => None,
        };
        if let Some(size) = sole.filter(|size| size + overhead > MAX_SENT_SIZE) {
            return Err(too_large(ClientBulk::kind_of(&statements[start]), size, MAX_COMMAND_SIZE, &attempt));
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
            let command = with_array(&raw(&head)?, "ops", operations.iter().map(|operation| operation.document))?;
            with_array(&command, "nsInfo", namespaces.iter().map(|namespace| &**namespace))
        };
        let retryable = operations.iter().all(|operation| operation.retryable);
        let write = WriteCommand { body: &body, retryable, expected: Expected::Bulk, limit: MAX_SENT_SIZE };
        let reply = match retryable::write(client, admin, &attempt, session, write).await {
            Err(error) if sole.is_some_and(|size| size > MAX_DOCUMENT_SIZE) && is_too_large(&error) => {
                let mut rejected = doc! { "ok": 0.0, "idx": 0, "n": 0 };
                rejected.extend(code_and_message(&error));
                doc! { "nErrors": 1, "cursor": { "id": 0_i64, "firstBatch": [rejected] } }
            }
            reply => reply?,
        };
        if is_unacknowledged && reply.get_i32("code").is_ok_and(|code| code == COMMAND_NOT_FOUND) {
            let message = "MongoClient.bulk_write requires MongoDB server version 8.0+.";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        let count = i64::try_from(operations.len()).unwrap_or(i64::MAX);
        let failed = done.add(start, count, reply, client, &attempt, session).await?;
        if failed && bulk.options.ordered {
            break;
        }
        start = end;
    }
    Ok(done)
}

impl ClientBulk {
    /// Returns the name of an operation's command.
    fn kind_of(operation: &Statement<'_>) -> &'static str {
        if operation.kind == StatementKind::Insert { "insert" } else { "update" }
    }
}

/// Checks what an unacknowledged bulk write of a client must not contain.
async fn check_unacknowledged(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    bulk: &ClientBulk,
    statements: &[Statement<'_>],
    session: Option<&Session>,
) -> Result<()> {
    let connected = client.connected(attempt).await?;
    unacknowledged::check_session(session, connected.write_concern_of(attempt.namespace))?;
    for operation in statements.iter().filter(|operation| operation.kind != StatementKind::Insert) {
        unacknowledged::check_options(client, attempt, operation.document).await?;
    }
    if bulk.options.more.contains_key("bypassDocumentValidation") {
        return Err(unacknowledged::bypass());
    }
    for operation in statements {
        let document = operation.document;
        let written = document.get_document("document").or_else(|_| document.get_document("updateMods"));
        unacknowledged::check_size(ClientBulk::kind_of(operation), written.unwrap_or(document), attempt)?;
    }
    Ok(())
}

impl ClientBulkDone {
    /// Adds a reply. Returns whether an operation failed.
    async fn add(
        &mut self,
        start: usize,
        count: i64,
        reply: Document,
        client: &DriverClient,
        attempt: &Attempt<'_>,
        session: Option<&Session>,
    ) -> Result<bool> {
        for name in ["nInserted", "nUpserted", "nMatched", "nModified", "nDeleted"] {
            let before = self.counts.get(name).and_then(as_number).unwrap_or(0);
            self.counts.insert(name, number(before + reply.get(name).and_then(as_number).unwrap_or(0)));
        }
        self.write_concern_errors.extend(reply.get_document("writeConcernError").ok().cloned());
        let errors = reply.get("nErrors").and_then(as_number).unwrap_or(0);
        let failed = errors > 0;
        self.successful |= errors < count;
        let mut reply = reply;
        let mut field = "firstBatch";
        while let Ok(cursor) = reply.get_document("cursor") {
            for result in cursor.get_array(field).into_iter().flatten().filter_map(Bson::as_document) {
                let mut result = result.clone();
                let position = result.get("idx").and_then(as_number).unwrap_or(0);
                result.insert("idx", number(position + i64::try_from(start).unwrap_or(0)));
                self.results.push(result);
            }
            let id = cursor.get("id").and_then(as_number).unwrap_or(0);
            if id == 0 {
                break;
            }
            let collection = cursor.get_str("ns").ok().and_then(|ns| ns.split_once('.')).map_or("", |(_, name)| name);
            let command = doc! { "getMore": id, "collection": collection };
            let database = client.database("admin", attempt).await?;
            reply = match session {
                Some(session) => {
                    let mut held = session.hold(client, attempt).await?;
                    database.run_command(command).session(&mut *held).await
                }
                None => database.run_command(command).await,
            }
            .attempted(attempt)?;
            field = "nextBatch";
        }
        Ok(failed)
    }
}

/// Inserts documents in one command, which they must fit into. Returns the server's reply, which may
/// contain write errors.
pub(super) async fn insert_once(
    client: &DriverClient,
    namespace: &Namespace,
    statements: &[Statement<'_>],
    options: &BulkOptions,
    session: Option<&Session>,
) -> Result<Document> {
    let attempt = Attempt { doing: "insert into", namespace, settings: client.settings() };
    let positions: Vec<usize> = (0..statements.len()).collect();
    let command = Command { kind: StatementKind::Insert, positions: &positions, statements, options };
    let body = |concern: Option<Document>, transaction: Option<i64>| command.body(namespace, concern, transaction);
    if !client.acknowledges(namespace, session) {
        for statement in statements {
            unacknowledged::check_size("insert", statement.document, &attempt)?;
        }
    }
    let write = WriteCommand { body: &body, retryable: true, expected: command.expected(), limit: MAX_COMMAND_SIZE };
    retryable::write(client, namespace, &attempt, session, write).await
}

/// Converts documents to insert statements.
pub fn inserts(documents: &[RawDocumentBuf]) -> Vec<Statement<'_>> {
    documents.iter().map(|document| Statement::insert(document)).collect()
}

/// Inserts documents as [`bulk_write`] does.
///
/// # Errors
/// As [`bulk_write`].
pub async fn insert_many(
    client: &DriverClient,
    namespace: &Namespace,
    statements: &[Statement<'_>],
    options: &BulkOptions,
    session: Option<&Session>,
) -> Result<()> {
    bulk_write(client, namespace, statements, options, session).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(each: &[(StatementKind, usize)]) -> Statements {
        let mut statements = Statements::with_capacity(each.len());
        for (kind, size) in each {
            let document = bson::rawdoc! { "t": "x".repeat(*size) };
            assert!(statements.push(*kind, true, |out| out.root_document(&document, None)).is_ok());
        }
        statements
    }

    fn shape(statements: &Statements, ordered: bool) -> Vec<(StatementKind, Vec<usize>)> {
        let statements = statements.get().unwrap_or_default();
        batches(&statements, ordered).into_iter().map(|batch| (batch.kind, batch.positions)).collect()
    }

    #[test]
    fn statements_keep_their_order_or_are_grouped_by_kind() {
        use StatementKind::{Delete, Insert, Update};
        let statements = statements(&[Insert, Insert, Update, Delete, Insert].map(|kind| (kind, 1)));
        assert_eq!(
            shape(&statements, true),
            [(Insert, vec![0, 1]), (Update, vec![2]), (Delete, vec![3]), (Insert, vec![4])]
        );
        assert_eq!(shape(&statements, false), [(Insert, vec![0, 1, 4]), (Update, vec![2]), (Delete, vec![3])]);
        assert!(shape(&Statements::default(), true).is_empty());
    }

    #[test]
    fn commands_stay_within_the_limits() {
        let large = statements(&[(StatementKind::Insert, 7 * 1024 * 1024); 3]);
        assert_eq!(shape(&large, true), [(StatementKind::Insert, vec![0, 1]), (StatementKind::Insert, vec![2])]);
        let many = statements(&vec![(StatementKind::Insert, 1); MAX_COMMAND_STATEMENTS + 1]);
        assert_eq!(shape(&many, true).len(), 2);
    }

    #[test]
    fn a_statement_that_cannot_be_encoded_leaves_no_bytes() {
        let mut list = statements(&[(StatementKind::Insert, 1)]);
        let failed = list.push(StatementKind::Update, true, |out| {
            out.begin_root();
            Err::<(), _>("no")
        });
        assert_eq!(failed, Err("no"));
        let document = bson::rawdoc! { "n": 1 };
        assert!(list.push(StatementKind::Delete, false, |out| out.root_document(&document, None)).is_ok());
        let kept = list.get().unwrap_or_default();
        assert_eq!(
            kept.iter().map(|kept| kept.kind).collect::<Vec<_>>(),
            [StatementKind::Insert, StatementKind::Delete]
        );
        assert_eq!(kept[1].document, &*document);
    }

    #[test]
    fn the_array_is_appended_to_the_command() {
        let documents: Vec<_> = (0..11).map(|n| bson::rawdoc! { "n": n, "t": "é" }).collect();
        let command = with_array(
            &bson::rawdoc! { "insert": "c", "ordered": true },
            "documents",
            documents.iter().map(|document| &**document),
        );
        let expected: Vec<_> = (0..11).map(|n| doc! { "n": n, "t": "é" }).collect();
        assert_eq!(
            command.ok().and_then(|command| Document::try_from(&command).ok()),
            Some(doc! { "insert": "c", "ordered": true, "documents": expected })
        );
        let empty = with_array(&RawDocumentBuf::new(), "ops", std::iter::empty());
        assert_eq!(empty.ok(), Some(bson::rawdoc! { "ops": [] }));
    }

    #[test]
    fn positions_refer_to_the_whole_bulk_write() {
        let mut done = BulkResult::default();
        let reply = doc! {
            "n": 3, "nModified": 1, "upserted": [{ "index": 1, "_id": "u" }],
            "writeErrors": [{ "index": 0, "code": 11000, "errmsg": "dup", "keyValue": { "_id": 1 } }],
        };
        done.add(StatementKind::Update, &[4, 7], &reply);
        assert_eq!((done.matched, done.modified), (2, 1));
        assert_eq!(done.upserted, [doc! { "index": 7, "_id": "u" }]);
        assert_eq!(done.write_errors[0].get("index"), Some(&Bson::Int32(4)));
        assert!(done.write_errors[0].contains_key("keyValue"));
    }
}
