//! Checks whether a reply belongs to the command that was sent.
//!
//! The driver treats the next message on a connection as the reply, whatever its `responseTo` field contains. If a
//! message is duplicated, all later replies on that connection belong to earlier commands: the connection is out of
//! sync. Three checks detect this:
//!
//! - **Shape.** The reply to an insert counts no more documents than were sent. A cursor belongs to the requested
//!   collection and keeps its ID.
//! - **Time.** A write that changed something has an `operationTime` later than any `$clusterTime` that was sent with
//!   it, since the server first advances its clock to that time. So if a write's reply is not newer than the newest
//!   reply known before the write was sent, it belongs to an earlier command.
//! - **Echo.** The error for an unknown command contains the command's name. A connection that replies anything else to
//!   a name that was never used before is out of sync.
//!
//! A connection that is out of sync is closed by a message longer than the server allows: the driver does not send it,
//! but closes the connection. The pool is last in, first out, so the next command most likely uses the connection in
//! question; the echo confirms it.

use std::sync::atomic::{AtomicU64, Ordering};

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use futures_util::future::BoxFuture;
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind};
use mongodb::raw_batch_cursor::RawBatch;

use super::error::{Attempt, is_malformed_reply};
use super::{DriverClient, Namespace};
use crate::batch_stream::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::listener::unobserved;

/// The maximum number of probes for a connection that is out of sync.
const MAX_PROBES: usize = 8;
/// The server's times are ignored after more false alarms than this, if they are also more than one in `ONE_IN` replies.
const MAX_FALSE_ALARMS: u64 = 3;
const ONE_IN: u64 = 10;
/// Exceeds `maxMessageSizeBytes` of any server.
const OVERSIZED: usize = 48_000_001;

/// The newest `operationTime` of the writes of a client, and how reliable the server's times are.
#[derive(Default)]
pub(super) struct ClusterTimes {
    newest: AtomicU64,
    /// The number of replies that were newer, as expected.
    confirmed: AtomicU64,
    false_alarms: AtomicU64,
    /// The number of searches for a connection that is out of sync, and how many are running.
    searches: AtomicU64,
    running_searches: AtomicU64,
}

/// A running search for a connection that is out of sync.
struct Search<'a>(&'a ClusterTimes);

impl Drop for Search<'_> {
    fn drop(&mut self) {
        self.0.running_searches.fetch_sub(1, Ordering::AcqRel);
    }
}

fn as_number(time: Timestamp) -> u64 {
    u64::from(time.time) << 32 | u64::from(time.increment)
}

impl ClusterTimes {
    /// Returns the newest time so far. Read it before a write is sent.
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    fn start_search(&self) -> Search<'_> {
        self.running_searches.fetch_add(1, Ordering::AcqRel);
        self.searches.fetch_add(1, Ordering::AcqRel);
        Search(self)
    }

    /// Returns the number of searches, or `None` during one. If it is the same before a write is sent and after its
    /// reply, no search ran in between. A connection that is out of sync may serve other calls before it is closed,
    /// with replies that were never read.
    pub(super) fn search_count(&self) -> Option<u64> {
        (self.running_searches.load(Ordering::Acquire) == 0).then(|| self.searches.load(Ordering::Acquire))
    }

    fn are_unreliable(&self) -> bool {
        let false_alarms = self.false_alarms.load(Ordering::Acquire);
        false_alarms > MAX_FALSE_ALARMS && false_alarms * ONE_IN > self.confirmed.load(Ordering::Acquire)
    }

    /// Returns whether the reply to a write that changed something is newer than the time known before it was sent.
    /// Returns true if the server sends no times, or unreliable ones.
    fn is_newer(&self, known: u64, time: Option<Timestamp>) -> bool {
        let Some(time) = time.map(as_number) else { return true };
        let newer = time > known;
        if newer {
            self.newest.fetch_max(time, Ordering::AcqRel);
            if known > 0 {
                self.confirmed.fetch_add(1, Ordering::AcqRel);
            }
        }
        newer || self.are_unreliable()
    }

    /// Records a time that is not newer although no connection is out of sync: the server's clock may have been set
    /// back. Returns whether to accept the reply, because this server's times were never useful.
    fn record_false_alarm(&self, time: Option<Timestamp>) -> bool {
        self.false_alarms.fetch_add(1, Ordering::AcqRel);
        self.newest.store(time.map_or(0, as_number), Ordering::Release);
        self.confirmed.load(Ordering::Acquire) == 0
    }
}

/// The expected form of the reply to a write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// An insert.
    Insert {
        /// The number of documents.
        count: usize,
        /// Whether the server stops at the first error.
        ordered: bool,
    },
    /// An update with this number of statements.
    Update(usize),
    /// A delete with this number of statements.
    Delete(usize),
    /// A `bulkWrite`.
    Bulk,
    /// A `findAndModify`.
    FindAndModify,
}

/// Whether a write changed something, according to its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It changed something.
    Certain,
    /// It matched a document, which may be unchanged.
    Possible,
    /// It changed nothing.
    None,
}

impl Change {
    fn certain_if(changed: bool) -> Self {
        if changed { Self::Certain } else { Self::None }
    }
}

fn integer(reply: &Document, name: &str) -> Option<i64> {
    match reply.get(name)? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}

/// Fields of replies to other commands.
const FOREIGN_FIELDS: [&str; 5] = ["value", "values", "lastErrorObject", "isWritablePrimary", "conversationId"];

impl Expected {
    /// Returns whether the write changed something, or why the reply does not match the command.
    pub(super) fn check(self, reply: &Document) -> std::result::Result<Change, &'static str> {
        if matches!(self, Self::FindAndModify) {
            let has_result = reply.contains_key("value");
            let has_foreign_fields = ["n", "nModified", "cursor", "values"].iter().any(|name| reply.contains_key(name));
            if !has_result || has_foreign_fields {
                return Err("it belongs to another command");
            }
            return match reply.get_document("lastErrorObject").ok().map(|result| integer(result, "n")) {
                Some(Some(0)) => Ok(Change::None),
                Some(None) => Err("it belongs to another command"),
                // Not every server that speaks MongoDB's protocol sends a `lastErrorObject`.
                Some(Some(_)) | None => Ok(Change::Possible),
            };
        }
        if FOREIGN_FIELDS.iter().any(|name| reply.contains_key(name)) {
            return Err("it belongs to another command");
        }
        if matches!(self, Self::Bulk) {
            let names = ["nInserted", "nUpserted", "nMatched", "nModified", "nDeleted"];
            let counts = names.iter().map(|name| integer(reply, name)).collect::<Option<Vec<_>>>();
            let counts = counts.filter(|_| reply.get_document("cursor").is_ok()).ok_or("it lacks counts")?;
            return Ok(Change::certain_if(
                counts.iter().enumerate().any(|(position, count)| position != 2 && *count > 0),
            ));
        }
        let written =
            integer(reply, "n").filter(|written| *written >= 0).ok_or("it does not count what was written")?;
        let is_update = reply.contains_key("nModified");
        if reply.contains_key("cursor") || is_update != matches!(self, Self::Update(_)) {
            return Err("it belongs to another command");
        }
        let (Self::Insert { count, .. } | Self::Update(count) | Self::Delete(count)) = self else {
            return Ok(Change::None);
        };
        let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let within = |error: &Bson| {
            let position = error.as_document().and_then(|error| integer(error, "index"));
            position.and_then(|position| usize::try_from(position).ok()).is_some_and(|position| position < count)
        };
        if !errors.iter().all(within) {
            return Err("it reports errors of statements that were not sent");
        }
        match self {
            Self::Insert { count, ordered } => {
                let (written_count, error_count) = (usize::try_from(written).unwrap_or(usize::MAX), errors.len());
                // A server that rejects some may count less than it inserted: SecantusDB does.
                let matches = match error_count {
                    0 => written_count == count,
                    _ => written_count.saturating_add(error_count) <= count && (error_count == 1 || !ordered),
                };
                if matches {
                    Ok(Change::certain_if(written > 0))
                } else {
                    Err("it counts a different number of documents")
                }
            }
            Self::Update(_) => {
                let modified = integer(reply, "nModified").ok_or("it does not count what was changed")?;
                let upserted = reply.get_array("upserted").map_or(0, Vec::len);
                let matches = (0..=written).contains(&modified) && upserted <= count;
                if matches {
                    Ok(Change::certain_if(modified > 0 || upserted > 0))
                } else {
                    Err("it counts a different number of updates")
                }
            }
            _ => Ok(Change::certain_if(written > 0)),
        }
    }
}

/// Returns the time of a reply, or `None` if the server has no cluster time.
pub(super) fn time_of(reply: &Document) -> Option<Timestamp> {
    reply.get("$clusterTime")?;
    reply.get_timestamp("operationTime").ok()
}

/// The state that all batches of a cursor must share.
pub(super) struct CursorCheck {
    database: String,
    collection: Option<String>,
    /// The namespace and the ID in the first batch.
    first: Option<(String, i64)>,
    /// The fingerprint of the last batch.
    last: Fingerprint,
}

/// The size of a reply, its beginning, and its end, which contains the times.
#[derive(Default, PartialEq)]
struct Fingerprint(usize, Vec<u8>);

impl Fingerprint {
    fn of(reply: &RawDocument) -> Self {
        const ENOUGH: usize = 256;
        let bytes = reply.as_bytes();
        let (beginning, end) = (&bytes[..bytes.len().min(ENOUGH)], &bytes[bytes.len().saturating_sub(ENOUGH)..]);
        Self(bytes.len(), [beginning, end].concat())
    }
}

/// Returns the cursor of a reply, its namespace and its ID.
fn cursor_of(reply: &RawDocument) -> std::result::Result<(&RawDocument, &str, i64), &'static str> {
    let cursor = reply.get_document("cursor").map_err(|_| "it has no cursor")?;
    let namespace = cursor.get_str("ns").map_err(|_| "its cursor has no namespace")?;
    let id = cursor.get_i64("id").map_err(|_| "its cursor has no id")?;
    Ok((cursor, namespace, id))
}

/// Checks that a reply is the first batch of a cursor over a collection, or over any namespace of a database. Returns
/// its namespace and its ID.
fn first_batch<'r>(
    reply: &'r RawDocument,
    database: &str,
    collection: Option<&str>,
) -> std::result::Result<(&'r str, i64), &'static str> {
    let (cursor, namespace, id) = cursor_of(reply)?;
    let (actual, of) = namespace.split_once('.').unwrap_or((namespace, ""));
    // A time series collection is read from its bucket collection.
    let own = of.strip_prefix("system.buckets.").unwrap_or(of);
    if actual != database || collection.is_some_and(|expected| expected != own) {
        return Err("its cursor belongs to another collection");
    }
    cursor.get_array("firstBatch").map_err(|_| "its cursor has no first batch")?;
    Ok((namespace, id))
}

impl CursorCheck {
    /// Creates the check for a cursor over a collection.
    pub(super) fn of_collection(namespace: &Namespace) -> Self {
        Self {
            database: namespace.database.clone(),
            collection: Some(namespace.collection.clone()),
            first: None,
            last: Fingerprint::default(),
        }
    }

    /// Creates the check for a cursor over any namespace of a database.
    pub(super) fn of_database(namespace: &Namespace) -> Self {
        Self { database: namespace.database.clone(), collection: None, first: None, last: Fingerprint::default() }
    }

    fn matches(&mut self, reply: &RawDocument) -> std::result::Result<(), &'static str> {
        match &self.first {
            None => {
                let (namespace, id) = first_batch(reply, &self.database, self.collection.as_deref())?;
                self.first = Some((namespace.to_owned(), id));
            }
            Some((first, first_id)) => {
                let (cursor, namespace, id) = cursor_of(reply)?;
                if first != namespace || (id != 0 && id != *first_id) {
                    return Err("its cursor is a different one");
                }
                cursor.get_array("nextBatch").map_err(|_| "its cursor has no next batch")?;
            }
        }
        Ok(())
    }

    /// Checks that the only batch of a cursor belongs to this collection.
    pub(super) async fn check_only(
        client: &DriverClient,
        attempt: &Attempt<'_>,
        namespace: &Namespace,
        batch: RawBatch,
    ) -> Result<Batch> {
        match first_batch(batch.as_raw_document(), &namespace.database, Some(&namespace.collection)) {
            Ok(_) => Batch::of_mongodb(batch),
            Err(reason) => Err(client.mismatch(attempt, reason).await),
        }
    }

    /// Checks that a batch belongs to this cursor.
    pub(super) async fn check(
        &mut self,
        client: &DriverClient,
        attempt: &Attempt<'_>,
        batch: RawBatch,
    ) -> Result<Batch> {
        let reply = batch.as_raw_document();
        if let Err(reason) = self.matches(reply) {
            return Err(client.mismatch(attempt, reason).await);
        }
        // It may be the last batch again; or two batches are equal, as can happen with short projections.
        let fingerprint = Fingerprint::of(reply);
        let filled = batch.doc_slices().is_ok_and(|documents| !documents.is_empty());
        if filled && fingerprint == self.last && client.close_out_of_sync().await {
            return Err(client.mismatch(attempt, "it repeats the last batch").await);
        }
        self.last = fingerprint;
        Batch::of_mongodb(batch)
    }
}

impl DriverClient {
    /// Closes connections that are out of sync if the driver's error reports a reply of the reason form.
    pub(super) async fn check_sync_after(&self, error: &DriverError) {
        if is_malformed_reply(error) {
            self.close_out_of_sync().await;
        }
    }

    /// Closes connections that are out of sync, and returns the error for a reply that does not match.
    pub(super) async fn mismatch(&self, attempt: &Attempt<'_>, reason: &str) -> Error {
        self.close_out_of_sync().await;
        Error::new(
            ErrorKind::Protocol,
            format!(
                "{attempt}: the reply does not match the command ({reason}): it belongs to another request, and the result \
                 of this one is unknown; connections that are out of sync are closed"
            ),
        )
    }

    /// Returns whether the reply to a write that changed something is newer than the time known before. If not, send the
    /// write again under the same transaction number.
    pub(super) async fn is_newer(&self, attempt: &Attempt<'_>, known: u64, time: Option<Timestamp>) -> Result<bool> {
        if self.cluster_times.is_newer(known, time) {
            return Ok(true);
        }
        match self.close_out_of_sync().await {
            true => Err(self.mismatch(attempt, OLD).await),
            false => Ok(false),
        }
    }

    /// Checks the time of a write that cannot be sent again.
    pub(super) async fn check_time(&self, attempt: &Attempt<'_>, known: u64, time: Option<Timestamp>) -> Result<()> {
        if self.is_newer(attempt, known, time).await? || self.cluster_times.record_false_alarm(time) {
            return Ok(());
        }
        Err(self.mismatch(attempt, OLD).await)
    }

    /// Closes connections that are out of sync, as far as it finds them. Returns whether there was one.
    ///
    /// Hardly any call does this, so its future is not part of theirs.
    fn close_out_of_sync(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.search_out_of_sync())
    }

    async fn search_out_of_sync(&self) -> bool {
        let Some(connected) = self.client.get() else { return false };
        let _search = self.cluster_times.start_search();
        let database = connected.client.database("admin");
        let mut found = false;
        for _ in 0..MAX_PROBES {
            let name = format!("echo{}", ObjectId::new().to_hex());
            let reply = unobserved(self.limited(false, database.run_command(doc! { &name: 1 }))).await;
            if echoes(&reply, &name) {
                break;
            }
            found = true;
            let too_long = RawDocumentBuf::try_from(&doc! {
                "ping": 1, "x": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![0; OVERSIZED] },
            });
            if let Ok(command) = too_long {
                drop(unobserved(self.limited(false, database.run_raw_command(command))).await);
            }
        }
        found
    }
}

const OLD: &str = "it is older than the command";

/// Returns whether a reply is the error for the unknown command `name`, or a failure without a reply.
fn echoes(reply: &mongodb::error::Result<Document>, name: &str) -> bool {
    const COMMAND_NOT_FOUND: i32 = 59;
    match reply {
        Ok(_) => false,
        Err(error) => match &*error.kind {
            DriverErrorKind::Command(command) => {
                command.message.contains(name)
                    || (command.code == COMMAND_NOT_FOUND && !command.message.contains("echo"))
            }
            _ => !is_malformed_reply(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_to_an_insert_counts_all_documents() {
        let insert = |count, ordered| Expected::Insert { count, ordered };
        assert_eq!(insert(2, true).check(&doc! { "n": 2, "ok": 1.0 }), Ok(Change::Certain));
        let errors = |index: i32| doc! { "n": 1, "writeErrors": [{ "index": index, "code": 11000 }] };
        assert_eq!(insert(3, true).check(&errors(1)), Ok(Change::Certain));
        assert_eq!(insert(2, false).check(&errors(0)), Ok(Change::Certain));
        assert_eq!(
            insert(1, true).check(&doc! { "n": 0, "writeErrors": [{ "index": 0, "code": 11000 }] }),
            Ok(Change::None)
        );
        for reason in [
            doc! { "ok": 1.0 },
            doc! { "n": "1" },
            doc! { "n": 1 },
            doc! { "n": 3 },
            doc! { "n": -1 },
            doc! { "n": 2, "nModified": 2 },
            doc! { "n": 2, "cursor": {} },
            doc! { "n": 2, "value": {} },
            errors(2),
            doc! { "n": 2, "writeErrors": [{ "index": 0, "code": 11000 }] },
        ] {
            assert!(insert(2, true).check(&reason).is_err(), "{reason}");
        }
    }

    #[test]
    fn replies_to_updates_and_deletes_are_distinguished() {
        let (update, delete) = (doc! { "n": 1, "nModified": 1 }, doc! { "n": 1 });
        assert_eq!(Expected::Update(1).check(&update), Ok(Change::Certain));
        assert_eq!(Expected::Update(1).check(&doc! { "n": 1, "nModified": 0 }), Ok(Change::None));
        assert_eq!(Expected::Delete(1).check(&delete), Ok(Change::Certain));
        assert!(Expected::Update(1).check(&delete).is_err());
        assert!(Expected::Delete(1).check(&update).is_err());
        assert!(Expected::Update(1).check(&doc! { "n": 1, "nModified": 2 }).is_err());
        assert!(Expected::Bulk.check(&update).is_err());
        let found = doc! { "value": { "_id": 1 }, "lastErrorObject": { "n": 1, "updatedExisting": true } };
        assert_eq!(Expected::FindAndModify.check(&found), Ok(Change::Possible));
        let brief = doc! { "value": { "_id": 1 }, "ok": 1 };
        assert_eq!(Expected::FindAndModify.check(&brief), Ok(Change::Possible));
        let nothing = doc! { "value": null, "lastErrorObject": { "n": 0 } };
        assert_eq!(Expected::FindAndModify.check(&nothing), Ok(Change::None));
        assert!(Expected::FindAndModify.check(&update).is_err());
        assert!(Expected::Update(1).check(&found).is_err());
    }

    #[test]
    fn batches_belong_to_one_cursor() {
        let batch = |field: &str, ns: &str, id: i64| {
            let cursor = doc! { field: [], "id": id, "ns": ns };
            RawDocumentBuf::try_from(&doc! { "cursor": cursor, "ok": 1.0 }).unwrap_or_default()
        };
        let namespace = Namespace::new("d", "c");
        let mut cursor = CursorCheck::of_collection(&namespace);
        assert!(cursor.matches(&batch("firstBatch", "d.other", 7)).is_err());
        assert!(cursor.matches(&batch("nextBatch", "d.c", 7)).is_err());
        assert!(cursor.matches(&batch("firstBatch", "d.c", 7)).is_ok());
        assert!(cursor.matches(&batch("firstBatch", "d.c", 7)).is_err());
        assert!(cursor.matches(&batch("nextBatch", "d.c", 8)).is_err());
        assert!(cursor.matches(&batch("nextBatch", "d.c", 7)).is_ok());
        assert!(cursor.matches(&batch("nextBatch", "d.c", 0)).is_ok());
        assert!(CursorCheck::of_collection(&namespace).matches(&batch("firstBatch", "d.system.buckets.c", 0)).is_ok());
        assert!(
            CursorCheck::of_database(&namespace).matches(&batch("firstBatch", "d.$cmd.listCollections", 0)).is_ok()
        );
        assert!(
            CursorCheck::of_database(&namespace).matches(&batch("firstBatch", "e.$cmd.listCollections", 0)).is_err()
        );
    }

    #[test]
    fn a_search_for_a_connection_is_visible_afterwards() {
        let cluster_times = ClusterTimes::default();
        let before = cluster_times.search_count();
        assert_eq!(before, cluster_times.search_count());
        let search = cluster_times.start_search();
        assert_eq!(cluster_times.search_count(), None);
        drop(search);
        assert!(cluster_times.search_count().is_some() && cluster_times.search_count() != before);
    }

    #[test]
    fn times_increase_or_are_ignored() {
        let (cluster_times, at) = (ClusterTimes::default(), |increment| Some(Timestamp { time: 5, increment }));
        assert!(cluster_times.is_newer(cluster_times.newest(), None));
        assert!(cluster_times.is_newer(cluster_times.newest(), at(1)));
        assert!(cluster_times.is_newer(cluster_times.newest(), at(2)));
        let known = cluster_times.newest();
        assert!(!cluster_times.is_newer(known, at(2)));
        assert!(!cluster_times.is_newer(known, at(1)));
        for _ in 0..=MAX_FALSE_ALARMS {
            assert!(!cluster_times.record_false_alarm(at(1)));
        }
        assert!(cluster_times.is_newer(known, at(1)), "unreliable times are ignored");
    }
}
