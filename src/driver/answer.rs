//! Whether an answer belongs to the command that it was taken for.
//!
//! The driver takes the next message of a connection for the answer, whatever `responseTo` in it says. Where a message
//! comes twice, all later answers of that connection are those of earlier commands. Three things tell:
//!
//! - **Shape.** The answer to an insert counts no more documents than were sent; a cursor is of the collection that was
//!   asked for, and goes on under its own id.
//! - **Time.** An answer that was read before cannot be newer than what was read before. A write that changed something
//!   has an `operationTime` later than any `$clusterTime` that was sent with it, since the server moves its clock on to
//!   that first. So a write whose answer is no newer than the newest answer known before it was sent got another's.
//! - **Echo.** The error for an unknown command names the command. A connection that gives another answer to a name that
//!   was never used before is out of step.
//!
//! A connection that is out of step is closed by a message that is longer than the server allows: the driver does not
//! send it, and closes the connection that it was meant for. The pool gives out the connection last returned first, so
//! the next call most likely has the connection in question; the echo tells.

use std::sync::atomic::{AtomicU64, Ordering};

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind};
use mongodb::raw_batch_cursor::RawBatch;

use super::error::Attempt;
use super::events::unheard;
use super::{DriverClient, Namespace};
use crate::cursor::Batch;
use crate::error::{Error, ErrorKind, Result};

/// How often to look for a connection that is out of step.
const LOOKS: usize = 8;
/// After more suspicions that nothing confirms than this, and than one in so many answers, the server's times are no longer
/// relied on.
const UNCONFIRMED: u64 = 3;
const ONE_IN: u64 = 10;
/// More than `maxMessageSizeBytes` of any server.
const TOO_LONG: usize = 48_000_001;

/// The newest `operationTime` of a write's answer, and how far times can be relied on.
#[derive(Default)]
pub(super) struct Times {
    newest: AtomicU64,
    /// How many answers were newer, as they should be.
    confirmed: AtomicU64,
    unconfirmed: AtomicU64,
    /// How often a connection was looked for that is out of step, and how many look for one now.
    doubts: AtomicU64,
    looking: AtomicU64,
}

/// A look for a connection that is out of step.
struct Look<'a>(&'a Times);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.looking.fetch_sub(1, Ordering::AcqRel);
    }
}

fn as_number(time: Timestamp) -> u64 {
    u64::from(time.time) << 32 | u64::from(time.increment)
}

impl Times {
    /// The newest time of an answer so far; taken before a write is sent.
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    fn look(&self) -> Look<'_> {
        self.looking.fetch_add(1, Ordering::AcqRel);
        self.doubts.fetch_add(1, Ordering::AcqRel);
        Look(self)
    }

    /// The same before a write is sent and after its answer, where no connection was in doubt meanwhile. One that is out of
    /// step may serve other calls before it is closed, and give them answers that no one has read before.
    pub(super) fn undoubted(&self) -> Option<u64> {
        (self.looking.load(Ordering::Acquire) == 0).then(|| self.doubts.load(Ordering::Acquire))
    }

    fn are_unreliable(&self) -> bool {
        let unconfirmed = self.unconfirmed.load(Ordering::Acquire);
        unconfirmed > UNCONFIRMED && unconfirmed * ONE_IN > self.confirmed.load(Ordering::Acquire)
    }

    /// Whether the answer to a write that changed something is newer than what was known before it was sent. True where
    /// the server tells no times, or none that can be relied on.
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

    /// Notes a time that is no newer though no connection is out of step: the server's clock may have been set back.
    /// Gives whether the answer can be believed: the times of this server never told anything.
    fn suspected_in_vain(&self, time: Option<Timestamp>) -> bool {
        self.unconfirmed.fetch_add(1, Ordering::AcqRel);
        self.newest.store(time.map_or(0, as_number), Ordering::Release);
        self.confirmed.load(Ordering::Acquire) == 0
    }
}

/// What an answer to a write must look like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// An insert of so many documents.
    Insert {
        /// How many.
        count: usize,
        /// Whether the server stops at the first that fails.
        ordered: bool,
    },
    /// An update of so many statements.
    Update(usize),
    /// A deletion of so many statements.
    Delete(usize),
    /// A `bulkWrite`.
    Bulk,
    /// A `findAndModify`.
    FindAndModify,
}

/// Whether a write changed something, as far as its answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It did.
    Certain,
    /// It found something; what was found may not have been changed.
    Possible,
    /// It did not.
    None,
}

impl Change {
    fn certain_if(changed: bool) -> Self {
        if changed { Self::Certain } else { Self::None }
    }
}

fn integer(answer: &Document, name: &str) -> Option<i64> {
    match answer.get(name)? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}

/// Fields of answers to other commands.
const OF_OTHERS: [&str; 5] = ["value", "values", "lastErrorObject", "isWritablePrimary", "conversationId"];

impl Expected {
    /// Whether something was changed; or what is wrong with the answer.
    pub(super) fn check(self, answer: &Document) -> std::result::Result<Change, &'static str> {
        if matches!(self, Self::FindAndModify) {
            let has_result = answer.contains_key("value");
            let of_others = ["n", "nModified", "cursor", "values"].iter().any(|name| answer.contains_key(name));
            let result = answer.get_document("lastErrorObject").ok().filter(|_| has_result && !of_others);
            let found = result.and_then(|result| integer(result, "n")).ok_or("it is of another command")?;
            return Ok(if found > 0 { Change::Possible } else { Change::None });
        }
        if OF_OTHERS.iter().any(|name| answer.contains_key(name)) {
            return Err("it is of another command");
        }
        if matches!(self, Self::Bulk) {
            let names = ["nInserted", "nUpserted", "nMatched", "nModified", "nDeleted"];
            let counts = names.iter().map(|name| integer(answer, name)).collect::<Option<Vec<_>>>();
            let counts = counts.filter(|_| answer.get_document("cursor").is_ok()).ok_or("it lacks counts")?;
            return Ok(Change::certain_if(counts.iter().enumerate().any(|(place, count)| place != 2 && *count > 0)));
        }
        let done = integer(answer, "n").filter(|done| *done >= 0).ok_or("it does not count what was written")?;
        let of_update = answer.contains_key("nModified");
        if answer.contains_key("cursor") || of_update != matches!(self, Self::Update(_)) {
            return Err("it is of another command");
        }
        let (Self::Insert { count, .. } | Self::Update(count) | Self::Delete(count)) = self else {
            return Ok(Change::None);
        };
        let refused = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let within = |error: &Bson| {
            let place = error.as_document().and_then(|error| integer(error, "index"));
            place.and_then(|place| usize::try_from(place).ok()).is_some_and(|place| place < count)
        };
        if !refused.iter().all(within) {
            return Err("it refuses what was not sent");
        }
        match self {
            Self::Insert { count, ordered } => {
                let (inserted, refused) = (usize::try_from(done).unwrap_or(usize::MAX), refused.len());
                // A server that refused some may count less than it inserted: SecantusDB does.
                let fits = match refused {
                    0 => inserted == count,
                    _ => inserted.saturating_add(refused) <= count && (refused == 1 || !ordered),
                };
                let change = Change::certain_if(inserted > 0);
                if fits { Ok(change) } else { Err("it counts other documents than were sent") }
            }
            Self::Update(_) => {
                let modified = integer(answer, "nModified").ok_or("it does not count what was changed")?;
                let upserted = answer.get_array("upserted").map_or(0, Vec::len);
                let fits = (0..=done).contains(&modified) && upserted <= count;
                if fits {
                    Ok(Change::certain_if(modified > 0 || upserted > 0))
                } else {
                    Err("it counts other updates than were sent")
                }
            }
            _ => Ok(Change::certain_if(done > 0)),
        }
    }
}

/// The time of an answer; none where the server has no cluster time, since its times may then mean less.
pub(super) fn time_of(answer: &Document) -> Option<Timestamp> {
    answer.get("$clusterTime")?;
    answer.get_timestamp("operationTime").ok()
}

/// What the batches of a cursor have in common.
pub(super) struct Cursor {
    database: String,
    collection: Option<String>,
    /// Of the first batch.
    begun: Option<(String, i64)>,
    /// Of the last batch.
    last: Fingerprint,
}

/// The size of an answer, its beginning and its end, where the times are.
#[derive(Default, PartialEq)]
struct Fingerprint(usize, Vec<u8>);

impl Fingerprint {
    fn of(answer: &RawDocument) -> Self {
        const ENOUGH: usize = 256;
        let bytes = answer.as_bytes();
        let (beginning, end) = (&bytes[..bytes.len().min(ENOUGH)], &bytes[bytes.len().saturating_sub(ENOUGH)..]);
        Self(bytes.len(), [beginning, end].concat())
    }
}

impl Cursor {
    /// One over a collection.
    pub(super) fn of_collection(namespace: &Namespace) -> Self {
        Self {
            database: namespace.database.clone(),
            collection: Some(namespace.collection.clone()),
            begun: None,
            last: Fingerprint::default(),
        }
    }

    /// One over anything of a database.
    pub(super) fn of_database(namespace: &Namespace) -> Self {
        Self { database: namespace.database.clone(), collection: None, begun: None, last: Fingerprint::default() }
    }

    fn fits(&mut self, answer: &RawDocument) -> std::result::Result<(), &'static str> {
        let cursor = answer.get_document("cursor").map_err(|_| "it has no cursor")?;
        let namespace = cursor.get_str("ns").map_err(|_| "its cursor has no namespace")?;
        let id = cursor.get_i64("id").map_err(|_| "its cursor has no id")?;
        match &self.begun {
            None => {
                let (database, collection) = namespace.split_once('.').unwrap_or((namespace, ""));
                // A time series is read from the collection of its buckets.
                let own = collection.strip_prefix("system.buckets.").unwrap_or(collection);
                if database != self.database || self.collection.as_deref().is_some_and(|expected| expected != own) {
                    return Err("its cursor is of another collection");
                }
                cursor.get_array("firstBatch").map_err(|_| "its cursor does not begin")?;
                self.begun = Some((namespace.to_owned(), id));
            }
            Some((begun, begun_id)) => {
                if begun != namespace || (id != 0 && id != *begun_id) {
                    return Err("its cursor is another");
                }
                cursor.get_array("nextBatch").map_err(|_| "its cursor does not go on")?;
            }
        }
        Ok(())
    }

    /// A batch, if it is of this cursor.
    pub(super) async fn take(
        &mut self,
        client: &DriverClient,
        attempt: &Attempt<'_>,
        batch: RawBatch,
    ) -> Result<Batch> {
        let answer = batch.as_raw_document();
        if let Err(wrong) = self.fits(answer) {
            return Err(client.misfit(attempt, wrong).await);
        }
        // It may be the last one once more; or two batches are equal, as those of short projections can be.
        let fingerprint = Fingerprint::of(answer);
        let filled = batch.doc_slices().is_ok_and(|documents| !documents.is_empty());
        if filled && fingerprint == self.last && client.close_out_of_step().await {
            return Err(client.misfit(attempt, "it is the last one once more").await);
        }
        self.last = fingerprint;
        Batch::of_mongodb(batch)
    }
}

impl DriverClient {
    /// Closes connections that are out of step, where an error of the driver's tells of an answer that does not fit.
    pub(super) async fn doubt(&self, error: &DriverError) {
        if matches!(&*error.kind, DriverErrorKind::InvalidResponse { .. } | DriverErrorKind::BsonDeserialization(_)) {
            self.close_out_of_step().await;
        }
    }

    /// The error for an answer that does not fit, whose connection is closed.
    pub(super) async fn misfit(&self, attempt: &Attempt<'_>, wrong: &str) -> Error {
        self.close_out_of_step().await;
        Error::new(
            ErrorKind::Protocol,
            format!(
                "{attempt}: the answer does not fit the command ({wrong}): it belongs to another request, and what became \
                 of this one is not known; connections whose answers are out of order are closed"
            ),
        )
    }

    /// Whether an answer to a write that changed something is newer than what was known before; false where the write
    /// is to be sent again, under its number.
    pub(super) async fn is_newer(&self, attempt: &Attempt<'_>, known: u64, time: Option<Timestamp>) -> Result<bool> {
        if self.times.is_newer(known, time) {
            return Ok(true);
        }
        match self.close_out_of_step().await {
            true => Err(self.misfit(attempt, OLD).await),
            false => Ok(false),
        }
    }

    /// The same, for a write that cannot be sent again.
    pub(super) async fn check_time(&self, attempt: &Attempt<'_>, known: u64, time: Option<Timestamp>) -> Result<()> {
        if self.is_newer(attempt, known, time).await? || self.times.suspected_in_vain(time) {
            return Ok(());
        }
        Err(self.misfit(attempt, OLD).await)
    }

    /// Closes the connections that answer out of order, as far as they can be found; gives whether there was one.
    async fn close_out_of_step(&self) -> bool {
        let Some(connected) = self.client.get() else { return false };
        let _look = self.times.look();
        let database = connected.client.database("admin");
        let mut found = false;
        for _ in 0..LOOKS {
            let name = format!("echo{}", ObjectId::new().to_hex());
            let answer = unheard(database.run_command(doc! { &name: 1 })).await;
            if echoes(&answer, &name) {
                break;
            }
            found = true;
            let too_long = RawDocumentBuf::try_from(&doc! {
                "ping": 1, "x": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![0; TOO_LONG] },
            });
            if let Ok(command) = too_long {
                drop(unheard(database.run_raw_command(command)).await);
            }
        }
        found
    }
}

const OLD: &str = "it is older than the command";

/// Whether an answer is the one to a command of this name, which there is not, or no answer at all.
fn echoes(answer: &mongodb::error::Result<Document>, name: &str) -> bool {
    const COMMAND_NOT_FOUND: i32 = 59;
    match answer {
        Ok(_) => false,
        Err(error) => match &*error.kind {
            DriverErrorKind::Command(command) => {
                command.message.contains(name)
                    || (command.code == COMMAND_NOT_FOUND && !command.message.contains("echo"))
            }
            DriverErrorKind::InvalidResponse { .. } | DriverErrorKind::BsonDeserialization(_) => false,
            _ => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_an_insert_counts_what_was_sent() {
        let insert = |count, ordered| Expected::Insert { count, ordered };
        assert_eq!(insert(2, true).check(&doc! { "n": 2, "ok": 1.0 }), Ok(Change::Certain));
        let refused = |index: i32| doc! { "n": 1, "writeErrors": [{ "index": index, "code": 11000 }] };
        assert_eq!(insert(3, true).check(&refused(1)), Ok(Change::Certain));
        assert_eq!(insert(2, false).check(&refused(0)), Ok(Change::Certain));
        assert_eq!(
            insert(1, true).check(&doc! { "n": 0, "writeErrors": [{ "index": 0, "code": 11000 }] }),
            Ok(Change::None)
        );
        for wrong in [
            doc! { "ok": 1.0 },
            doc! { "n": "1" },
            doc! { "n": 1 },
            doc! { "n": 3 },
            doc! { "n": -1 },
            doc! { "n": 2, "nModified": 2 },
            doc! { "n": 2, "cursor": {} },
            doc! { "n": 2, "value": {} },
            refused(2),
            doc! { "n": 2, "writeErrors": [{ "index": 0, "code": 11000 }] },
        ] {
            assert!(insert(2, true).check(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn answers_to_updates_and_deletions_are_told_apart() {
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
        let nothing = doc! { "value": null, "lastErrorObject": { "n": 0 } };
        assert_eq!(Expected::FindAndModify.check(&nothing), Ok(Change::None));
        assert!(Expected::FindAndModify.check(&update).is_err());
        assert!(Expected::Update(1).check(&found).is_err());
    }

    #[test]
    fn a_cursor_stays_the_same() {
        let batch = |field: &str, ns: &str, id: i64| {
            let cursor = doc! { field: [], "id": id, "ns": ns };
            RawDocumentBuf::try_from(&doc! { "cursor": cursor, "ok": 1.0 }).unwrap_or_default()
        };
        let namespace = Namespace::new("d", "c");
        let mut cursor = Cursor::of_collection(&namespace);
        assert!(cursor.fits(&batch("firstBatch", "d.other", 7)).is_err());
        assert!(cursor.fits(&batch("nextBatch", "d.c", 7)).is_err());
        assert!(cursor.fits(&batch("firstBatch", "d.c", 7)).is_ok());
        assert!(cursor.fits(&batch("firstBatch", "d.c", 7)).is_err());
        assert!(cursor.fits(&batch("nextBatch", "d.c", 8)).is_err());
        assert!(cursor.fits(&batch("nextBatch", "d.c", 7)).is_ok());
        assert!(cursor.fits(&batch("nextBatch", "d.c", 0)).is_ok());
        assert!(Cursor::of_collection(&namespace).fits(&batch("firstBatch", "d.system.buckets.c", 0)).is_ok());
        assert!(Cursor::of_database(&namespace).fits(&batch("firstBatch", "d.$cmd.listCollections", 0)).is_ok());
        assert!(Cursor::of_database(&namespace).fits(&batch("firstBatch", "e.$cmd.listCollections", 0)).is_err());
    }

    #[test]
    fn a_look_for_a_connection_leaves_doubt() {
        let times = Times::default();
        let before = times.undoubted();
        assert_eq!(before, times.undoubted());
        let look = times.look();
        assert_eq!(times.undoubted(), None);
        drop(look);
        assert!(times.undoubted().is_some() && times.undoubted() != before);
    }

    #[test]
    fn times_go_forward_or_tell_nothing() {
        let (times, at) = (Times::default(), |increment| Some(Timestamp { time: 5, increment }));
        assert!(times.is_newer(times.newest(), None));
        assert!(times.is_newer(times.newest(), at(1)));
        assert!(times.is_newer(times.newest(), at(2)));
        let known = times.newest();
        assert!(!times.is_newer(known, at(2)));
        assert!(!times.is_newer(known, at(1)));
        for _ in 0..=UNCONFIRMED {
            assert!(!times.suspected_in_vain(at(1)));
        }
        assert!(times.is_newer(known, at(1)), "a clock that tells nothing is no longer asked");
    }
}
