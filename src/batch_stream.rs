//! Streams of document batches, for both paths. The next batch is fetched while the current
//! one is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::listener::{EventContext, Listener};

/// A batch of documents, stored as the server's response.
pub struct Batch {
    response: Response,
    /// The offset of the next document in the response's bytes.
    offset: usize,
    remaining: usize,
}

enum Response {
    MongoDb(RawBatch),
    DataApi(RawDocumentBuf),
}

impl Batch {
    /// Creates a batch from MongoDB's response to `find`, `getMore` and the like.
    ///
    /// # Errors
    /// `Protocol` if the response contains no documents.
    pub fn of_mongodb(response: RawBatch) -> Result<Self> {
        Self::new(Response::MongoDb(response))
    }

    /// Creates a batch from a response of the Data API.
    ///
    /// # Errors
    /// `Protocol` if the response has no array `documents`.
    pub fn of_data_api(response: RawDocumentBuf) -> Result<Self> {
        Self::new(Response::DataApi(response))
    }

    /// Creates a batch from documents in memory.
    ///
    /// # Errors
    /// `Protocol` if they cannot be encoded.
    pub fn of_documents(documents: Vec<bson::Document>) -> Result<Self> {
        let response = RawDocumentBuf::try_from(&bson::doc! { "documents": documents }).map_err(|_| malformed())?;
        Self::new(Response::DataApi(response))
    }

    fn new(response: Response) -> Result<Self> {
        let documents = response.documents()?;
        let remaining = documents.into_iter().take_while(std::result::Result::is_ok).count();
        // The array is a part of the response. Its first element comes after its length.
        let offset = (documents.as_bytes().as_ptr() as usize).saturating_sub(response.bytes().as_ptr() as usize) + 4;
        Ok(Self { response, offset, remaining })
    }

    /// Returns the size of the reply and that of its largest unread document, in bytes.
    pub fn sizes(&self) -> (usize, usize) {
        let (mut offset, mut largest) = (self.offset, 0);
        while let Some((document, next)) = element(self.response.bytes(), offset) {
            largest = largest.max(document.len());
            offset = next;
        }
        (self.response.bytes().len(), largest)
    }

    /// Returns the number of unread documents.
    pub fn len(&self) -> usize {
        self.remaining
    }

    /// Returns the cursor ID of a MongoDB response, which is 0 after the last batch.
    pub fn cursor_id(&self) -> Option<i64> {
        self.reply()?.get_document("cursor").ok()?.get_i64("id").ok()
    }

    /// Returns whether no batch follows.
    pub fn is_last(&self) -> bool {
        match &self.response {
            Response::MongoDb(_) => self.cursor_id() == Some(0),
            Response::DataApi(response) => !matches!(response.get("cursor"), Ok(Some(RawBsonRef::String(_)))),
        }
    }

    /// Returns MongoDB's whole reply.
    pub fn reply(&self) -> Option<&RawDocument> {
        match &self.response {
            Response::MongoDb(batch) => Some(batch.as_raw_document()),
            Response::DataApi(_) => None,
        }
    }

    /// Returns the concatenated bytes of all unread documents.
    ///
    /// # Errors
    /// `Protocol` if an element is not a document.
    pub fn take_raw(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(document) = self.take_next() {
            bytes.extend_from_slice(document?.as_bytes());
        }
        Ok(bytes)
    }

    /// Returns whether all documents have been read.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Returns the next document.
    ///
    /// # Errors
    /// `Protocol` if an element is not a document.
    pub fn take_next(&mut self) -> Option<Result<&RawDocument>> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        let Some((document, next)) = element(self.response.bytes(), self.offset) else {
            self.remaining = 0;
            return Some(Err(malformed()));
        };
        self.offset = next;
        Some(RawDocument::from_bytes(document).map_err(|_| malformed()))
    }
}

/// Returns the document that is the element at `offset` of an array, and the offset of the next element.
fn element(bytes: &[u8], offset: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(offset..)?;
    if rest.first() != Some(&0x03) {
        return None;
    }
    let key = memchr::memchr(0, rest)?;
    let begin = offset + key + 1;
    let length = u32::from_le_bytes(bytes.get(begin..begin + 4)?.try_into().ok()?) as usize;
    let end = begin.checked_add(length)?;
    Some((bytes.get(begin..end)?, end))
}

impl Response {
    fn documents(&self) -> Result<&RawArray> {
        match self {
            Self::MongoDb(batch) => batch.doc_slices().map_err(|_| malformed()),
            Self::DataApi(response) => response.get_array("documents").map_err(|_| malformed()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::MongoDb(batch) => batch.as_raw_document().as_bytes(),
            Self::DataApi(response) => response.as_bytes(),
        }
    }
}

fn malformed() -> Error {
    Error::new(ErrorKind::Protocol, "the server's response does not contain the documents in the expected form")
}

/// A running query. Dropping it closes the cursor.
pub struct BatchStream {
    batches: Arc<Mutex<mpsc::Receiver<Result<Batch>>>>,
    demand: Option<Arc<Demand>>,
    events: Option<EventContext>,
    timeout: Option<Duration>,
    task: AbortHandle,
}

/// The batches of a query.
pub type Batches = BoxStream<'static, Result<Batch>>;

/// Requests one item at a time. A request stays valid if the requester is cancelled.
#[derive(Debug)]
pub struct Demand {
    permits: Semaphore,
    requested: AtomicBool,
}

impl Default for Demand {
    fn default() -> Self {
        Self { permits: Semaphore::new(0), requested: AtomicBool::new(false) }
    }
}

impl Demand {
    /// Requests an item, unless a request is pending.
    pub fn request(&self) {
        if !self.requested.swap(true, Ordering::Relaxed) {
            self.permits.add_permits(1);
        }
    }

    /// Marks the pending request as fulfilled.
    pub fn fulfilled(&self) {
        self.requested.store(false, Ordering::Relaxed);
    }

    /// Waits for a request.
    pub async fn requested(&self) {
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }
}

impl BatchStream {
    /// Opens a stream of batches and prefetches one batch.
    pub fn start(runtime: &Handle, open: impl Future<Output = Result<Batches>> + Send + 'static) -> Self {
        Self::with_events(runtime, true, None, open)
    }

    /// Opens a stream of batches. With `ahead`, it prefetches one batch; otherwise it fetches a
    /// batch on request. Command events are attributed to the caller in `events`.
    pub fn with_events(
        runtime: &Handle,
        ahead: bool,
        events: Option<EventContext>,
        open: impl Future<Output = Result<Batches>> + Send + 'static,
    ) -> Self {
        let demand: Option<Arc<Demand>> = (!ahead).then(Arc::default);
        let (sender, receiver) = mpsc::channel(1);
        let requests = demand.clone();
        let context = events.clone();
        // Opening the stream is one operation, as is each further batch.
        let task = runtime.spawn(async move {
            let context = context.as_ref();
            let opened = std::panic::AssertUnwindSafe(EventContext::scope(context, open));
            let opened = futures_util::FutureExt::catch_unwind(opened).await.unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "a bug in connect-eaas-mongodb (a query panicked): please report it",
                ))
            });
            let mut batches = match opened {
                Ok(batches) => batches,
                Err(error) => return drop(sender.send(Err(error)).await),
            };
            while let Ok(slot) = sender.reserve().await {
                if let Some(requests) = &requests {
                    requests.requested().await;
                }
                let Some(batch) = EventContext::scope(context, batches.next()).await else { return };
                let failed = batch.is_err();
                slot.send(batch);
                if failed {
                    return;
                }
            }
        });
        Self { batches: Arc::new(Mutex::new(receiver)), demand, events, timeout: None, task: task.abort_handle() }
    }

    /// Sets the time limit of each [`BatchStream::fetch`], which its caller applies.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the time limit of each [`BatchStream::fetch`].
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Returns the listener of its command events.
    pub fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.events.as_ref().map(|events| Arc::clone(&events.listener))
    }

    /// Fetches batches until they contain `wanted` documents or the query is exhausted. Also returns
    /// whether the query is exhausted. With `once`, fetches one batch, even if it is empty.
    pub fn fetch(
        &self,
        wanted: usize,
        once: bool,
    ) -> impl Future<Output = Result<(Vec<Batch>, bool)>> + Send + 'static {
        let (batches, demand) = (Arc::clone(&self.batches), self.demand.clone());
        async move {
            let mut batches = batches.lock().await;
            let (mut fetched, mut documents) = (Vec::new(), 0);
            while documents < wanted {
                let next = match batches.try_recv() {
                    Ok(batch) => Some(batch),
                    Err(_) => {
                        if let Some(demand) = &demand {
                            demand.request();
                        }
                        batches.recv().await
                    }
                };
                if let Some(demand) = &demand {
                    demand.fulfilled();
                }
                let Some(batch) = next else { return Ok((fetched, true)) };
                let batch = batch?;
                documents += batch.len();
                fetched.push(batch);
                if once {
                    break;
                }
            }
            Ok((fetched, false))
        }
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        // The driver then sends `killCursors`.
        self.task.abort();
    }
}
