//! `find_one`.

use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf};
use mongodb::options::{FindOneOptions, Hint};

use super::error::{Attempt, Attempted};
use super::{DriverClient, Namespace};
use crate::error::Result;

/// What to look for, and how.
#[derive(Debug, Clone, Default)]
pub struct FindOne {
    /// The query.
    pub filter: Document,
    /// Which fields to return.
    pub projection: Option<Document>,
    /// In which order to look.
    pub sort: Option<Document>,
    /// How many matches to pass over.
    pub skip: Option<u64>,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// Shows up in the server's log and profiler.
    pub comment: Option<Bson>,
    /// The index to use: its name, or its keys.
    pub hint: Option<Bson>,
}

/// The first document that matches, if any does. Repeated once by the driver
/// where the connection broke (retryable reads).
///
/// # Errors
/// Those of any command.
pub async fn find_one(client: &DriverClient, namespace: &Namespace, query: FindOne) -> Result<Option<RawDocumentBuf>> {
    let attempt = Attempt { doing: "find in", namespace, settings: client.settings() };
    let collection = client.collection(namespace, &attempt).await?;
    let mut options = FindOneOptions::default();
    options.projection = query.projection;
    options.sort = query.sort;
    options.skip = query.skip;
    options.max_time = query.max_time;
    options.comment = query.comment;
    options.hint = match query.hint {
        Some(Bson::String(name)) => Some(Hint::Name(name)),
        Some(Bson::Document(keys)) => Some(Hint::Keys(keys)),
        _ => None,
    };
    collection.find_one(query.filter).with_options(options).await.attempted(&attempt)
}
