//! `find_one` and `find`.

use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use mongodb::options::{Collation, FindOneOptions, FindOptions, Hint};

use super::error::{Attempt, Attempted};
use super::{DriverClient, Namespace};
use crate::cursor::Batch;
use crate::error::{Error, ErrorKind, Result};

/// What to look for, and how.
#[derive(Debug, Clone, Default)]
pub struct Find {
    /// The query.
    pub filter: Document,
    /// Which fields to return.
    pub projection: Option<Document>,
    /// In which order to look.
    pub sort: Option<Document>,
    /// How many matches to pass over.
    pub skip: Option<u64>,
    /// The most matches to return; as many in one batch, if it is negative.
    pub limit: Option<i64>,
    /// The most matches in one batch.
    pub batch_size: Option<u32>,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// Shows up in the server's log and profiler.
    pub comment: Option<Bson>,
    /// The index to use: its name, or its keys.
    pub hint: Option<Bson>,
    /// How texts compare.
    pub collation: Option<Document>,
    /// Variables for the query's expressions.
    pub let_vars: Option<Document>,
    /// The exclusive upper bound in the index of `hint`.
    pub max: Option<Document>,
    /// The inclusive lower bound in the index of `hint`.
    pub min: Option<Document>,
    /// Whether the server may sort on disk.
    pub allow_disk_use: Option<bool>,
    /// Whether the shards that answer are enough.
    pub allow_partial_results: Option<bool>,
    /// Whether the server keeps an idle cursor.
    pub no_cursor_timeout: Option<bool>,
    /// Whether to return the index's keys only.
    pub return_key: Option<bool>,
    /// Whether to add `$recordId`.
    pub show_record_id: Option<bool>,
}

const DOING: &str = "find in";

/// The first document that matches, if any does. Repeated once by the driver
/// where the connection broke (retryable reads).
///
/// # Errors
/// Those of any command.
pub async fn find_one(client: &DriverClient, namespace: &Namespace, query: Find) -> Result<Option<RawDocumentBuf>> {
    let attempt = Attempt { doing: DOING, namespace, settings: client.settings() };
    let collection = client.collection(namespace, &attempt).await?;
    let mut options = FindOneOptions::default();
    options.collation = collation(query.collation)?;
    options.hint = hint(query.hint);
    options.projection = query.projection;
    options.sort = query.sort;
    options.skip = query.skip;
    options.max_time = query.max_time;
    options.comment = query.comment;
    options.let_vars = query.let_vars;
    options.max = query.max;
    options.min = query.min;
    options.allow_partial_results = query.allow_partial_results;
    options.return_key = query.return_key;
    options.show_record_id = query.show_record_id;
    collection.find_one(query.filter).with_options(options).await.attempted(&attempt)
}

/// All documents that match, batch by batch. Each command is repeated once by
/// the driver where the connection broke (retryable reads), but for those that
/// go on with a cursor.
///
/// # Errors
/// Those of any command.
pub async fn find(
    client: std::sync::Arc<DriverClient>,
    namespace: std::sync::Arc<Namespace>,
    query: Find,
) -> Result<BoxStream<'static, Result<Batch>>> {
    let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
    let collection = client.collection(&namespace, &attempt).await?;
    let mut options = FindOptions::default();
    options.collation = collation(query.collation)?;
    options.hint = hint(query.hint);
    options.projection = query.projection;
    options.sort = query.sort;
    options.skip = query.skip;
    options.limit = query.limit;
    options.batch_size = query.batch_size;
    options.max_time = query.max_time;
    options.comment = query.comment;
    options.let_vars = query.let_vars;
    options.max = query.max;
    options.min = query.min;
    options.allow_disk_use = query.allow_disk_use;
    options.allow_partial_results = query.allow_partial_results;
    options.no_cursor_timeout = query.no_cursor_timeout;
    options.return_key = query.return_key;
    options.show_record_id = query.show_record_id;
    let cursor = collection.find(query.filter).with_options(options).batch().await.attempted(&attempt)?;
    let batches = cursor.map(move |batch| {
        let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
        Batch::of_mongodb(batch.attempted(&attempt)?)
    });
    Ok(batches.boxed())
}

fn hint(hint: Option<Bson>) -> Option<Hint> {
    match hint {
        Some(Bson::String(name)) => Some(Hint::Name(name)),
        Some(Bson::Document(keys)) => Some(Hint::Keys(keys)),
        _ => None,
    }
}

fn collation(collation: Option<Document>) -> Result<Option<Collation>> {
    collation
        .map(bson::deserialize_from_document)
        .transpose()
        .map_err(|error| Error::new(ErrorKind::Configuration, format!("the collation cannot be used: {error}")))
}
