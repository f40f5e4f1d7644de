//! `insert_one`, and inserts that are merged. Every document comes with its `_id` first,
//! so that the driver sends the bytes as they are, and repeats them safely
//! (retryable writes: once, where the server supports it).

use std::sync::Arc;

use bson::{Bson, Document, RawDocumentBuf, doc};
use tokio::runtime::Handle;

use super::bulk::{BulkOptions, Statement, insert_once, inserts, within_limit};
use super::error::Attempt;
use super::find::{Find, find_one};
use super::session::Session;
use super::{DriverClient, Namespace};
use crate::coalesce::{Coalescer, Flush, Limits, Outcome, SendBatch};
use crate::error::{Error, ErrorKind, Result};

/// How documents are inserted.
#[derive(Clone, Default)]
pub struct InsertOptions {
    /// Skips the collection's document validation.
    pub bypass_document_validation: Option<bool>,
    /// Shows up in the server's log and profiler.
    pub comment: Option<Bson>,
    /// The session.
    pub session: Option<Arc<Session>>,
}

const DOING: &str = "insert into";

/// A document on its way.
pub struct Outgoing {
    /// The document.
    pub document: RawDocumentBuf,
    /// Its `_id`, where that is a text that is the same for the same content:
    /// then a duplicate of it is told from a duplicate of something else.
    pub content_id: Option<String>,
}

/// Inserts that may be merged, each with the default options.
impl SendBatch for DriverClient {
    type Document = Outgoing;
    const LIMITS: Limits = Limits { documents: 1_000, bytes: 8 * 1024 * 1024, in_flight: 4, worthwhile: 32 };

    fn size(document: &Outgoing) -> usize {
        document.document.as_bytes().len()
    }

    async fn send(&self, namespace: &Namespace, outgoing: Vec<Outgoing>) -> Outcome {
        let (documents, ids): (Vec<_>, Vec<_>) = outgoing.into_iter().map(|one| (one.document, one.content_id)).unzip();
        let sending = async { Ok(send(self, namespace, documents).await) };
        let mut outcome = self.until_given_up(sending).await.unwrap_or_else(|error| Outcome::Same(Err(error)));
        let results = match &mut outcome {
            Outcome::Each(results) => results.as_mut_slice(),
            Outcome::Same(result) if ids.len() == 1 => std::slice::from_mut(result),
            Outcome::Same(_) => return outcome,
        };
        for (result, id) in results.iter_mut().zip(ids) {
            if let (Err(error), Some(id)) = (result, id)
                && error.kind == ErrorKind::DuplicateKey
            {
                let there = if error.message.contains(&id) { Ok(true) } else { is_there(self, namespace, id).await };
                match there {
                    Ok(true) => error.kind = ErrorKind::DuplicateId,
                    Ok(false) => {}
                    // Not known: then it may be another time.
                    Err(unknown) => *error = unknown,
                }
            }
        }
        outcome
    }
}

/// Whether a document of this `_id` is stored.
async fn is_there(client: &DriverClient, namespace: &Namespace, id: String) -> Result<bool> {
    let query = Find { filter: doc! { "_id": id }, projection: Some(doc! { "_id": 1 }), ..Find::default() };
    find_one(client, namespace, query).await.map(|found| found.is_some())
}

async fn send(client: &DriverClient, namespace: &Namespace, documents: Vec<RawDocumentBuf>) -> Outcome {
    let statements = inserts(documents);
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let options = BulkOptions { ordered: statements.len() == 1, ..BulkOptions::default() };
    match insert_once(client, namespace, &statements, &options, None).await {
        Ok(answer) => match attempt.inserted_each(statements.len(), &answer) {
            Some(results) => Outcome::Each(results),
            None => Outcome::Same(Ok(())),
        },
        // One document that cannot be read spoils the command: nothing
        // of it was done, and its neighbours are owed their own result.
        Err(error) if statements.len() > 1 && is_unreadable(&error) => {
            let mut results = Vec::with_capacity(statements.len());
            for statement in statements {
                results.push(insert_one(client, namespace, statement.document, InsertOptions::default()).await);
            }
            Outcome::Each(results)
        }
        Err(error) => Outcome::Same(Err(error)),
    }
}

/// Whether the command was refused for what is written in it, before anything was done.
fn is_unreadable(error: &Error) -> bool {
    match error.kind {
        // BadValue, FailedToParse, TypeMismatch, Overflow, InvalidLength, InvalidBSON, BSONObjectTooLarge.
        ErrorKind::Operation => matches!(error.code, None | Some(2 | 9 | 14 | 15 | 16 | 22 | 10334)),
        ErrorKind::Configuration | ErrorKind::InvalidBson => true,
        _ => false,
    }
}

impl Flush for DriverClient {
    fn flush(self: Arc<Self>, runtime: &Handle) {
        Coalescer::flush(&self, runtime);
    }
}

/// Refuses a document that MongoDB would refuse.
///
/// # Errors
/// `DocumentTooLarge`.
pub fn check_size(client: &DriverClient, namespace: &Namespace, document: &RawDocumentBuf) -> Result<()> {
    within_limit(document, &Attempt { doing: DOING, namespace, settings: client.settings() })
}

/// Inserts one document.
///
/// # Errors
/// `DuplicateKey`, `Write`, `WriteConcern`, `DocumentTooLarge`, and those of any command.
pub async fn insert_one(
    client: &DriverClient,
    namespace: &Namespace,
    document: RawDocumentBuf,
    options: InsertOptions,
) -> Result<()> {
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    within_limit(&document, &attempt)?;
    let mut more = Document::new();
    if let Some(bypass) = options.bypass_document_validation {
        more.insert("bypassDocumentValidation", bypass);
    }
    if let Some(comment) = options.comment {
        more.insert("comment", comment);
    }
    let bulk = BulkOptions { ordered: true, more };
    let answer =
        insert_once(client, namespace, &[Statement::insert(document)], &bulk, options.session.as_deref()).await?;
    attempt.written(&answer)
}
