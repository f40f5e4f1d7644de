//! Queries whose result has any size, in pages where the server has them.
//!
//! The first request of such a query asks for a page, so a small result needs one request on any server. A server that has
//! no pages either ignores that and answers the whole result, or rejects it. Then it is asked once what it has.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bson::RawBsonRef;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::client::{ApiResponse, Attempts, DataApiClient, ResendPolicy};
use super::protocol::Action;
use crate::batch_stream::{Batch, Batches};
use crate::codec::ejson;
use crate::error::{Error, ErrorKind, Result};
use crate::namespace::Namespace;

/// The most documents of a page that a server may have. More in a batch are more pages.
const MAX_PAGE_DOCUMENTS: u32 = 100_000;

/// A `find` or `aggregate`.
pub struct DocumentsQuery {
    /// The action.
    pub action: Action,
    /// The body of the request, without its end.
    pub body: Vec<u8>,
    /// The arguments that MongoDB's service did not have.
    pub required: Vec<String>,
    /// The most documents of a page; 0 for the server's default.
    pub batch_size: u32,
    /// Whether the pages may be in the order of `_id`. Then any instance of a gateway can return any page. Other cursors
    /// are kept by one instance, so their queries are read in pages only if the caller has set `batch_size`.
    pub by_id: bool,
    /// Whether it stores its result. Then there are no documents to return, and it must not be sent twice.
    pub writes: bool,
}

/// A cursor that is open on the server. Dropping it closes it there.
struct OpenCursor {
    client: Arc<DataApiClient>,
    action: Action,
    /// The beginning of the body of its requests.
    prefix: Vec<u8>,
    token: Option<String>,
    /// The process that reads it. A forked child leaves it open.
    pid: u32,
}

impl DataApiClient {
    /// Returns the documents of a query, page by page if the server has pages.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`, `NotSupported`; of a further page also `CursorNotFound`.
    pub async fn documents(self: Arc<Self>, namespace: &Namespace, query: DocumentsQuery) -> Result<Batches> {
        let DocumentsQuery { action, body, required, batch_size, by_id, writes } = query;
        self.require(action, &required).await?;
        let in_pages = !writes && (by_id || batch_size > 0);
        if !in_pages || self.lacks_pages(action) {
            let repeat = if writes { ResendPolicy::OnlyUnsent } else { ResendPolicy::Idempotent };
            return self.whole(action, body, repeat).await;
        }
        let mut first = body.clone();
        first.extend_from_slice(br#","cursor":true"#);
        if batch_size > 0 {
            first.extend_from_slice(format!(",\"batchSize\":{}", batch_size.min(MAX_PAGE_DOCUMENTS)).as_bytes());
        }
        first.push(b'}');
        let response = match self.read_page(action, first.into()).await {
            Ok(response) => response,
            Err(error) if may_lack_pages(&error) && !self.describes_pages(action).await => {
                return self.whole(action, body, ResendPolicy::Idempotent).await;
            }
            Err(error) => return Err(error),
        };
        // A server that ignores what it does not know has no such field.
        if matches!(response.document.get("cursor"), Ok(None)) {
            self.no_pages.store(true, Ordering::Relaxed);
        }
        let pid = std::process::id();
        let cursor = OpenCursor { prefix: self.request_prefix(namespace), client: self, action, token: None, pid };
        let first = cursor.page(response)?;
        let pages = stream::try_unfold((Some(first), None::<OpenCursor>), |(received, cursor)| async move {
            let page = match (received, cursor) {
                (Some(page), _) => page,
                (None, Some(cursor)) => cursor.next_page().await?,
                (None, None) => return Ok(None),
            };
            let (batch, cursor) = page;
            Ok(Some((batch, (None, cursor))))
        });
        Ok(pages.boxed())
    }

    /// Returns the documents of a query in one response.
    async fn whole(&self, action: Action, mut body: Vec<u8>, repeat: ResendPolicy) -> Result<Batches> {
        body.push(b'}');
        let batch = self.find(action, body.into(), repeat).await?;
        Ok(stream::once(async { Ok(batch) }).boxed())
    }

    /// Whether the server is known to have no pages.
    fn lacks_pages(&self, action: Action) -> bool {
        self.no_pages.load(Ordering::Relaxed) || self.described(action, "cursor") == Some(false)
    }

    /// Whether the server says that it has pages. It is asked once. A server that cannot be asked has none now.
    async fn describes_pages(&self, action: Action) -> bool {
        self.require(action, &["cursor".to_owned()]).await.is_ok()
    }

    async fn read_page(&self, action: Action, body: Bytes) -> Result<ApiResponse> {
        let mut attempts = Attempts::default();
        let response = self.call(action, body, ResendPolicy::Idempotent, &mut attempts, self.deadline()).await?;
        match response.document.get_array("documents") {
            Ok(_) => Ok(response),
            Err(_) => Err(self.missing_field(action, &response, "documents")),
        }
    }
}

/// Whether a server that does not know pages may have rejected a request for one. MongoDB's errors have a code.
fn may_lack_pages(error: &Error) -> bool {
    error.code.is_none()
        && matches!(error.kind, ErrorKind::DataApi { status: Some(400..=499) })
        && !matches!(error.kind, ErrorKind::DataApi { status: Some(401 | 403 | 408 | 413 | 429) })
}

impl OpenCursor {
    /// Splits a page into its documents and the cursor of the next one.
    fn page(mut self, response: ApiResponse) -> Result<(Batch, Option<Self>)> {
        self.token = match response.document.get("cursor") {
            Ok(Some(RawBsonRef::String(token))) => Some(token.to_owned()),
            _ => None,
        };
        let batch = Batch::of_data_api(response.document)?;
        let next = self.token.is_some().then_some(self);
        Ok((batch, next))
    }

    /// Reads the next page. If nobody waits for it any more, it is read all the same: it has the cursor to close.
    async fn next_page(mut self) -> Result<(Batch, Option<Self>)> {
        let body = self.body("");
        let runtime = self.client.runtime().clone();
        let reading = runtime.spawn(async move {
            self.token = None;
            let response = self.client.read_page(self.action, body).await?;
            self.page(response)
        });
        let stopped = |_| Error::new(ErrorKind::InvalidOperation, "the page could not be read: the client has stopped");
        reading.await.map_err(stopped)?
    }

    /// The body of a request, with `more` arguments.
    fn body(&self, more: &str) -> Bytes {
        let mut body = self.prefix.clone();
        body.extend_from_slice(br#""cursor":"#);
        ejson::write_text(&mut body, self.token.as_deref().unwrap_or_default());
        body.extend_from_slice(more.as_bytes());
        body.push(b'}');
        body.into()
    }
}

impl Drop for OpenCursor {
    fn drop(&mut self) {
        if self.token.is_none() || self.pid != std::process::id() {
            return;
        }
        let (body, client, action) = (self.body(r#","close":true"#), Arc::clone(&self.client), self.action);
        // Nobody waits for it. If it fails, the server closes the cursor when it expires.
        self.client.runtime().spawn(async move {
            let mut attempts = Attempts::default();
            drop(client.call(action, body, ResendPolicy::OnlyUnsent, &mut attempts, client.deadline()).await);
        });
    }
}
