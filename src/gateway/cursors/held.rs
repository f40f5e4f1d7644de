//! Cursors that are open in MongoDB, and that this instance keeps between two pages.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;

use crate::batch_stream::Batches;
use crate::gateway::api_error::ApiResult;
use crate::gateway::limits::caller_slots::{CallerSlot, CallerSlots};

/// How often expired cursors are looked for, at least.
const SWEEP_TIME: Duration = Duration::from_secs(15);

/// An open cursor. Dropping it closes the cursor in MongoDB.
pub(in crate::gateway) struct HeldCursor {
    id: i64,
    /// How many pages were read: a token is for one page.
    page: i64,
    pub(in crate::gateway) batches: Batches,
    /// The request that opened the cursor, which is authorized again for each page.
    pub(in crate::gateway) request: Bytes,
    /// A digest of what was authorized then.
    pub(in crate::gateway) fingerprint: [u8; 32],
    slot: CallerSlot,
}

/// The cursors that wait for the request of their next page.
pub(super) struct HeldCursors {
    lifetime: Duration,
    slots: Arc<CallerSlots>,
    next_id: AtomicI64,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    cursors: HashMap<i64, (HeldCursor, Instant)>,
    /// Whether a task closes what expires.
    is_swept: bool,
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HeldCursors {
    /// At most `open` cursors, and `per_caller` of a caller, each for `lifetime` without a request.
    pub(super) fn new(lifetime: Duration, open: usize, per_caller: usize) -> Self {
        let slots = CallerSlots::new(open, per_caller);
        Self { lifetime, slots, next_id: AtomicI64::new(1), waiting: Arc::default() }
    }

    /// Takes a place for a cursor that a caller is about to open.
    pub(super) fn slot(&self, caller: &Arc<str>) -> ApiResult<CallerSlot> {
        let full = "cursors: read one to its end, or wait until one expires";
        self.slots.take(caller).map_err(|reached| reached.error(full))
    }

    pub(super) fn new_cursor(
        &self,
        slot: CallerSlot,
        batches: Batches,
        request: Bytes,
        fingerprint: [u8; 32],
    ) -> HeldCursor {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        HeldCursor { id, page: 0, batches, request, fingerprint, slot }
    }

    /// Keeps a cursor for its next page. Returns its ID and the number of the page.
    pub(super) fn keep(&self, mut cursor: HeldCursor) -> (i64, i64) {
        cursor.page += 1;
        let (id, page) = (cursor.id, cursor.page);
        let mut waiting = lock(&self.waiting);
        waiting.cursors.insert(id, (cursor, Instant::now() + self.lifetime));
        if !std::mem::replace(&mut waiting.is_swept, true) {
            tokio::spawn(sweep(Arc::clone(&self.waiting), self.lifetime.min(SWEEP_TIME)));
        }
        (id, page)
    }

    /// Takes a cursor for its next page; `None` if the caller has no such cursor at this page.
    pub(super) fn take(&self, id: i64, page: i64, caller: &str) -> Option<HeldCursor> {
        let mut waiting = lock(&self.waiting);
        let is_right = |(cursor, expires): &(HeldCursor, Instant)| {
            cursor.page == page && cursor.slot.caller() == caller && Instant::now() < *expires
        };
        if !waiting.cursors.get(&id).is_some_and(is_right) {
            return None;
        }
        waiting.cursors.remove(&id).map(|(cursor, _)| cursor)
    }
}

/// Closes cursors that have expired, until none is left.
async fn sweep(waiting: Arc<Mutex<Waiting>>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let now = Instant::now();
        let mut waiting = lock(&waiting);
        let expired: Vec<_> = waiting.cursors.extract_if(|_, (_, expires)| *expires <= now).collect();
        waiting.is_swept = !waiting.cursors.is_empty();
        let is_done = !waiting.is_swept;
        drop(waiting);
        drop(expired);
        if is_done {
            return;
        }
    }
}
