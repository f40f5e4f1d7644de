//! `insert_one` and `insert_many`. Every document comes with its `_id` first,
//! so that the driver sends the bytes as they are, and repeats them safely
//! (retryable writes: once, where the server supports it).

use std::ops::Range;
use std::sync::Arc;

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::{ErrorKind as DriverErrorKind, InsertManyError};
use tokio::runtime::Handle;

use super::error::{Attempt, Attempted, write_concern_error, write_error_document};
use super::find::{Find, find_one};
use super::{DriverClient, Namespace};
use crate::coalesce::{Coalescer, Flush, Limits, Outcome, SendBatch};
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::error::{Error, ErrorKind, Result, excerpt};

/// How documents are inserted.
#[derive(Debug, Clone, Default)]
pub struct InsertOptions {
    /// Skips the collection's document validation.
    pub bypass_document_validation: Option<bool>,
    /// Shows up in the server's log and profiler.
    pub comment: Option<Bson>,
    /// Whether to stop at the first document that is refused.
    pub ordered: bool,
}

const DOING: &str = "insert into";

/// The most that goes into one command, which keeps it below the 48 MB and
/// the 100,000 documents that a server takes.
const BATCH_BYTES: usize = 32 * 1024 * 1024;
const BATCH_DOCUMENTS: usize = 100_000;

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
        let mut outcome = send(self, namespace, documents).await;
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

async fn send(client: &DriverClient, namespace: &Namespace, mut documents: Vec<RawDocumentBuf>) -> Outcome {
    if documents.len() == 1
        && let Some(document) = documents.pop()
    {
        return Outcome::Same(insert_one(client, namespace, document, InsertOptions::default()).await);
    }
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let collection = match client.collection(namespace, &attempt).await {
        Ok(collection) => collection,
        Err(error) => return Outcome::Same(Err(error)),
    };
    match collection.insert_many(&documents).ordered(false).await {
        Ok(_) => Outcome::Same(Ok(())),
        Err(error) => match &*error.kind {
            DriverErrorKind::InsertMany(refused) => Outcome::Each(attempt.refused(documents.len(), refused, &error)),
            // One document that cannot be read spoils the command: nothing
            // of it was done, and its neighbours are owed their own result.
            _ if is_unreadable(&error) => {
                let mut results = Vec::with_capacity(documents.len());
                for document in documents {
                    results.push(insert_one(client, namespace, document, InsertOptions::default()).await);
                }
                Outcome::Each(results)
            }
            _ => Outcome::Same(Err(attempt.failed(&error))),
        },
    }
}

/// Whether the command was refused for what is written in it, before anything was done.
fn is_unreadable(error: &mongodb::error::Error) -> bool {
    match &*error.kind {
        // BadValue, FailedToParse, TypeMismatch, Overflow, InvalidLength, InvalidBSON, BSONObjectTooLarge.
        DriverErrorKind::Command(command) => matches!(command.code, 2 | 9 | 14 | 15 | 16 | 22 | 10334),
        DriverErrorKind::InvalidArgument { .. } | DriverErrorKind::Bson(_) => true,
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
    let collection = client.collection(namespace, &attempt).await?;
    let mut insert = collection.insert_one(document);
    if let Some(bypass) = options.bypass_document_validation {
        insert = insert.bypass_document_validation(bypass);
    }
    if let Some(comment) = options.comment {
        insert = insert.comment(comment);
    }
    insert.await.attempted(&attempt).map(drop)
}

/// Inserts documents, in as few commands as the server's limits allow.
///
/// # Errors
/// `BulkWrite`, with PyMongo's `details` but for each error's `op`, where some
/// were refused; else those of any command.
pub async fn insert_many(
    client: &DriverClient,
    namespace: &Namespace,
    documents: Vec<RawDocumentBuf>,
    options: InsertOptions,
) -> Result<()> {
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    for document in &documents {
        within_limit(document, &attempt)?;
    }
    let collection = client.collection(namespace, &attempt).await?;
    let mut failures = Failures::default();
    for batch in batches(&documents) {
        let mut insert = collection.insert_many(&documents[batch.clone()]).ordered(options.ordered);
        if let Some(bypass) = options.bypass_document_validation {
            insert = insert.bypass_document_validation(bypass);
        }
        if let Some(comment) = options.comment.clone() {
            insert = insert.comment(comment);
        }
        match insert.await {
            Ok(result) => failures.inserted += result.inserted_ids.len(),
            Err(error) => {
                let DriverErrorKind::InsertMany(refused) = &*error.kind else { return Err(attempt.failed(&error)) };
                failures.add(batch.start, refused);
                let refusals = refused.write_errors.as_deref().unwrap_or_default();
                match refusals.first() {
                    Some(first) if options.ordered => {
                        failures.inserted += first.index;
                        break;
                    }
                    _ => failures.inserted += batch.len() - refusals.len(),
                }
            }
        }
    }
    failures.into_result(&attempt)
}

fn within_limit(document: &RawDocumentBuf, attempt: &Attempt<'_>) -> Result<()> {
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

fn batches(documents: &[RawDocumentBuf]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, document) in documents.iter().enumerate() {
        let size = document.as_bytes().len();
        if place > start && (bytes + size > BATCH_BYTES || place - start == BATCH_DOCUMENTS) {
            batches.push(start..place);
            (start, bytes) = (place, 0);
        }
        bytes += size;
    }
    if start < documents.len() {
        batches.push(start..documents.len());
    }
    batches
}

#[derive(Default)]
struct Failures {
    inserted: usize,
    write_errors: Vec<Document>,
    write_concern_errors: Vec<Document>,
}

impl Failures {
    fn add(&mut self, start: usize, refused: &InsertManyError) {
        for error in refused.write_errors.iter().flatten() {
            self.write_errors.push(write_error_document(
                start + error.index,
                error.code,
                &error.message,
                error.details.as_ref(),
            ));
        }
        self.write_concern_errors.extend(refused.write_concern_error.as_ref().map(write_concern_error));
    }

    fn into_result(self, attempt: &Attempt<'_>) -> Result<()> {
        if self.write_errors.is_empty() && self.write_concern_errors.is_empty() {
            return Ok(());
        }
        let first = self.write_errors.first().or(self.write_concern_errors.first());
        let first = first.and_then(|error| error.get_str("errmsg").ok()).unwrap_or_default();
        let message = format!(
            "batch op errors occurred: {} inserted, {} refused; the first error: {} ({attempt})",
            self.inserted,
            self.write_errors.len(),
            excerpt(first, 500),
        );
        let details = doc! {
            "writeErrors": self.write_errors,
            "writeConcernErrors": self.write_concern_errors,
            "nInserted": i32::try_from(self.inserted).unwrap_or(i32::MAX),
            "nUpserted": 0,
            "nMatched": 0,
            "nModified": 0,
            "nRemoved": 0,
            "upserted": [],
        };
        Err(Error::new(ErrorKind::BulkWrite, message)
            .with_code(Some(65))
            .with_details(RawDocumentBuf::try_from(&details).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(size: usize) -> RawDocumentBuf {
        bson::rawdoc! { "t": "x".repeat(size) }
    }

    #[test]
    fn batches_keep_below_the_limits_and_lose_nothing() {
        assert!(batches(&[]).is_empty());
        let documents: Vec<_> = (0..5).map(|_| document(12 * 1024 * 1024)).collect();
        assert_eq!(batches(&documents), [0..2, 2..4, 4..5]);
        let documents = vec![document(1); BATCH_DOCUMENTS + 1];
        assert_eq!(batches(&documents), [0..BATCH_DOCUMENTS, BATCH_DOCUMENTS..BATCH_DOCUMENTS + 1]);
    }
}
