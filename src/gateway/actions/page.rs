//! A page of `find` or `aggregate`.

use axum::body::Bytes;
use bson::{Bson, RawBson, RawDocument, RawDocumentBuf, rawdoc};
use futures_util::StreamExt as _;

use super::stream::DocumentsWriter;
use super::{ActionContext, ActionResponse};
use crate::batch_stream::{Batch, Batches};
use crate::codec::ejson::write_text;
use crate::error::{Error, ErrorKind};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::cursors::{CursorOwner, Cursors, HeldCursor, Order, Page, Position, fingerprint, invalid_cursor};
use crate::gateway::limits::memory::{BatchKind, ReplyMemory};
use crate::gateway::policy::Authorized;
use crate::gateway::request::{Operation, Query};
use crate::gateway::response_format::Framing;

/// A page, whose cursor it is, and the request that began it.
pub(in crate::gateway) struct PageContext<'a> {
    pub(in crate::gateway) page: Page,
    pub(in crate::gateway) owner: CursorOwner<'a>,
    pub(in crate::gateway) request: &'a RawDocument,
}

/// Reads a page.
pub(in crate::gateway) async fn run_page(
    context: &ActionContext<'_>,
    authorized: &Authorized<'_>,
    PageContext { page: Page { size, position }, owner, request }: PageContext<'_>,
) -> ApiResult<ActionResponse> {
    let cursors = &context.gateway.cursors;
    let paged = Paged { context, size, owner, request };
    let operation = authorized.operation();
    let order = match operation {
        Operation::Find(query) => Order::of(query).filter(|_| Cursors::fits_in_token(request)),
        _ => None,
    };
    let cursor = match (position, operation) {
        (Position::Held(cursor), _) => {
            if cursor.fingerprint != fingerprint(operation) {
                return Err(invalid_cursor("began with other permissions"));
            }
            *cursor
        }
        (Position::After { id, remaining }, Operation::Find(query)) => {
            let Some(order) = order else { return Err(invalid_cursor("began with other permissions")) };
            let after = order.after(&id).and_then(|after| RawDocumentBuf::try_from(&after).ok());
            let after = after.ok_or_else(|| invalid_cursor("cannot be continued"))?;
            let query = Query { skip: None, ..query.clone() };
            return paged.by_id(&query, order, Some(after), remaining).await?.ok_or_else(no_unique_ids);
        }
        (Position::Start, Operation::Find(query)) => {
            let limit = query.limit.filter(|limit| *limit > 0);
            if let Some(order) = order {
                if query.sort.is_none_or(RawDocument::is_empty)
                    && let Some(whole) = paged.whole(query, limit).await?
                {
                    return Ok(whole);
                }
                if let Some(page) = paged.by_id(query, order, None, limit).await? {
                    return Ok(page);
                }
            }
            let opening = context.open_find(query, limit, Some(size));
            cursors.begin(owner, paged.kept_request()?, fingerprint(operation), opening).await?
        }
        (Position::Start, Operation::Aggregate { pipeline, options }) => {
            let opening = context.open_aggregate(pipeline, options, Some(size));
            cursors.begin(owner, paged.kept_request()?, fingerprint(operation), opening).await?
        }
        (Position::After { .. } | Position::Start, _) => return Err(invalid_cursor("is not one of this action")),
    };
    paged.of_cursor(cursor).await
}

/// What the kinds of pages have in common.
#[derive(Clone, Copy)]
struct Paged<'a> {
    context: &'a ActionContext<'a>,
    size: u32,
    owner: CursorOwner<'a>,
    request: &'a RawDocument,
}

impl Paged<'_> {
    /// The request, in memory that is counted while its cursor is kept.
    fn kept_request(&self) -> ApiResult<Bytes> {
        self.context.gateway.memory.hold(self.request.as_bytes().to_vec())
    }

    /// Converts an error that a batch ended with.
    fn failed(&self, error: &Error) -> ApiError {
        match error.kind {
            ErrorKind::CursorNotFound => invalid_cursor("is no longer open in MongoDB"),
            _ => self.context.error_response(error),
        }
    }

    /// The next batch that has documents, or the last one. `memory` is that of the batch and of its text.
    async fn next_batch(&self, batches: &mut Batches, memory: &mut ReplyMemory) -> ApiResult<Option<Batch>> {
        loop {
            let batch = batches.next().await.transpose().map_err(|error| self.failed(&error))?;
            if batch.as_ref().is_none_or(|batch| !batch.is_empty() || batch.is_last()) {
                if let Some(batch) = &batch {
                    let (size, largest) = batch.sizes();
                    memory.arrived(2 * size, largest).await?;
                }
                return Ok(batch);
            }
        }
    }

    async fn memory(&self) -> ApiResult<ReplyMemory> {
        self.context.gateway.memory.for_reply(&self.context.target.namespace, BatchKind::First).await
    }

    /// A page of a cursor that is kept: one batch.
    async fn of_cursor(&self, mut cursor: HeldCursor) -> ApiResult<ActionResponse> {
        let mut body = PageBody::new(self.context, self.memory().await?);
        let mut has_more = false;
        if let Some(mut batch) = self.next_batch(&mut cursor.batches, &mut body.memory).await? {
            has_more = !batch.is_last();
            while let Some(document) = batch.take_next() {
                body.write(document).map_err(|error| self.failed(&error))?;
            }
        }
        let token = has_more.then(|| self.context.gateway.cursors.keep(self.owner, cursor)).transpose()?;
        body.end(token)
    }

    /// The whole result of a query without an order, if it fits a page. It does not need the order of `_id`, for which
    /// MongoDB may have to read other documents, or sort these.
    async fn whole(&self, query: &Query<'_>, limit: Option<u32>) -> ApiResult<Option<ActionResponse>> {
        let limit = limit.unwrap_or(u32::MAX).min(self.size + 1);
        let mut body = PageBody::new(self.context, self.memory().await?);
        let mut batches = self.context.open_find(query, Some(limit), Some(limit)).await?;
        if let Some(mut batch) = self.next_batch(&mut batches, &mut body.memory).await? {
            if batch.len() > self.size as usize || !batch.is_last() {
                return Ok(None);
            }
            while let Some(document) = batch.take_next() {
                body.write(document).map_err(|error| self.failed(&error))?;
            }
        }
        body.end(None).map(Some)
    }

    /// A page in the order of `_id`. One document more is read: it tells whether another page follows. `None` if the
    /// next page cannot begin after an `_id`: a view may have documents without one, or several with the same.
    async fn by_id(
        &self,
        query: &Query<'_>,
        order: Order,
        after: Option<RawDocumentBuf>,
        remaining: Option<u32>,
    ) -> ApiResult<Option<ActionResponse>> {
        let is_first = after.is_none();
        let wanted = remaining.map_or(self.size, |remaining| remaining.min(self.size));
        let filter = match (query.filter, after) {
            (Some(filter), Some(after)) => Some(rawdoc! { "$and": [filter.to_owned(), after] }),
            (filter, after) => after.or_else(|| filter.map(RawDocument::to_owned)),
        };
        let (sort, limit) = (order.sort(), Some(wanted + 1));
        let query = Query {
            filter: filter.as_deref(),
            projection: query.projection,
            sort: Some(&sort),
            skip: query.skip,
            limit: None,
            options: query.options.clone(),
        };
        let mut body = PageBody::new(self.context, self.memory().await?);
        let mut batches = self.context.open_find(&query, limit, limit).await?;
        let mut next = None;
        if let Some(mut batch) = self.next_batch(&mut batches, &mut body.memory).await? {
            // A batch is also full when its documents have 16 MiB.
            let has_more = batch.len() > wanted as usize || !batch.is_last();
            let shown = if has_more && batch.len() > 1 { batch.len() - 1 } else { batch.len() };
            let remaining = remaining.map(|remaining| remaining.saturating_sub(shown as u32));
            let continues = has_more && remaining != Some(0);
            // If two documents of the first page have the same `_id`, a later page could end between two.
            let compared = if is_first { 0 } else { shown.saturating_sub(1) };
            let mut last = None;
            for index in 0..=shown {
                let Some(document) = batch.take_next() else { break };
                let document = document.map_err(|error| self.failed(&error))?;
                if index < shown {
                    body.write(Ok(document)).map_err(|error| self.failed(&error))?;
                }
                if continues && index >= compared {
                    let id = document.get("_id").ok().flatten().map(RawBson::from);
                    if id.is_none() || (index > compared && id == last) {
                        return Ok(None);
                    }
                    if index < shown {
                        last = id;
                    }
                }
            }
            if continues {
                let Some(last) = last.and_then(|id| Bson::try_from(id).ok()) else { return Ok(None) };
                next = Some((last, remaining));
            }
        }
        let cursors = &self.context.gateway.cursors;
        let token = next.map(|(id, remaining)| cursors.after(self.owner, self.request, id, remaining)).transpose()?;
        body.end(token).map(Some)
    }
}

fn no_unique_ids() -> ApiError {
    ApiError::invalid("the documents have no unique '_id' to continue after: give a 'sort' by another field")
}

/// The body of a page.
struct PageBody {
    out: Vec<u8>,
    writer: DocumentsWriter,
    memory: ReplyMemory,
}

impl PageBody {
    fn new(context: &ActionContext<'_>, memory: ReplyMemory) -> Self {
        let writer = DocumentsWriter::new(Framing::Array, context.style, None);
        Self { out: br#"{"documents":["#.to_vec(), writer, memory }
    }

    fn write(&mut self, document: Result<&RawDocument, Error>) -> Result<(), Error> {
        self.writer.write_one(&mut self.out, document?)
    }

    /// Ends the page with the token of the next one, or `null` if it is the last.
    fn end(mut self, token: Option<String>) -> ApiResult<ActionResponse> {
        self.out.extend_from_slice(br#"],"cursor":"#);
        match token {
            Some(token) => write_text(&mut self.out, &token),
            None => self.out.extend_from_slice(b"null"),
        }
        self.out.push(b'}');
        Ok(ActionResponse::Parts(vec![self.memory.hold(self.out)?]))
    }
}
