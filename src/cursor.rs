//! Documents that come in batches, from either path. The next batch is on its
//! way while this one is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bson::{RawArray, RawDocument, RawDocumentBuf};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::driver::events::{Heard, Listener};
use crate::error::{Error, ErrorKind, Result};

/// Documents that came together, still in the answer that brought them.
pub struct Batch {
    answer: Answer,
    /// Where the next document begins in the bytes of the array.
    offset: usize,
    left: usize,
}

enum Answer {
    MongoDb(RawBatch),
    DataApi(RawDocumentBuf),
}

impl Batch {
    /// The documents of an answer of MongoDB's.
    ///
    /// # Errors
    /// `Protocol` where it holds none.
    pub fn of_mongodb(answer: RawBatch) -> Result<Self> {
        Self::new(Answer::MongoDb(answer))
    }

    /// The documents of an answer of the Data API's.
    ///
    /// # Errors
    /// `Protocol` where it has no `documents`.
    pub fn of_data_api(answer: RawDocumentBuf) -> Result<Self> {
        Self::new(Answer::DataApi(answer))
    }

    /// Documents that are there.
    ///
    /// # Errors
    /// `Protocol` where they cannot be encoded.
    pub fn of_documents(documents: Vec<bson::Document>) -> Result<Self> {
        let answer = RawDocumentBuf::try_from(&bson::doc! { "documents": documents }).map_err(|_| malformed())?;
        Self::new(Answer::DataApi(answer))
    }

    fn new(answer: Answer) -> Result<Self> {
        let left = answer.documents()?.into_iter().take_while(std::result::Result::is_ok).count();
        Ok(Self { answer, offset: 4, left })
    }

    /// How many documents have not been taken.
    pub fn len(&self) -> usize {
        self.left
    }

    /// The server's id of the cursor, 0 once it has no more; where the answer is MongoDB's.
    pub fn cursor_id(&self) -> Option<i64> {
        match &self.answer {
            Answer::MongoDb(batch) => batch.as_raw_document().get_document("cursor").ok()?.get_i64("id").ok(),
            Answer::DataApi(_) => None,
        }
    }

    /// All documents that are left, one behind the other.
    ///
    /// # Errors
    /// `Protocol` where there is something else.
    pub fn take_raw(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(document) = self.take_next() {
            bytes.extend_from_slice(document?.as_bytes());
        }
        Ok(bytes)
    }

    /// Whether all documents have been taken.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Takes the next document.
    ///
    /// # Errors
    /// `Protocol` where there is something else.
    pub fn take_next(&mut self) -> Option<Result<&RawDocument>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let bytes = match self.answer.documents() {
            Ok(array) => array.as_bytes(),
            Err(error) => return Some(Err(error)),
        };
        let Some((document, next)) = element(bytes, self.offset) else {
            self.left = 0;
            return Some(Err(malformed()));
        };
        self.offset = next;
        Some(RawDocument::from_bytes(document).map_err(|_| malformed()))
    }
}

/// The document that begins at `offset` of an array's bytes, and where what comes after it begins.
fn element(bytes: &[u8], offset: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(offset..)?;
    if rest.first() != Some(&0x03) {
        return None;
    }
    let key = rest.iter().position(|byte| *byte == 0)?;
    let begin = offset + key + 1;
    let length = u32::from_le_bytes(bytes.get(begin..begin + 4)?.try_into().ok()?) as usize;
    let end = begin.checked_add(length)?;
    Some((bytes.get(begin..end)?, end))
}

impl Answer {
    fn documents(&self) -> Result<&RawArray> {
        match self {
            Self::MongoDb(batch) => batch.doc_slices().map_err(|_| malformed()),
            Self::DataApi(answer) => answer.get_array("documents").map_err(|_| malformed()),
        }
    }
}

fn malformed() -> Error {
    Error::new(ErrorKind::Protocol, "the server's answer does not hold documents as it should")
}

/// A query under way.
pub struct Fetching {
    batches: Arc<Mutex<mpsc::Receiver<Result<Batch>>>>,
    demand: Option<Arc<Demand>>,
    heard: Option<Heard>,
    task: AbortHandle,
}

/// The batches of a query.
pub type Batches = BoxStream<'static, Result<Batch>>;

/// Asks for one thing at a time, whatever becomes of who asked.
#[derive(Debug)]
pub struct Demand {
    permits: Semaphore,
    asked: AtomicBool,
}

impl Default for Demand {
    fn default() -> Self {
        Self { permits: Semaphore::new(0), asked: AtomicBool::new(false) }
    }
}

impl Demand {
    /// Asks, unless that was done and not answered.
    pub fn ask(&self) {
        if !self.asked.swap(true, Ordering::Relaxed) {
            self.permits.add_permits(1);
        }
    }

    /// What was asked for came.
    pub fn answered(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Waits until somebody asks.
    pub async fn wanted(&self) {
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }
}

impl Fetching {
    /// Opens a stream of batches, and keeps one batch ahead of its reader.
    pub fn start(runtime: &Handle, open: impl Future<Output = Result<Batches>> + Send + 'static) -> Self {
        Self::heard(runtime, true, None, open)
    }

    /// Opens a stream of batches: `ahead` of its reader, or each when it is
    /// wanted. A listener hears of it as its caller's.
    pub fn heard(
        runtime: &Handle,
        ahead: bool,
        heard: Option<Heard>,
        open: impl Future<Output = Result<Batches>> + Send + 'static,
    ) -> Self {
        let demand: Option<Arc<Demand>> = (!ahead).then(Arc::default);
        let (sender, receiver) = mpsc::channel(1);
        let wanted = demand.clone();
        let task = runtime.spawn(Heard::scope(heard.clone(), async move {
            let opened = std::panic::AssertUnwindSafe(open);
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
            while let Ok(place) = sender.reserve().await {
                if let Some(wanted) = &wanted {
                    wanted.wanted().await;
                }
                let Some(batch) = batches.next().await else { return };
                let failed = batch.is_err();
                place.send(batch);
                if failed {
                    return;
                }
            }
        }));
        Self { batches: Arc::new(Mutex::new(receiver)), demand, heard, task: task.abort_handle() }
    }

    /// Who hears of it.
    pub fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.heard.as_ref().map(|heard| Arc::clone(&heard.listener))
    }

    /// The next batches, until they hold `wanted` documents or there are no
    /// more; tells also whether these were the last. With `once`, one batch,
    /// even if it is empty.
    pub fn fetch(
        &self,
        wanted: usize,
        once: bool,
    ) -> impl Future<Output = Result<(Vec<Batch>, bool)>> + Send + 'static {
        let (batches, demand) = (Arc::clone(&self.batches), self.demand.clone());
        async move {
            let mut batches = batches.lock().await;
            let (mut come, mut documents) = (Vec::new(), 0);
            while documents < wanted {
                let next = match batches.try_recv() {
                    Ok(batch) => Some(batch),
                    Err(_) => {
                        if let Some(demand) = &demand {
                            demand.ask();
                        }
                        batches.recv().await
                    }
                };
                if let Some(demand) = &demand {
                    demand.answered();
                }
                let Some(batch) = next else { return Ok((come, true)) };
                let batch = batch?;
                documents += batch.len();
                come.push(batch);
                if once {
                    break;
                }
            }
            Ok((come, false))
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        // The driver then tells the server that the cursor is not needed any more.
        self.task.abort();
    }
}
