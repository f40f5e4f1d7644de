//! The collection that a call addresses.

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::concern::Concerns;

/// A database and a collection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace {
    /// The database's name.
    pub database: String,
    /// The collection's name.
    pub collection: String,
    /// Concerns and read preference that override the client's.
    pub concerns: Arc<Concerns>,
}

impl Namespace {
    /// Creates a namespace with the client's concerns and read preference.
    pub fn new(database: impl Into<String>, collection: impl Into<String>) -> Self {
        static OF_CLIENT: LazyLock<Arc<Concerns>> = LazyLock::new(Arc::default);
        Self { database: database.into(), collection: collection.into(), concerns: Arc::clone(&OF_CLIENT) }
    }

    /// Returns the same namespace with the server's default write concern.
    pub(crate) fn with_default_write_concern(&self) -> Self {
        Self { concerns: Arc::new(self.concerns.with_default_write_concern()), ..self.clone() }
    }

    /// Returns whether both name the same collection, regardless of their options.
    pub fn is_named_as(&self, other: &Self) -> bool {
        self.database == other.database && self.collection == other.collection
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}
