//! The collection that a request addresses.

use std::sync::Arc;

use axum::http::StatusCode;

use super::api_error::{ApiError, ApiResult};
use super::arguments::Arguments;
use super::auth::logins::OWN_COLLECTIONS;
use crate::config::{collection_name, database_name};
use crate::driver::Namespace;

/// MongoDB's internal databases. No key can open them.
const INTERNAL_DATABASES: [&str; 3] = ["admin", "config", "local"];
/// MongoDB's limit for `database.collection`, in bytes.
pub(super) const MAX_NAMESPACE_BYTES: usize = 255;
/// The limit for `dataSource`, in bytes, so that log lines are bounded.
const MAX_DATA_SOURCE_BYTES: usize = 128;

/// The data source and the collection that a request addresses.
pub(super) struct RequestTarget {
    pub(super) data_source: String,
    pub(super) namespace: Arc<Namespace>,
}

impl RequestTarget {
    /// Reads `database` and `collection` and validates all three names.
    pub(super) fn parse(data_source: String, arguments: &Arguments<'_>) -> ApiResult<Self> {
        Self::new(data_source, arguments.text("database")?.to_owned(), arguments.text("collection")?.to_owned())
    }

    /// Validates the names.
    pub(super) fn new(data_source: String, database: String, collection: String) -> ApiResult<Self> {
        database_name(&database).map_err(|problem| ApiError::invalid(format!("'database' {problem}")))?;
        collection_name(&collection).map_err(|problem| ApiError::invalid(format!("'collection' {problem}")))?;
        if data_source.len() > MAX_DATA_SOURCE_BYTES || exceeds_namespace_limit(&database, &collection) {
            return Err(ApiError::invalid(format!(
                "the names are too long: the limit is {MAX_NAMESPACE_BYTES} bytes for a namespace and \
                 {MAX_DATA_SOURCE_BYTES} bytes for 'dataSource'"
            )));
        }
        reject_internal(&database, &collection)?;
        Ok(Self { data_source, namespace: Arc::new(Namespace::new(database, collection)) })
    }
}

/// Whether `database.collection` is longer than MongoDB allows.
pub(super) fn exceeds_namespace_limit(database: &str, collection: &str) -> bool {
    database.len() + 1 + collection.len() > MAX_NAMESPACE_BYTES
}

/// Rejects MongoDB's internal databases and collections, and the gateway's own.
pub(super) fn reject_internal(database: &str, collection: &str) -> ApiResult<()> {
    if collection.starts_with("system.") {
        return Err(ApiError::not_allowed(format!(
            "the collection '{collection}' is internal to MongoDB and not available through the Data API"
        )));
    }
    if collection.starts_with(OWN_COLLECTIONS) {
        return Err(ApiError::not_allowed(format!(
            "the collection '{collection}' is the gateway's own and not available through the Data API"
        )));
    }
    if INTERNAL_DATABASES.contains(&database) {
        let message =
            format!("the database '{database}' is internal to MongoDB and not available through the Data API");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "InvalidParameter", message));
    }
    Ok(())
}
