//! The memory budget of all requests and responses in progress.
//!
//! A request reserves what it holds before it holds it: its text, its BSON, the copies that the driver makes, and the
//! replies of MongoDB. What was freed and not yet returned to the system counts too, until [`allocator::purge`].

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::{sleep, timeout};

use super::Limits;
use crate::allocator;
use crate::codec::ejson;
use crate::driver::Namespace;
use crate::gateway::api_error::{ApiError, ApiResult};

/// The copies of a request's BSON: the request, its documents with their `_id`, the command, the message to MongoDB.
const COPIES: usize = 4;
/// The size from which a request waits for memory, and from which its memory is returned to the system, in KiB.
const LARGE: u32 = 64;
/// How long a large request waits for memory, unless `limits.request_seconds` is shorter.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long the body of a rejected request is read.
const DISCARD_TIME: Duration = Duration::from_secs(5);
/// How long after a large request its memory is returned to the system.
const PURGE_DELAY: Duration = Duration::from_secs(1);
/// The memory of a reply whose size cannot be estimated yet: MongoDB's limit for a batch, and a document of that size as
/// text.
const LARGEST_REPLY: usize = 48 * 1024 * 1024;
/// How many estimates of replies' sizes there are. Kinds of replies with the same hash share one.
const ESTIMATES: usize = 1024;
/// The size of the parts in which documents are written, in bytes.
pub(in crate::gateway) const PART_BYTES: usize = 64 * 1024;

/// A budget that requests reserve memory from, in KiB.
#[derive(Clone)]
pub(in crate::gateway) struct MemoryBudget(Arc<Budget>);

struct Budget {
    available: Arc<Semaphore>,
    total: u32,
    /// What large requests may use in all, so that small ones are always served.
    available_to_large: Arc<Semaphore>,
    total_of_large: u32,
    wait: Duration,
    /// What was freed since memory was last returned to the system.
    freed: AtomicUsize,
    freeing: Notify,
    /// The memory of recent replies, by the hash of their collection and batch; 0 if there was none.
    replies: Box<[AtomicU32]>,
}

/// Memory that is reserved. Dropping it returns the memory to the budget.
struct Permit {
    kib: OwnedSemaphorePermit,
    of_large: Option<OwnedSemaphorePermit>,
    budget: Arc<Budget>,
}

/// The memory that a request has reserved.
pub(in crate::gateway) struct Reservation(Permit);

/// A batch of a cursor. The first one is often smaller than those that follow.
#[derive(Debug, Clone, Copy, Hash)]
pub(in crate::gateway) enum BatchKind {
    /// The first batch, or a reply of another kind.
    First,
    /// A batch of a response whose beginning was sent. It waits for memory as long as the response may take.
    Later,
}

/// The memory of a reply of MongoDB.
pub(in crate::gateway) struct ReplyMemory {
    permit: Permit,
    estimate: usize,
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

impl Drop for Permit {
    fn drop(&mut self) {
        let kib = self.kib.num_permits();
        if kib >= LARGE as usize {
            self.budget.freed.fetch_add(kib, Ordering::Relaxed);
            self.budget.freeing.notify_one();
        }
    }
}

impl Budget {
    fn used_up() -> ApiError {
        ApiError::too_many_requests("the gateway's memory limit is reached: try again later")
    }

    /// Rejects what can never fit.
    fn check(&self, kib: u32) -> ApiResult<()> {
        if kib > self.total || (kib >= LARGE && kib > self.total_of_large) {
            return Err(ApiError::too_large("the request needs more memory than the gateway has for all requests"));
        }
        Ok(())
    }

    /// Returns freed memory to the system if it would exceed the budget together with what is reserved.
    fn make_room(&self) {
        let freed = self.freed.load(Ordering::Relaxed);
        let used = (self.total as usize).saturating_sub(self.available.available_permits());
        if freed > 0 && used + freed > self.total as usize {
            self.purge();
        }
    }

    fn purge(&self) {
        self.freed.store(0, Ordering::Relaxed);
        allocator::purge();
    }

    fn try_reserve(self: &Arc<Self>, kib: u32) -> ApiResult<Permit> {
        self.check(kib)?;
        let used_up = |_: TryAcquireError| Self::used_up();
        let of_large = match kib >= LARGE {
            true => Some(Arc::clone(&self.available_to_large).try_acquire_many_owned(kib).map_err(used_up)?),
            false => None,
        };
        let permit = Arc::clone(&self.available).try_acquire_many_owned(kib).map_err(used_up)?;
        if of_large.is_some() {
            self.make_room();
        }
        Ok(Permit { kib: permit, of_large, budget: Arc::clone(self) })
    }

    /// As [`Self::try_reserve`], but what is large waits for others to end.
    async fn reserve(self: &Arc<Self>, kib: u32) -> ApiResult<Permit> {
        if kib < LARGE {
            return self.try_reserve(kib);
        }
        timeout(self.wait, self.wait_for(kib)).await.map_err(|_| Self::used_up())?
    }

    /// Reserves memory when others have returned it.
    async fn wait_for(self: &Arc<Self>, kib: u32) -> ApiResult<Permit> {
        self.check(kib)?;
        let (permit, of_large) = self.acquire(kib).await?;
        Ok(Permit { kib: permit, of_large: Some(of_large), budget: Arc::clone(self) })
    }

    /// Waits for the permits of so much memory, in all and of what large requests may use.
    async fn acquire(&self, kib: u32) -> ApiResult<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        // The semaphores are never closed.
        let closed = |_| Self::used_up();
        let of_large = Arc::clone(&self.available_to_large).acquire_many_owned(kib).await.map_err(closed)?;
        let permit = Arc::clone(&self.available).acquire_many_owned(kib).await.map_err(closed)?;
        self.make_room();
        Ok((permit, of_large))
    }
}

impl Permit {
    /// As [`Self::resize`], but waits for others to end.
    async fn wait_to_resize(&mut self, kib: u32) -> ApiResult<()> {
        if self.resize(kib).is_ok() {
            return Ok(());
        }
        let now = u32::try_from(self.kib.num_permits()).unwrap_or(u32::MAX);
        self.budget.check(kib)?;
        let more = timeout(self.budget.wait, self.budget.acquire(kib.saturating_sub(now))).await;
        let (more, of_large) = more.map_err(|_| Budget::used_up())??;
        self.kib.merge(more);
        self.merge_of_large(of_large);
        Ok(())
    }

    fn merge_of_large(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.of_large {
            Some(permit) => permit.merge(more),
            None => self.of_large = Some(more),
        }
    }

    /// Reserves or returns the difference to so much memory.
    fn resize(&mut self, kib: u32) -> ApiResult<()> {
        let now = u32::try_from(self.kib.num_permits()).unwrap_or(u32::MAX);
        if kib > now {
            self.budget.check(kib)?;
            let used_up = |_: TryAcquireError| Budget::used_up();
            let large = self.of_large.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more_of_large = match kib >= LARGE {
                true => {
                    let more = kib.saturating_sub(u32::try_from(large).unwrap_or(u32::MAX));
                    Some(Arc::clone(&self.budget.available_to_large).try_acquire_many_owned(more).map_err(used_up)?)
                }
                false => None,
            };
            // If this fails, nothing has changed: what was just acquired is returned.
            let more = Arc::clone(&self.budget.available).try_acquire_many_owned(kib - now).map_err(used_up)?;
            self.kib.merge(more);
            if let Some(more) = more_of_large {
                self.merge_of_large(more);
                self.budget.make_room();
            }
            return Ok(());
        }
        // What is small is not worth a second lock.
        if now < LARGE {
            return Ok(());
        }
        let excess = (now - kib) as usize;
        drop(self.kib.split(excess));
        if let Some(of_large) = &mut self.of_large {
            drop(of_large.split(excess.min(of_large.num_permits())));
        }
        if excess >= LARGE as usize {
            self.budget.freed.fetch_add(excess, Ordering::Relaxed);
            self.budget.freeing.notify_one();
        }
        Ok(())
    }
}

impl MemoryBudget {
    /// A budget of `limits.memory_bytes`.
    pub(in crate::gateway) fn new(limits: &Limits) -> Self {
        let total = u32::try_from(limits.memory_bytes / 1024).unwrap_or(u32::MAX);
        let total_of_large = total - total / 8;
        Self(Arc::new(Budget {
            available: Arc::new(Semaphore::new(total as usize)),
            total,
            available_to_large: Arc::new(Semaphore::new(total_of_large as usize)),
            total_of_large,
            wait: LONGEST_WAIT.min(limits.request),
            freed: AtomicUsize::new(0),
            freeing: Notify::new(),
            replies: std::iter::repeat_with(AtomicU32::default).take(ESTIMATES).collect(),
        }))
    }

    /// Returns the memory of large requests to the system, soon after they have ended.
    pub(in crate::gateway) async fn keep_returning(self) {
        loop {
            self.0.freeing.notified().await;
            sleep(PURGE_DELAY).await;
            let budget = Arc::clone(&self.0);
            drop(tokio::task::spawn_blocking(move || budget.purge()).await);
        }
    }

    /// Reads a request body and reserves memory for it and for its decoded copies.
    pub(in crate::gateway) async fn read_body<B>(&self, limits: &Limits, body: B) -> ApiResult<(Bytes, Reservation)>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let too_large = || ApiError::too_large(format!("the body is larger than {} bytes", limits.body_bytes));
        if body.size_hint().lower() > limits.body_bytes as u64 {
            return Err(too_large());
        }
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let mut body = body;
        // Before the body is read: a client that has to wait is not read from.
        let mut permit = match self.0.reserve(kib(announced.saturating_mul(COPIES))).await {
            Ok(permit) => permit,
            Err(error) => {
                discard(body).await;
                return Err(error);
            }
        };
        let reading = async {
            let mut first = Bytes::new();
            let mut read = Vec::new();
            while let Some(frame) = body.frame().await {
                let incomplete = |_| ApiError::invalid("the connection closed before the whole body arrived");
                let Ok(part) = frame.map_err(incomplete)?.into_data() else { continue };
                let length = first.len() + read.len() + part.len();
                if length > limits.body_bytes {
                    return Err(too_large());
                }
                if length > announced {
                    permit.resize(kib(length * COPIES))?;
                }
                // A body in one part is not copied.
                if length == part.len() {
                    first = part;
                    continue;
                }
                if read.is_empty() {
                    read.reserve_exact(announced.max(length));
                    read.extend_from_slice(&std::mem::take(&mut first));
                }
                read.extend_from_slice(&part);
            }
            Ok((if read.is_empty() { first } else { Bytes::from(read) }, Reservation(permit)))
        };
        let late = |_| {
            let message = "timed out while reading the request body";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "InvalidParameter", message)
        };
        timeout(limits.body, reading).await.map_err(late)?
    }

    /// Reserves memory for a response, until the client has received it.
    pub(in crate::gateway) fn hold(&self, response: Vec<u8>) -> ApiResult<Bytes> {
        Ok(with_permit(self.0.try_reserve(kib(response.capacity()))?, response))
    }

    /// Reserves memory for the next reply of MongoDB with documents of a collection: as much as the recent ones took.
    pub(in crate::gateway) async fn for_reply(
        &self,
        namespace: &Namespace,
        batch: BatchKind,
    ) -> ApiResult<ReplyMemory> {
        let mut hasher = DefaultHasher::new();
        (&namespace.database, &namespace.collection, batch).hash(&mut hasher);
        let estimate = usize::try_from(hasher.finish()).unwrap_or_default() % ESTIMATES;
        let largest = kib(LARGEST_REPLY).min(self.0.total_of_large);
        let expected = match self.0.replies.get(estimate).map_or(0, |known| known.load(Ordering::Relaxed)) {
            0 => largest,
            recent => recent.min(largest),
        };
        let permit = match batch {
            BatchKind::First => self.0.reserve(expected).await?,
            BatchKind::Later => self.0.wait_for(expected).await?,
        };
        Ok(ReplyMemory { permit, estimate })
    }
}

impl ReplyMemory {
    /// Adjusts the reservation to a reply that has arrived, and to the text of its largest document. Later replies are
    /// expected to be as large, or a little smaller than the recent ones.
    pub(in crate::gateway) async fn arrived(&mut self, reply: usize, largest_document: usize) -> ApiResult<()> {
        let needed = self.note_size(reply, largest_document);
        self.permit.wait_to_resize(needed).await
    }

    /// As [`Self::arrived`] for the reply to a change that was made, which must neither fail nor wait for lack of memory.
    pub(in crate::gateway) fn arrived_after_change(&mut self, reply: usize, largest_document: usize) {
        let needed = self.note_size(reply, largest_document);
        drop(self.permit.resize(needed));
    }

    /// Notes the memory that a reply needs, for later ones, and returns it in KiB.
    fn note_size(&self, reply: usize, largest_document: usize) -> u32 {
        let needed = kib(reply + 2 * largest_document + 2 * PART_BYTES);
        if let Some(known) = self.permit.budget.replies.get(self.estimate) {
            let before = match known.load(Ordering::Relaxed) {
                0 => kib(LARGEST_REPLY),
                before => before,
            };
            known.store(needed.max(before - before / 8), Ordering::Relaxed);
        }
        needed
    }

    /// Passes the reservation on to the end of the reply's text.
    pub(in crate::gateway) fn hold(mut self, text: Vec<u8>) -> ApiResult<Bytes> {
        self.permit.resize(kib(text.capacity()))?;
        Ok(with_permit(self.permit, text))
    }
}

/// Reads the rest of a body for a while. A client that is still sending when the connection is closed may not get the
/// response.
async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    drop(timeout(DISCARD_TIME, async { while let Some(Ok(_)) = body.frame().await {} }).await);
}

/// Bytes that return their memory to the budget when they are dropped.
fn with_permit<P: Send + Sync + 'static>(permit: P, bytes: Vec<u8>) -> Bytes {
    struct Held<P>(Vec<u8>, #[allow(dead_code)] P);
    impl<P> AsRef<[u8]> for Held<P> {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Held(bytes, permit))
}

impl Reservation {
    /// Reserves what the text of a request may need as BSON, while both exist.
    pub(in crate::gateway) fn grow_for_parsing(&mut self, text: &[u8]) -> ApiResult<()> {
        let needed = kib(text.len() + ejson::estimated_size(text));
        if needed as usize > self.0.kib.num_permits() { self.0.resize(needed) } else { Ok(()) }
    }

    /// Adjusts the reservation to the request's BSON and its copies.
    pub(in crate::gateway) fn fit(&mut self, bson: usize) -> ApiResult<()> {
        self.0.resize(kib(bson.saturating_mul(COPIES)))
    }

    /// Reserves more memory, for the decoded form of an operation.
    pub(in crate::gateway) fn grow(&mut self, bytes: usize) -> ApiResult<()> {
        if bytes == 0 {
            return Ok(());
        }
        let now = u32::try_from(self.0.kib.num_permits()).unwrap_or(u32::MAX);
        self.0.resize(now.saturating_add(kib(bytes)))
    }

    /// Passes the request's reservation on to its response.
    pub(in crate::gateway) fn hold(self: Arc<Self>, response: Vec<u8>) -> Bytes {
        with_permit(self, response)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reservation_that_cannot_grow_stays_as_it_is() {
        let limits = Limits { memory_bytes: 1024 * 1024, request: Duration::from_millis(10), ..Limits::default() };
        let budget = MemoryBudget::new(&limits).0;
        let small: Vec<_> = (0..9).map(|_| budget.try_reserve(60).ok().unwrap()).collect();
        let mut large = budget.try_reserve(100).ok().unwrap();
        let of_large = budget.available_to_large.available_permits();
        // What is large may use as much, but small requests use it now.
        assert!(large.resize(600).is_err());
        assert_eq!(budget.available_to_large.available_permits(), of_large);
        assert!(large.wait_to_resize(600).await.is_err());
        assert_eq!(budget.available_to_large.available_permits(), of_large);
        drop(small);
        assert!(large.resize(600).is_ok());
        drop(large);
        assert_eq!(budget.available_to_large.available_permits(), budget.total_of_large as usize);
        assert_eq!(budget.available.available_permits(), budget.total as usize);
    }
}
