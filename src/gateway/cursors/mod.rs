//! Results in pages: `find` and `aggregate` with `"cursor": true`.
//!
//! The token of a page leads to the next one. It contains either where a query in the order of `_id` continues
//! (`keyset`), so that each instance of the gateway can answer it, or the cursor that this instance keeps (`held`).

mod held;
mod keyset;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use sha2::{Digest as _, Sha256};

use super::api_error::{ApiError, ApiResult};
use super::arguments::count;
use super::request::{Evaluated, Operation};
use super::target::RequestTarget;
use crate::batch_stream::Batches;
use crate::data_api::protocol::{Action, INVALID_CURSOR};
pub(super) use held::HeldCursor;
use held::HeldCursors;
pub(super) use keyset::Order;
pub(super) use token::{PURPOSE, TokenKey};

/// The documents of a page, unless the request says otherwise.
const DEFAULT_PAGE_DOCUMENTS: u32 = 1000;
/// The most documents of a page.
const MAX_PAGE_DOCUMENTS: u32 = 100_000;
/// The largest request that a token contains, in bytes of BSON.
const MAX_REQUEST_IN_TOKEN: usize = 32 * 1024;
/// The fields of a request for a further page.
const CONTINUATION_FIELDS: [&str; 5] = ["dataSource", "database", "collection", "cursor", "close"];

/// The settings of cursors.
#[derive(Debug, Clone, Copy)]
pub(super) struct CursorLimits {
    /// How long a token is valid, and how long a cursor is kept for it.
    pub(super) lifetime: Duration,
    /// The cursors that are kept.
    pub(super) open: usize,
    /// The cursors that are kept for a caller.
    pub(super) per_caller: usize,
}

impl Default for CursorLimits {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(600), open: 1000, per_caller: 100 }
    }
}

/// The cursors of a gateway.
pub(super) struct Cursors {
    key: TokenKey,
    lifetime: Duration,
    held: HeldCursors,
    /// A number of this process, by which it knows its own cursors.
    instance: i64,
}

/// A page that a request asks for.
pub(super) struct Page {
    /// The most documents of the page.
    pub(super) size: u32,
    pub(super) position: Position,
}

/// Where a page begins.
pub(super) enum Position {
    Start,
    /// After this `_id`, with the number of documents that may still come.
    After {
        id: Bson,
        remaining: Option<u32>,
    },
    Held(Box<HeldCursor>),
}

/// A request for a further page: the page, and the request that began it.
pub(super) struct Continuation {
    pub(super) page: Page,
    pub(super) request: RawDocumentBuf,
}

/// What a request says of pages.
pub(super) enum Paging {
    /// All documents in one response.
    None,
    First(Page),
    Next(Continuation),
}

/// Whose cursor it is, and on what.
#[derive(Clone, Copy)]
pub(super) struct CursorOwner<'a> {
    pub(super) caller: &'a Arc<str>,
    pub(super) action: Action,
    pub(super) target: &'a RequestTarget,
}

/// 400: a token that leads nowhere.
pub(super) fn invalid_cursor(problem: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, INVALID_CURSOR, format!("the 'cursor' {problem}: run the query again"))
}

impl Cursors {
    /// Creates the table of cursors.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new(key: TokenKey, limits: CursorLimits) -> std::io::Result<Self> {
        let mut instance = [0; 8];
        getrandom::fill(&mut instance).map_err(std::io::Error::other)?;
        let held = HeldCursors::new(limits.lifetime, limits.open, limits.per_caller);
        Ok(Self { key, lifetime: limits.lifetime, held, instance: i64::from_le_bytes(instance) })
    }

    /// Reads what a request says of pages: its `cursor`. `most` is the number of documents that a response may have.
    pub(super) fn read(
        &self,
        owner: CursorOwner<'_>,
        cursor: RawBsonRef<'_>,
        request: &RawDocument,
        most: Option<u64>,
    ) -> ApiResult<Paging> {
        match cursor {
            RawBsonRef::Boolean(false) => Ok(Paging::None),
            RawBsonRef::Boolean(true) => {
                Ok(Paging::First(Page { size: page_size(request, most)?, position: Position::Start }))
            }
            RawBsonRef::String(token) => {
                for field in request {
                    let (name, _) = field.map_err(|_| ApiError::unreadable())?;
                    if !CONTINUATION_FIELDS.contains(&name.as_str()) {
                        return Err(ApiError::invalid(
                            "with the 'cursor' of a page, the request has only 'dataSource', 'database' and \
                             'collection': the query is that of the first page",
                        ));
                    }
                }
                self.open(owner, token, most).map(Paging::Next)
            }
            _ => Err(ApiError::invalid("'cursor' must be true, or the text that a page ended with")),
        }
    }

    fn open(&self, owner: CursorOwner<'_>, token: &str, most: Option<u64>) -> ApiResult<Continuation> {
        let content = self.key.open(token).ok_or_else(|| invalid_cursor("is not one of this gateway"))?;
        let content = RawDocumentBuf::from_bytes(content).map_err(|_| ApiError::unreadable())?;
        let text = |name| content.get_str(name).unwrap_or_default();
        let namespace = &owner.target.namespace;
        let is_own = text("caller") == &**owner.caller
            && text("action") == owner.action.name()
            && text("dataSource") == owner.target.data_source
            && text("database") == namespace.database
            && text("collection") == namespace.collection;
        if !is_own {
            return Err(invalid_cursor("belongs to another caller, action or collection"));
        }
        if content.get_datetime("expires").is_ok_and(|expires| expires <= DateTime::now()) {
            return Err(invalid_cursor("has expired"));
        }
        let number = |name| content.get_i64(name).ok();
        if let (Some(id), Some(page)) = (number("held"), number("page")) {
            if number("instance") != Some(self.instance) {
                return Err(invalid_cursor("is open on another instance of the gateway, or on one that has ended"));
            }
            let cursor = self.held.take(id, page, owner.caller);
            let cursor = cursor.ok_or_else(|| invalid_cursor("has expired or was already used"))?;
            let request = RawDocumentBuf::from_bytes(cursor.request.to_vec()).map_err(|_| ApiError::unreadable())?;
            let page = Page { size: page_size(&request, most)?, position: Position::Held(Box::new(cursor)) };
            return Ok(Continuation { page, request });
        }
        let id = content.get("id").ok().flatten().and_then(|id| Bson::try_from(id).ok());
        let request = content.get_binary("request").ok();
        let request = request.and_then(|request| RawDocumentBuf::from_bytes(request.bytes.to_vec()).ok());
        let (Some(id), Some(request)) = (id, request) else {
            return Err(invalid_cursor("is one of another version of the gateway"));
        };
        let remaining = number("remaining").and_then(|remaining| u32::try_from(remaining).ok());
        let page = Page { size: page_size(&request, most)?, position: Position::After { id, remaining } };
        Ok(Continuation { page, request })
    }

    /// Whether a token may contain a request; otherwise its cursor is kept.
    pub(super) fn fits_in_token(request: &RawDocument) -> bool {
        request.as_bytes().len() <= MAX_REQUEST_IN_TOKEN
    }

    /// The token of a page that begins after an `_id`.
    pub(super) fn after(
        &self,
        owner: CursorOwner<'_>,
        request: &RawDocument,
        id: Bson,
        remaining: Option<u32>,
    ) -> ApiResult<String> {
        let bytes = request.as_bytes().to_vec();
        let mut state = doc! { "id": id, "request": Binary { subtype: BinarySubtype::Generic, bytes } };
        state.extend(remaining.map(|remaining| ("remaining".to_owned(), Bson::Int64(remaining.into()))));
        self.seal(owner, state)
    }

    /// Begins a cursor that is kept. `open` opens it in MongoDB, once there is a place for it.
    pub(super) async fn begin(
        &self,
        owner: CursorOwner<'_>,
        request: Bytes,
        fingerprint: [u8; 32],
        open: impl Future<Output = ApiResult<Batches>>,
    ) -> ApiResult<HeldCursor> {
        let slot = self.held.slot(owner.caller)?;
        Ok(self.held.new_cursor(slot, open.await?, request, fingerprint))
    }

    /// Keeps a cursor, and returns the token of its next page.
    pub(super) fn keep(&self, owner: CursorOwner<'_>, cursor: HeldCursor) -> ApiResult<String> {
        let (id, page) = self.held.keep(cursor);
        self.seal(owner, doc! { "held": id, "page": page, "instance": self.instance })
    }

    fn seal(&self, owner: CursorOwner<'_>, state: Document) -> ApiResult<String> {
        let namespace = &owner.target.namespace;
        let lifetime = i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX);
        let expires = DateTime::from_millis(DateTime::now().timestamp_millis().saturating_add(lifetime));
        let mut content = doc! {
            "expires": expires, "caller": &**owner.caller, "action": owner.action.name(),
            "dataSource": &owner.target.data_source, "database": &namespace.database,
            "collection": &namespace.collection,
        };
        content.extend(state);
        let content = RawDocumentBuf::try_from(&content).ok();
        content.and_then(|content| self.key.seal(content.as_bytes())).ok_or_else(|| {
            let message = "the gateway could not make a cursor: try again";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
        })
    }
}

/// A digest of what an operation reads: it changes with the permissions that shape the operation.
pub(super) fn fingerprint(operation: &Operation<'_>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (name, parameter) in operation.evaluated() {
        let bytes = match parameter {
            Evaluated::Value(RawBsonRef::Document(document)) => document.as_bytes(),
            Evaluated::Value(RawBsonRef::Array(items)) => items.as_bytes(),
            Evaluated::Value(_) => &[],
            Evaluated::Aggregation(stages) | Evaluated::UpdatePipeline(stages) => stages.as_bytes(),
        };
        digest.update(name);
        digest.update(bytes);
    }
    digest.finalize().into()
}

/// The number of documents of a page: `batchSize`.
fn page_size(request: &RawDocument, most: Option<u64>) -> ApiResult<u32> {
    let most = most.and_then(|most| u32::try_from(most).ok()).unwrap_or(u32::MAX).min(MAX_PAGE_DOCUMENTS);
    let size = match request.get("batchSize").map_err(|_| ApiError::unreadable())? {
        None | Some(RawBsonRef::Null) => return Ok(DEFAULT_PAGE_DOCUMENTS.min(most)),
        Some(size) => count("batchSize", size).ok(),
    };
    size.filter(|size| (1..=most).contains(size))
        .ok_or_else(|| ApiError::invalid(format!("'batchSize' must be an integer from 1 to {most}")))
}
