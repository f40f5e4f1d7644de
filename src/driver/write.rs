//! Updates, replacements and deletions, and what finds and changes at once.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf};
use mongodb::options::{
    DeleteOptions, FindOneAndDeleteOptions, FindOneAndReplaceOptions, FindOneAndUpdateOptions, ReplaceOptions,
    ReturnDocument, UpdateModifications, UpdateOptions,
};
use mongodb::results::{DeleteResult, UpdateResult};
use serde_core::de::DeserializeOwned;

use super::error::{Attempt, Attempted};
use super::session::{Session, send, send_write};
use super::{DriverClient, Namespace};
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

impl From<UpdateResult> for Updated {
    fn from(result: UpdateResult) -> Self {
        Self { matched: result.matched_count, modified: result.modified_count, upserted: result.upserted_id }
    }
}

/// Whether an update changed anything.
fn has_changed(result: &UpdateResult) -> bool {
    result.modified_count > 0 || result.upserted_id.is_some()
}

/// The driver's options of MongoDB's own names for them.
pub(super) fn options<T: DeserializeOwned>(options: Document) -> Result<T> {
    bson::deserialize_from_document(options).map_err(|error| {
        Error::new(
            ErrorKind::Configuration,
            format!("the options cannot be used: {}", crate::error::excerpt(&error.to_string(), 200)),
        )
    })
}

fn modifications(update: Bson) -> Result<UpdateModifications> {
    let wrong = || Error::new(ErrorKind::Configuration, "an update is a document or a pipeline of stages");
    match update {
        Bson::Document(document) => Ok(UpdateModifications::Document(document)),
        Bson::Array(stages) => {
            let stages = stages.into_iter().map(|stage| match stage {
                Bson::Document(stage) => Ok(stage),
                _ => Err(wrong()),
            });
            Ok(UpdateModifications::Pipeline(stages.collect::<Result<_>>()?))
        }
        _ => Err(wrong()),
    }
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
    let (update, given) = (modifications(update)?, options::<UpdateOptions>(given)?);
    let collection = client.collection_in(namespace, &attempt, session.as_deref()).await?;
    let updated = if many {
        send_write!(
            session,
            client,
            &attempt,
            collection.update_many(filter.clone(), update.clone()).with_options(given.clone()),
            has_changed
        )
    } else {
        send_write!(
            session,
            client,
            &attempt,
            collection.update_one(filter.clone(), update.clone()).with_options(given.clone()),
            has_changed
        )
    };
    updated.attempted(&attempt).map(Updated::from)
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
    let given = options::<ReplaceOptions>(given)?;
    let collection = client.collection_in(namespace, &attempt, session.as_deref()).await?;
    send_write!(
        session,
        client,
        &attempt,
        collection.replace_one(filter.clone(), replacement.clone()).with_options(given.clone()),
        has_changed
    )
    .attempted(&attempt)
    .map(Updated::from)
}

/// Deletes the first document that matches, or all that do; gives how many.
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
    let given = options::<DeleteOptions>(given)?;
    let collection = client.collection_in(namespace, &attempt, session.as_deref()).await?;
    let deleted = if many {
        send_write!(
            session,
            client,
            &attempt,
            collection.delete_many(filter.clone()).with_options(given.clone()),
            |deleted: &DeleteResult| deleted.deleted_count > 0
        )
    } else {
        send_write!(
            session,
            client,
            &attempt,
            collection.delete_one(filter.clone()).with_options(given.clone()),
            |deleted: &DeleteResult| deleted.deleted_count > 0
        )
    };
    deleted.attempted(&attempt).map(|deleted| deleted.deleted_count)
}

/// What was found was most likely changed; where it was not, the answer need not be newer.
const FOUND: fn(&Option<RawDocumentBuf>) -> bool = Option::is_some;

/// What [`find_one_and`] does with what it finds.
#[derive(Debug, Clone)]
pub enum Then {
    /// Changes it.
    Update(Bson),
    /// Puts another in its place.
    Replace(RawDocumentBuf),
    /// Deletes it.
    Delete,
}

/// What to find and change.
pub struct FindOneAnd {
    /// The query.
    pub filter: Document,
    /// What becomes of it.
    pub then: Then,
    /// Whether it is given as it is then.
    pub after: bool,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// More of MongoDB's options.
    pub given: Document,
    /// The session.
    pub session: Option<Arc<Session>>,
}

/// Finds the first document that matches, and changes it; gives it as it was,
/// or, if `after`, as it is then.
///
/// # Errors
/// As [`update`].
pub async fn find_one_and(
    client: &DriverClient,
    namespace: &Namespace,
    call: FindOneAnd,
) -> Result<Option<RawDocumentBuf>> {
    let FindOneAnd { filter, then, after, max_time, given, session } = call;
    let attempt = Attempt { doing: "find and change in", namespace, settings: client.settings() };
    let collection = client.collection_in(namespace, &attempt, session.as_deref()).await?;
    let which = if after { ReturnDocument::After } else { ReturnDocument::Before };
    match then {
        Then::Update(update) => {
            let mut given = options::<FindOneAndUpdateOptions>(given)?;
            given.return_document = Some(which);
            given.max_time = max_time;
            let update = modifications(update)?;
            send_write!(
                session,
                client,
                &attempt,
                collection.find_one_and_update(filter.clone(), update.clone()).with_options(given.clone()),
                FOUND,
                is_newer
            )
        }
        Then::Replace(replacement) => {
            let mut given = options::<FindOneAndReplaceOptions>(given)?;
            given.return_document = Some(which);
            given.max_time = max_time;
            send_write!(
                session,
                client,
                &attempt,
                collection.find_one_and_replace(filter.clone(), replacement.clone()).with_options(given.clone()),
                FOUND,
                is_newer
            )
        }
        Then::Delete => {
            let mut given = options::<FindOneAndDeleteOptions>(given)?;
            given.max_time = max_time;
            send_write!(
                session,
                client,
                &attempt,
                collection.find_one_and_delete(filter.clone()).with_options(given.clone()),
                FOUND,
                is_newer
            )
        }
    }
    .attempted(&attempt)
}
