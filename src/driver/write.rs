//! `update_*`, `replace_one`, `delete_*` and `find_one_and_*`.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use serde_core::de::DeserializeOwned;

use super::answer::Expected;
use super::bulk::{as_number, raw, with_array};
use super::error::Attempt;
use super::retryable::{self, WriteCommand};
use super::session::Session;
use super::{DriverClient, Namespace};
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::error::{Error, ErrorKind, Result};

/// What an update did.
#[derive(Debug, Clone, PartialEq)]
pub struct Updated {
    /// How many documents matched.
    pub matched: u64,
    /// How many of them were changed.
    pub modified: u64,
    /// The `_id` of the document that was inserted since none matched.
    pub upserted: Option<Bson>,
}

/// The driver's options, from MongoDB's own names for them.
pub(super) fn options<T: DeserializeOwned>(options: Document) -> Result<T> {
    bson::deserialize_from_document(options).map_err(|error| {
        Error::new(
            ErrorKind::Configuration,
            format!("the options cannot be used: {}", crate::error::excerpt(&error.to_string(), 200)),
        )
    })
}

/// Options that belong to the statement; others belong to the command.
const OF_STATEMENT: [&str; 5] = ["upsert", "arrayFilters", "hint", "collation", "sort"];

fn update_document(update: Bson) -> Result<Bson> {
    let is_pipeline = |stages: &[Bson]| stages.iter().all(|stage| matches!(stage, Bson::Document(_)));
    match update {
        Bson::Document(_) => Ok(update),
        Bson::Array(stages) if is_pipeline(&stages) => Ok(Bson::Array(stages)),
        _ => Err(Error::new(ErrorKind::Configuration, "an update is a document or a pipeline of stages")),
    }
}

/// Sends a command of one statement: `{update: …, updates: [statement]}`.
async fn statement(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    (name, field): (&str, &str),
    statement: RawDocumentBuf,
    options: Document,
    session: Option<Arc<Session>>,
    (retryable, expected): (bool, Expected),
) -> Result<Document> {
    let body = |concern: Option<Document>, transaction: Option<i64>| {
        let mut head = doc! { name: &attempt.namespace.collection, "ordered": true };
        head.extend(concern.map(|concern| ("writeConcern".to_owned(), Bson::Document(concern))));
        head.extend(options.clone());
        head.extend(transaction.map(|number| ("txnNumber".to_owned(), Bson::Int64(number))));
        with_array(&raw(&head)?, field, std::iter::once(&statement))
    };
    let command = WriteCommand { body: &body, retryable, expected };
    let answer = retryable::write(client, attempt.namespace, attempt, session.as_deref(), command).await?;
    attempt.written(&answer)?;
    Ok(answer)
}

/// The parts of the options that belong to the statement and to the command.
fn split(given: Document) -> (Document, Document) {
    given.into_iter().partition(|(name, _)| OF_STATEMENT.contains(&name.as_str()))
}

fn updated(answer: &Document) -> Updated {
    let number = |name: &str| answer.get(name).and_then(as_number).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let upserted = answer.get_array("upserted").ok().and_then(|all| all.first()).and_then(Bson::as_document);
    let upserted = upserted.and_then(|one| one.get("_id")).cloned();
    // The server counts an upsert as a match.
    let matched = if upserted.is_some() { 0 } else { number("n") };
    Updated { matched, modified: number("nModified"), upserted }
}

/// Updates the first document that matches, or all that do.
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
    let (of_statement, of_command) = split(given);
    let mut one = doc! { "q": filter, "u": update_document(update)? };
    if many {
        one.insert("multi", true);
    }
    one.extend(of_statement);
    let (names, sending) = (("update", "updates"), (!many, Expected::Update(1)));
    statement(client, &attempt, names, raw(&one)?, of_command, session, sending).await.map(|answer| updated(&answer))
}

/// Replaces the first document that matches.
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
    let (of_statement, of_command) = split(given);
    let one = with_document(&raw(&doc! { "q": filter })?, "u", &replacement, &raw(&of_statement)?)?;
    let (names, sending) = (("update", "updates"), (true, Expected::Update(1)));
    statement(client, &attempt, names, one, of_command, session, sending).await.map(|answer| updated(&answer))
}

/// Deletes the first document that matches, or all that do; returns how many.
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
    let (of_statement, of_command) = split(given);
    let mut one = doc! { "q": filter, "limit": i32::from(!many) };
    one.extend(of_statement);
    let (names, sending) = (("delete", "deletes"), (!many, Expected::Delete(1)));
    let answer = statement(client, &attempt, names, raw(&one)?, of_command, session, sending).await?;
    Ok(answer.get("n").and_then(as_number).and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

/// What [`find_one_and`] does with the document that it finds.
#[derive(Debug, Clone)]
pub enum Then {
    /// Updates it.
    Update(Bson),
    /// Replaces it.
    Replace(RawDocumentBuf),
    /// Deletes it.
    Delete,
}

/// What to find and change.
pub struct FindOneAnd {
    /// The query.
    pub filter: Document,
    /// What to do with the document.
    pub then: Then,
    /// Whether to return the document as it is after the change.
    pub after: bool,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// More of MongoDB's options.
    pub given: Document,
    /// The session.
    pub session: Option<Arc<Session>>,
}

/// Finds the first document that matches, and changes it; returns it as it was before, or, if
/// `after`, as it is then.
///
/// # Errors
/// As [`update`].
pub async fn find_one_and(
    client: &DriverClient,
    namespace: &Namespace,
    call: FindOneAnd,
) -> Result<Option<RawDocumentBuf>> {
    let FindOneAnd { filter, then, after, max_time, mut given, session } = call;
    let attempt = Attempt { doing: "find and change in", namespace, settings: client.settings() };
    if let Some(projection) = given.remove("projection") {
        given.insert("fields", projection);
    }
    if let Some(time) = max_time {
        given.insert("maxTimeMS", i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    }
    let mut head = doc! { "findAndModify": &namespace.collection, "query": filter };
    let mut replacement = None;
    match then {
        Then::Update(update) => {
            head.extend([("update".to_owned(), update_document(update)?), ("new".to_owned(), Bson::Boolean(after))]);
        }
        Then::Replace(document) => {
            head.insert("new", after);
            replacement = Some(document);
        }
        Then::Delete => {
            head.insert("remove", true);
        }
    }
    head.extend(given);
    let body = |concern: Option<Document>, transaction: Option<i64>| {
        let mut tail = Document::new();
        tail.extend(concern.map(|concern| ("writeConcern".to_owned(), Bson::Document(concern))));
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
    let command = WriteCommand { body: &body, retryable: true, expected: Expected::FindAndModify };
    let mut answer = retryable::write(client, namespace, &attempt, session.as_deref(), command).await?;
    attempt.written(&answer)?;
    match answer.remove("value") {
        Some(Bson::Document(found)) => raw(&found).map(Some),
        _ => Ok(None),
    }
}

/// A document with an embedded one, which is copied as it is, between other fields.
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
    RawDocumentBuf::from_bytes(out.buf).map_err(|error| Error::new(ErrorKind::InvalidBson, error.to_string()))
}
