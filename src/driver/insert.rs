//! `insert_one` and merged inserts. Every document already contains its `_id`, so that a retry
//! cannot store it twice.

use std::sync::Arc;

use bson::{Bson, Document, RawDocumentBuf, doc};
use tokio::runtime::Handle;

use super::bulk::{BulkOptions, Statement, insert_once, inserts, within_limit};
use super::error::{Attempt, is_malformed_command};
use super::find::{Find, find_one};
use super::session::Session;
use super::{DriverClient, Namespace};
use crate::error::{ErrorKind, Result};
use crate::insert_queue::{Flush, InsertQueue, Limits, SendBatch, SendOutcome};

/// The options of an insert.
#[derive(Clone, Default)]
pub struct InsertOptions {
    /// Whether to skip the collection's schema validation.
    pub bypass_document_validation: Option<bool>,
    /// The comment in the server's log and profiler.
    pub comment: Option<Bson>,
    /// The session.
    pub session: Option<Arc<Session>>,
}

const DOING: &str = "insert into";

/// A document to insert.
pub struct BsonInsert {
    /// The document.
    pub document: RawDocumentBuf,
    /// Its `_id`, if that is a digest of the content. A duplicate of the `_id` is then reported as
    /// `DuplicateId`, any other duplicate as `DuplicateKey`.
    pub content_id: Option<String>,
}

/// Sends merged inserts, all of which have the default options.
impl SendBatch for DriverClient {
    type Document = BsonInsert;
    const LIMITS: Limits = Limits {
        documents: 1_000,
        bytes: 8 * 1024 * 1024,
        parallel_bytes: 128 * 1024,
        in_flight: 4,
        large: 32 * 1024,
        large_in_flight: 32,
        worthwhile: 32,
    };

    fn size(document: &BsonInsert) -> usize {
        document.document.as_bytes().len()
    }

    async fn send(&self, namespace: &Namespace, inserts: Vec<BsonInsert>) -> SendOutcome {
        let (documents, ids): (Vec<_>, Vec<_>) =
            inserts.into_iter().map(|insert| (insert.document, insert.content_id)).unzip();
        let sending = async { Ok(send(self, namespace, documents).await) };
        let mut outcome = self.until_given_up(sending).await.unwrap_or_else(|error| SendOutcome::Same(Err(error)));
        let results = match &mut outcome {
            SendOutcome::Each(results) => results.as_mut_slice(),
            SendOutcome::Same(result) if ids.len() == 1 => std::slice::from_mut(result),
            SendOutcome::Same(_) => return outcome,
        };
        for (result, id) in results.iter_mut().zip(ids) {
            if let (Err(error), Some(id)) = (result, id)
                && error.kind == ErrorKind::DuplicateKey
            {
                let stored = if error.message.contains(&id) { Ok(true) } else { is_stored(self, namespace, id).await };
                match stored {
                    Ok(true) => error.kind = ErrorKind::DuplicateId,
                    Ok(false) => {}
                    // It is unknown which key is the duplicate, so the caller may retry.
                    Err(unknown) => *error = unknown,
                }
            }
        }
        outcome
    }
}

/// Returns whether a document with this `_id` is stored.
async fn is_stored(client: &DriverClient, namespace: &Namespace, id: String) -> Result<bool> {
    let query = Find { filter: doc! { "_id": id }, projection: Some(doc! { "_id": 1 }), ..Find::default() };
    find_one(client, namespace, query).await.map(|found| found.is_some())
}

async fn send(client: &DriverClient, namespace: &Namespace, documents: Vec<RawDocumentBuf>) -> SendOutcome {
    let statements = inserts(documents);
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let options = BulkOptions { ordered: statements.len() == 1, ..BulkOptions::default() };
    match insert_once(client, namespace, &statements, &options, None).await {
        Ok(reply) => match attempt.inserted_each(statements.len(), &reply) {
            Some(results) => SendOutcome::Each(results),
            None => SendOutcome::Same(Ok(())),
        },
        // One malformed document fails the whole command, of which nothing was executed. Send each
        // document alone, so that the others are stored.
        Err(error) if statements.len() > 1 && is_malformed_command(&error) => {
            let mut results = Vec::with_capacity(statements.len());
            for statement in statements {
                results.push(insert_one(client, namespace, statement.document, InsertOptions::default()).await);
            }
            SendOutcome::Each(results)
        }
        Err(error) => SendOutcome::Same(Err(error)),
    }
}

impl Flush for DriverClient {
    fn flush(self: Arc<Self>, runtime: &Handle) {
        InsertQueue::flush(&self, runtime);
    }
}

/// Checks the size of a document.
///
/// # Errors
/// `DocumentTooLarge` if MongoDB would reject it.
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
    let reply =
        insert_once(client, namespace, &[Statement::insert(document)], &bulk, options.session.as_deref()).await?;
    attempt.written(&reply)
}
