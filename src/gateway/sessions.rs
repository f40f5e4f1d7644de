//! The sessions of logins: a document for each, in a collection of the gateway's own, until the session ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{DateTime, Document, doc};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::auth::logins::{LoggedIn, SessionsConfig};
use crate::driver::DriverClient;
use crate::driver::command::{CommandOptions, list, run_command};
use crate::error::{Error, ErrorKind, Result};

/// Stores sessions, so that they can be revoked on all instances of the gateway.
pub(super) struct SessionStore {
    client: Arc<DriverClient>,
    database: String,
    collection: String,
    /// How long MongoDB may take.
    time: Duration,
    /// Whether the collection has the index that removes sessions at their end.
    has_index: AtomicBool,
}

impl SessionStore {
    /// A store on a data source's client.
    pub(super) fn new(client: Arc<DriverClient>, config: &SessionsConfig, time: Duration) -> Self {
        let SessionsConfig { database, collection, .. } = config.clone();
        Self { client, database, collection, time, has_index: AtomicBool::new(false) }
    }

    /// Stores a session that ends after `seconds`.
    ///
    /// # Errors
    /// Those of the driver.
    pub(super) async fn begin(&self, session: &LoggedIn, seconds: u32) -> Result<()> {
        if !self.has_index.load(Ordering::Relaxed) {
            let index = doc! { "key": { "expires": 1 }, "name": "expires", "expireAfterSeconds": 0 };
            self.write(doc! { "createIndexes": &self.collection, "indexes": [index] }).await?;
            self.has_index.store(true, Ordering::Relaxed);
        }
        let now = DateTime::now();
        let document = doc! {
            "_id": session.session_id(),
            "user": session.user_id(),
            "provider": session.provider().name(),
            "created": now,
            "expires": DateTime::from_millis(now.timestamp_millis() + i64::from(seconds) * 1000),
        };
        self.write(doc! { "insert": &self.collection, "documents": [document] }).await
    }

    /// Whether a session was neither revoked nor has ended.
    ///
    /// # Errors
    /// Those of the driver.
    pub(super) async fn is_active(&self, id: &str) -> Result<bool> {
        let filter = doc! { "_id": id, "expires": { "$gt": DateTime::now() } };
        let find = doc! { "find": &self.collection, "filter": filter, "limit": 1, "singleBatch": true };
        let finding = list(&self.client, self.database.clone(), find, CommandOptions::reading(None));
        Ok(!timeout(self.time, finding).await.map_err(late)??.is_empty())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Those of the driver.
    pub(super) async fn revoke(&self, id: &str) -> Result<()> {
        let deletion = doc! { "q": { "_id": id }, "limit": 1 };
        self.write(doc! { "delete": &self.collection, "deletes": [deletion] }).await
    }

    async fn write(&self, mut command: Document) -> Result<()> {
        // A session that was revoked must stay so after a failover.
        command.insert("writeConcern", doc! { "w": "majority" });
        let options = CommandOptions { writes: true, ..CommandOptions::default() };
        let running = run_command(&self.client, self.database.clone(), command, options);
        match timeout(self.time, running).await.map_err(late)??.get_array("writeErrors") {
            Ok(_) => Err(Error::new(ErrorKind::Write, "the collection of sessions was not changed")),
            Err(_) => Ok(()),
        }
    }
}

fn late(_: Elapsed) -> Error {
    Error::new(ErrorKind::NetworkTimeout, "MongoDB did not respond in time")
}
