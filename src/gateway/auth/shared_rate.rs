//! Rates that the instances of a gateway share: the token bucket of each caller is a document in MongoDB.
//!
//! Each instance decides by buckets of its own, and once a second tells MongoDB how many requests it has let through. It
//! then goes on with the levels that MongoDB returns. So a request never waits for MongoDB, and the cost does not depend on
//! the number of requests: two commands a second for all callers. MongoDB's clock refills the buckets.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};

use super::rate::RateLimiter;
use crate::driver::command::{CommandOptions, list, run_command};
use crate::driver::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind, Result};

/// How often an instance tells MongoDB what it has let through.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long MongoDB may take.
const TIME: Duration = Duration::from_secs(2);
/// The callers in one command. Further ones wait for the next.
const MAX_CALLERS: usize = 1000;

/// The buckets of all instances.
pub(in crate::gateway) struct SharedRate {
    client: Arc<DriverClient>,
    namespace: Namespace,
}

impl SharedRate {
    /// The buckets in a collection.
    pub(in crate::gateway) fn new(client: Arc<DriverClient>, namespace: Namespace) -> Self {
        Self { client, namespace }
    }

    /// Shares the rates of `limiter`, until the returned future is dropped. `failed` is called with each problem; until
    /// the next success the limits are those of the instance.
    pub(in crate::gateway) async fn share(&self, limiter: &RateLimiter<Arc<str>>, failed: impl Fn(&Error)) {
        let mut has_index = false;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let sharing = async {
                if !has_index {
                    self.create_index(limiter).await?;
                    has_index = true;
                }
                self.synchronize(limiter).await
            };
            let late = || Err(Error::new(ErrorKind::ExecutionTimeout, "MongoDB takes too long"));
            if let Err(error) = tokio::time::timeout(TIME, sharing).await.unwrap_or_else(|_| late()) {
                // What was let through meanwhile is not made up for.
                drop(limiter.take_unsent(usize::MAX));
                failed(&error);
            }
        }
    }

    /// Lets MongoDB delete the buckets of callers that send nothing. A full bucket is the same as none.
    async fn create_index(&self, limiter: &RateLimiter<Arc<str>>) -> Result<()> {
        let seconds = limiter.refill_time().as_secs().saturating_add(60).min(i32::MAX as u64) as i64;
        let index = doc! { "key": { "at": 1 }, "name": "at_1", "expireAfterSeconds": seconds };
        let command = doc! { "createIndexes": &self.namespace.collection, "indexes": [index] };
        match self.run(command).await {
            // It exists, with the time of other settings.
            Err(error) if matches!(error.code, Some(85 | 86)) => Ok(()),
            result => result,
        }
    }

    async fn synchronize(&self, limiter: &RateLimiter<Arc<str>>) -> Result<()> {
        let sent = limiter.take_unsent(MAX_CALLERS);
        if sent.is_empty() {
            return Ok(());
        }
        let names: Vec<Bson> = sent.iter().map(|(caller, _)| Bson::String(caller.to_string())).collect();
        let updates: Vec<Document> = sent
            .iter()
            .map(|(caller, requests)| doc! { "q": { "_id": &**caller }, "u": [limiter.level_after(*requests)], "upsert": true })
            .collect();
        let collection = &self.namespace.collection;
        self.run(doc! { "update": collection, "updates": updates, "ordered": false }).await?;
        let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
        let find = doc! {
            "find": collection, "filter": { "_id": { "$in": names } }, "limit": count, "batchSize": count,
            "singleBatch": true,
        };
        let database = self.namespace.database.clone();
        for level in list(&self.client, database, find, CommandOptions::once(None)).await? {
            if let (Ok(caller), Ok(tokens)) = (level.get_str("_id"), level.get_f64("tokens")) {
                limiter.set_level(caller, tokens);
            }
        }
        Ok(())
    }

    async fn run(&self, command: Document) -> Result<()> {
        let database = self.namespace.database.clone();
        run_command(&self.client, database, command, CommandOptions::once(None)).await.map(drop)
    }
}
