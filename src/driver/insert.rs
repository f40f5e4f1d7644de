//! `insert_one` and merged inserts. Every document already contains its `_id`, so that a retry
//! cannot store it twice.

use std::sync::Arc;

use bson::{Bson, Document, RawDocumentBuf, doc};
use tokio::runtime::Handle;

use super::bulk::{BulkOptions, Statement, insert_once, inserts};
use super::error::{Attempt, is_malformed_command};
use super::find::{Find, find_one};
use super::session::Session;
use super::time_limit::Deadline;
use super::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind, Result};
use crate::insert_queue::{Flush, InsertQueue, Limits, SendBatch, SendOutcome, Submission, awaited};
use crate::listener::{Caller, attributed};
use crate::store::Seal;

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
    /// What completes its `_id`, if that is a digest of the content. A duplicate of the `_id` is then
    /// reported as `DuplicateId`, any other duplicate as `DuplicateKey`.
    pub seal: Option<Seal>,
    /// The caller that command events are attributed to.
    pub caller: Option<Caller>,
}

/// Sends merged inserts, all of which have the default options.
impl SendBatch for DriverClient {
    type Document = BsonInsert;
    const LIMITS: Limits = Limits::of_commands(8 * 1024 * 1024);

    fn size(document: &BsonInsert) -> usize {
        document.document.as_bytes().len()
    }

    async fn send(&self, namespace: &Namespace, inserts: Vec<BsonInsert>) -> SendOutcome {
        let count = inserts.len();
        let (mut documents, mut ids, mut callers) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for BsonInsert { document, seal, caller } in inserts {
            let (document, id) = match seal {
                None => (document, None),
                Some(seal) => match seal.complete(document) {
                    Ok((document, id)) => (document, Some(id)),
                    Err(error) => return SendOutcome::Same(Err(error)),
                },
            };
            documents.push(document);
            ids.push(id);
            callers.push(caller);
        }
        let timeout = self.settings().time_limits.call;
        let deadline = timeout.map(|timeout| Deadline::after(timeout, timeout));
        let sending = Deadline::scope(deadline, async { Ok(send(self, namespace, documents, &callers).await) });
        let sending = self.until_given_up(sending);
        let outcome = match self.beyond.merged_insert_time {
            None => sending.await,
            Some(time) => tokio::time::timeout(time, sending).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::NetworkTimeout, format!("an insert into {namespace} did not end in time")))
            }),
        };
        let mut outcome = outcome.unwrap_or_else(|error| SendOutcome::Same(Err(error)));
        let results = match &mut outcome {
            SendOutcome::Each(results) => results.as_mut_slice(),
            SendOutcome::Same(result) if ids.len() == 1 => std::slice::from_mut(result),
            SendOutcome::Same(_) => return outcome,
        };
        for ((result, id), caller) in results.iter_mut().zip(ids).zip(callers) {
            if let (Err(error), Some(id)) = (result, id)
                && error.kind == ErrorKind::DuplicateKey
            {
                let stored = match error.message.contains(&id) {
                    true => Ok(true),
                    false => for_callers(self, &[caller], Box::pin(is_stored(self, namespace, id))).await,
                };
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

/// Runs `work` and attributes its events to the callers, if the client has a listener of commands.
async fn for_callers<F: Future>(client: &DriverClient, callers: &[Option<Caller>], work: F) -> F::Output {
    match client.listener() {
        Some(listener) if callers.iter().any(Option::is_some) => {
            attributed(listener, callers.iter().flatten().cloned().collect(), work).await
        }
        _ => work.await,
    }
}

async fn send(
    client: &DriverClient,
    namespace: &Namespace,
    documents: Vec<RawDocumentBuf>,
    callers: &[Option<Caller>],
) -> SendOutcome {
    let statements = inserts(&documents);
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let options = BulkOptions { ordered: statements.len() == 1, ..BulkOptions::default() };
    // Each future that takes another one holds it twice. A box keeps the task that sends small.
    let sending = insert_once(client, namespace, &statements, &options, None);
    match for_callers(client, callers, Box::pin(sending)).await {
        Ok(reply) => match attempt.inserted_each(statements.len(), &reply) {
            Some(results) => SendOutcome::Each(results),
            None => SendOutcome::Same(Ok(())),
        },
        // One malformed document fails the whole command, of which nothing was executed. Send each
        // document alone, so that the others are stored.
        Err(error) if statements.len() > 1 && is_malformed_command(&error) => {
            let mut results = Vec::with_capacity(statements.len());
            for (document, caller) in documents.into_iter().zip(callers) {
                let inserting = insert_one(client, namespace, document, InsertOptions::default());
                results.push(for_callers(client, std::slice::from_ref(caller), Box::pin(inserting)).await);
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
    let mut more = Document::new();
    if let Some(bypass) = options.bypass_document_validation {
        more.insert("bypassDocumentValidation", bypass);
    }
    if let Some(comment) = options.comment {
        more.insert("comment", comment);
    }
    let bulk = BulkOptions { ordered: true, more };
    let reply =
        insert_once(client, namespace, &[Statement::insert(&document)], &bulk, options.session.as_deref()).await?;
    attempt.written(&reply)
}

/// Inserts one document, if possible in one command with other inserts into the collection. Its write is acknowledged
/// and has no options.
///
/// # Errors
/// As [`insert_one`].
pub async fn insert_merged(
    client: &Arc<DriverClient>,
    namespace: &Arc<Namespace>,
    document: RawDocumentBuf,
) -> Result<()> {
    let (caller, finished) = awaited();
    client.insert_queue.room().await;
    let insert = BsonInsert { document, seal: None, caller: None };
    InsertQueue::insert(client, &client.runtime, namespace, insert, caller, Submission::Blocking);
    finished.await
}
