//! `update_*`, `replace_one`, `delete_*` and `find_one_and_*`.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use serde_core::de::DeserializeOwned;

use super::bulk::{as_number, encoded, raw, with_array};
use super::error::Attempt;
use super::reply_check::Expected;
use super::retryable::{self, WriteCommand};
use super::session::Session;
use super::time_limit::Deadline;
use super::{DriverClient, Namespace, unacknowledged};
use crate::codec::MAX_COMMAND_SIZE;
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::error::{Error, ErrorKind, Result};

/// The result of an update.
#[derive(Debug, Clone, PartialEq)]
pub struct Updated {
    /// The number of documents that matched.
    pub matched: u64,
    /// The number of documents that were modified.
    pub modified: u64,
    /// The `_id` of the upserted document.
    pub upserted: Option<Bson>,
}

/// Converts a document with MongoDB's option names to the driver's options.
pub(super) fn options<T: DeserializeOwned>(options: Document) -> Result<T> {
    bson::deserialize_from_document(options).map_err(|error| {
        Error::new(
            ErrorKind::Configuration,
            format!("the options are invalid: {}", crate::error::excerpt(&error.to_string(), 200)),
        )
    })
}

/// The options of a statement. All other options belong to the command.
const STATEMENT_OPTIONS: [&str; 5] = ["upsert", "arrayFilters", "hint", "collation", "sort"];

fn update_document(update: Bson) -> Result<Bson> {
    let is_pipeline = |stages: &[Bson]| stages.iter().all(|stage| matches!(stage, Bson::Document(_)));
    match update {
        Bson::Document(_) => Ok(update),
        Bson::Array(stages) if is_pipeline(&stages) => Ok(Bson::Array(stages)),
        _ => Err(Error::new(ErrorKind::Configuration, "an update must be a document or a pipeline")),
    }
}

/// Sends a command with one statement: `{update: …, updates: [statement]}`.
async fn statement(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    (name, field): (&str, &str),
    statement: RawDocumentBuf,
    options: Document,
    session: Option<Arc<Session>>,
    (retryable, expected): (bool, Expected),
) -> Result<Document> {
    if !client.acknowledges(attempt.namespace, session.as_deref()) {
        unacknowledged::check_options(client, attempt, &statement).await?;
        unacknowledged::check_size(name, &statement, attempt)?;
    }
    let body = |concern: Option<Document>, transaction: Option<i64>| {
        let mut head = doc! { name: &attempt.namespace.collection, "ordered": true };
        head.extend(concern.map(|concern| ("writeConcern".to_owned(), Bson::Document(concern))));
        head.extend(options.clone());
        head.extend(transaction.map(|number| ("txnNumber".to_owned(), Bson::Int64(number))));
        with_array(&raw(&head)?, field, std::iter::once(&*statement))
    };
    let command = WriteCommand { body: &body, retryable, expected, limit: MAX_COMMAND_SIZE };
    let reply = retryable::write(client, attempt.namespace, attempt, session.as_deref(), command).await?;
    attempt.written(&reply)?;
    Ok(reply)
}

/// Splits the options into those of the statement and those of the command.
fn split(given: Document) -> (Document, Document) {
    given.into_iter().partition(|(name, _)| STATEMENT_OPTIONS.contains(&name.as_str()))
}

fn updated(reply: &Document) -> Updated {
    let number = |name: &str| reply.get(name).and_then(as_number).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let upserted = reply.get_array("upserted").ok().and_then(|all| all.first()).and_then(Bson::as_document);
    let upserted = upserted.and_then(|one| one.get("_id")).cloned();
    // The server counts an upsert as a match.
    let matched = if upserted.is_some() { 0 } else { number("n") };
    Updated { matched, modified: number("nModified"), upserted }
}

fn deleted(reply: &Document) -> u64 {
    reply.get("n").and_then(as_number).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

/// Updates the first matching document, or with `many` all matching documents.
///
/// # Errors
/// `DuplicateKey`, `Write`, `WriteConcern`, and those of any command.
pub async fn update(
    client: &DriverClient,
    namespace: &Namespace,
    many: bool,
    filter: Document,
    update: Bson,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<Updated> {
    let attempt = Attempt { doing: "update in", namespace, settings: client.settings() };
    let (statement_options, command_options) = split(given);
    let mut one = doc! { "q": filter, "u": update_document(update)? };
    if many {
        one.insert("multi", true);
    }
    one.extend(statement_options);
    let (names, sending) = (("update", "updates"), (!many, Expected::Update(1)));
    statement(client, &attempt, names, raw(&one)?, command_options, session, sending).await.map(|reply| updated(&reply))
}

/// Replaces the first matching document.
///
/// # Errors
/// As [`update`].
pub async fn replace(
    client: &DriverClient,
    namespace: &Namespace,
    filter: Document,
    replacement: RawDocumentBuf,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<Updated> {
    let attempt = Attempt { doing: "replace in", namespace, settings: client.settings() };
    let (statement_options, command_options) = split(given);
    let one = with_document(&raw(&doc! { "q": filter })?, "u", &replacement, &raw(&statement_options)?)?;
    let (names, sending) = (("update", "updates"), (true, Expected::Update(1)));
    statement(client, &attempt, names, one, command_options, session, sending).await.map(|reply| updated(&reply))
}

/// Deletes the first matching document, or with `many` all matching documents. Returns how many.
///
/// # Errors
/// `Write`, `WriteConcern`, and those of any command.
pub async fn delete(
    client: &DriverClient,
    namespace: &Namespace,
    many: bool,
    filter: Document,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<u64> {
    let attempt = Attempt { doing: "delete from", namespace, settings: client.settings() };
    let (statement_options, command_options) = split(given);
    let mut one = doc! { "q": filter, "limit": i32::from(!many) };
    one.extend(statement_options);
    let (names, sending) = (("delete", "deletes"), (!many, Expected::Delete(1)));
    let reply = statement(client, &attempt, names, raw(&one)?, command_options, session, sending).await?;
    Ok(deleted(&reply))
}

/// A change of matching documents whose parts are already encoded.
#[derive(Clone, Copy)]
pub struct RawUpdate<'q> {
    /// Whether to change all matching documents.
    pub many: bool,
    /// The filter.
    pub filter: &'q RawDocument,
    /// The update operators, the pipeline or the replacement.
    pub change: RawBsonRef<'q>,
    /// Whether `change` is a replacement.
    pub replaces: bool,
    /// Whether to insert a document if none matches.
    pub upsert: bool,
    /// The comment in the server's log and profiler.
    pub comment: Option<&'q Bson>,
}

fn with_comment(comment: Option<&Bson>) -> Document {
    comment.map(|comment| ("comment".to_owned(), comment.clone())).into_iter().collect()
}

/// Updates or replaces matching documents.
///
/// # Errors
/// As [`update`].
pub async fn update_raw(client: &DriverClient, namespace: &Namespace, call: RawUpdate<'_>) -> Result<Updated> {
    let doing = if call.replaces { "replace in" } else { "update in" };
    let attempt = Attempt { doing, namespace, settings: client.settings() };
    let change: &[u8] = match call.change {
        RawBsonRef::Document(change) => change.as_bytes(),
        RawBsonRef::Array(stages) if stages.into_iter().all(|stage| matches!(stage, Ok(RawBsonRef::Document(_)))) => {
            stages.as_bytes()
        }
        _ => return Err(Error::new(ErrorKind::Configuration, "an update must be a document or a pipeline")),
    };
    let mut out = BsonWriter::with_capacity(call.filter.as_bytes().len() + change.len() + 48);
    let root = out.begin_root();
    out.value(Key::Name("q"), RawBsonRef::Document(call.filter), call.filter.as_bytes())?;
    out.value(Key::Name("u"), call.change, change)?;
    if call.many {
        out.boolean(Key::Name("multi"), true);
    }
    out.boolean(Key::Name("upsert"), call.upsert);
    out.end(root);
    let one = encoded(out)?;
    let (names, sending) = (("update", "updates"), (!call.many, Expected::Update(1)));
    let reply = statement(client, &attempt, names, one, with_comment(call.comment), None, sending).await?;
    Ok(updated(&reply))
}

/// Deletes the first matching document, or with `many` all matching documents, by a filter that is already encoded.
/// Returns how many.
///
/// # Errors
/// As [`delete`].
pub async fn delete_raw(
    client: &DriverClient,
    namespace: &Namespace,
    many: bool,
    filter: &RawDocument,
    comment: Option<&Bson>,
) -> Result<u64> {
    let attempt = Attempt { doing: "delete from", namespace, settings: client.settings() };
    let mut out = BsonWriter::with_capacity(filter.as_bytes().len() + 32);
    let root = out.begin_root();
    out.value(Key::Name("q"), RawBsonRef::Document(filter), filter.as_bytes())?;
    out.int32(Key::Name("limit"), i32::from(!many));
    out.end(root);
    let (names, sending) = (("delete", "deletes"), (!many, Expected::Delete(1)));
    let reply = statement(client, &attempt, names, encoded(out)?, with_comment(comment), None, sending).await?;
    Ok(deleted(&reply))
}

/// What [`find_one_and`] does with the document.
#[derive(Debug, Clone)]
pub enum Modification {
    /// Updates it.
    Update(Bson),
    /// Replaces it.
    Replace(RawDocumentBuf),
    /// Deletes it.
    Delete,
}

/// The arguments of [`find_one_and`].
pub struct FindOneAnd {
    /// The filter.
    pub filter: Document,
    /// What to do with the document.
    pub modification: Modification,
    /// Whether to return the document after the change instead of before.
    pub after: bool,
    /// The time limit on the server.
    pub max_time: Option<Duration>,
    /// Other options, with MongoDB's names.
    pub given: Document,
    /// The session.
    pub session: Option<Arc<Session>>,
}

/// Updates, replaces or deletes the first matching document. Returns the document before the change,
/// or with `after` the document after it.
///
/// # Errors
/// As [`update`].
pub async fn find_one_and(
    client: &DriverClient,
    namespace: &Namespace,
    call: FindOneAnd,
) -> Result<Option<RawDocumentBuf>> {
    let FindOneAnd { filter, modification, after, max_time, mut given, session } = call;
    let attempt = Attempt { doing: "find and change in", namespace, settings: client.settings() };
    if !client.acknowledges(namespace, session.as_deref()) {
        for (option, name) in [("arrayFilters", "arrayFilters"), ("collation", "Collation")] {
            if given.contains_key(option) {
                return Err(unacknowledged::unsupported(name));
            }
        }
    }
    if let Some(projection) = given.remove("projection") {
        given.insert("fields", projection);
    }
    // A call's deadline replaces the limit.
    if let Some(time) = max_time.filter(|_| Deadline::current().is_none()) {
        given.insert("maxTimeMS", i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    }
    let mut head = doc! { "findAndModify": &namespace.collection, "query": filter };
    let mut replacement = None;
    match modification {
        Modification::Update(update) => {
            head.extend([("update".to_owned(), update_document(update)?), ("new".to_owned(), Bson::Boolean(after))]);
        }
        Modification::Replace(document) => {
            head.insert("new", after);
            replacement = Some(document);
        }
        Modification::Delete => {
            head.insert("remove", true);
        }
    }
    head.extend(given);
    let has_concern = head.contains_key("writeConcern");
    let body = |concern: Option<Document>, transaction: Option<i64>| {
        let mut tail = Document::new();
        tail.extend(
            concern.filter(|_| !has_concern).map(|concern| ("writeConcern".to_owned(), Bson::Document(concern))),
        );
        tail.extend(transaction.map(|number| ("txnNumber".to_owned(), Bson::Int64(number))));
        match &replacement {
            Some(replacement) => with_document(&raw(&head)?, "update", replacement, &raw(&tail)?),
            None => {
                let mut command = head.clone();
                command.extend(tail);
                raw(&command)
            }
        }
    };
    let expected = Expected::FindAndModify;
    let command = WriteCommand { body: &body, retryable: true, expected, limit: MAX_COMMAND_SIZE };
    let mut reply = retryable::write(client, namespace, &attempt, session.as_deref(), command).await?;
    attempt.written(&reply)?;
    match reply.remove("value") {
        Some(Bson::Document(found)) => raw(&found).map(Some),
        _ => Ok(None),
    }
}

/// Builds a document from fields, an embedded document that is copied verbatim, and more fields.
fn with_document(
    before: &RawDocumentBuf,
    name: &str,
    embedded: &RawDocumentBuf,
    after: &RawDocumentBuf,
) -> Result<RawDocumentBuf> {
    let sizes = [before, embedded, after].map(|part| part.as_bytes().len());
    let mut out = BsonWriter::with_capacity(sizes.iter().sum::<usize>() + name.len() + 8);
    let root = out.begin_root();
    out.elements(before)?;
    out.value(Key::Name(name), bson::RawBsonRef::Document(embedded), embedded.as_bytes())?;
    out.elements(after)?;
    out.end(root);
    encoded(out)
}
