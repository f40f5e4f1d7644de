//! The Data API's client, with one connection pool.
//!
//! A call is retried only if that is safe: reads, and inserts of documents whose `_id`s were
//! generated here, since a second insert with the same `_id` stores nothing. A call whose
//! connection could not be established is always retried, since nothing was sent.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{Bson, Document, RawBsonRef, RawDocumentBuf, doc};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use super::protocol::{API_KEY_HEADER, Action, EJSON, ErrorBody, INVALID_CURSOR, request_prefix};
use crate::batch_stream::Batch;
use crate::codec::ejson;
use crate::config::DataApiSettings;
use crate::driver::bulk::BulkResult;
use crate::driver::write::Updated;
use crate::error::{Error, ErrorKind, Result, causes, excerpt};
use crate::giving_up::GivingUp;
use crate::insert_queue::{Flush, InsertQueue, Limits, SendBatch, SendOutcome};
use crate::namespace::Namespace;
use crate::redact;
use crate::tls;

/// The maximum number of attempts of a call.
const MAX_ATTEMPTS: u32 = 3;
/// The delay before the second attempt. The delay before the third is four times as long.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// The maximum delay that a server may request with `Retry-After`.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// The number of concurrent requests when the documents of a failed batch are sent one by one.
const MAX_CONCURRENT_SINGLE_INSERTS: usize = 16;
/// How long an idle connection stays in the pool. It is shorter than the usual idle timeout of
/// servers, so that a call rarely uses a connection that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(20);
/// The beginning of the EJSON of a document whose `_id` was generated here, and its length with the `_id`.
const GENERATED_ID_PREFIX: &[u8] = br#"{"_id":{"$oid":""#;
const GENERATED_ID_LENGTH: usize = GENERATED_ID_PREFIX.len() + 24 + 2;
/// The maximum size of a response in bytes: a document of 16 MiB as EJSON, with a margin.
const MAX_RESPONSE_SIZE: usize = 128 * 1024 * 1024;

/// The maximum size of a server's description of itself, in bytes.
const MAX_DESCRIPTION_SIZE: usize = 4 * 1024 * 1024;

/// Whether a call may be resent although the server may have executed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendPolicy {
    /// The call is idempotent.
    Idempotent,
    /// It may be resent only if it was never sent.
    OnlyUnsent,
}

/// The Data API's client. Creating it does no I/O.
pub struct DataApiClient {
    settings: DataApiSettings,
    runtime: Handle,
    http: OnceCell<Client>,
    insert_queue: InsertQueue<Self>,
    /// Whether the server supports `insertOne` but not `insertMany`.
    no_insert_many: AtomicBool,
    /// Whether the server answers a whole result where a page was requested.
    pub(super) no_pages: AtomicBool,
    /// What the server says that it supports, once it was asked.
    capabilities: OnceCell<Capabilities>,
    giving_up: GivingUp,
}

/// The state of the attempts of a call.
#[derive(Default)]
pub(super) struct Attempts {
    /// Whether the server may have executed an earlier attempt.
    maybe_executed: bool,
}

/// A document to insert.
pub struct EjsonInsert {
    /// The document as EJSON.
    ejson: Vec<u8>,
    identity: Identity,
}

/// How to find out whether a document that is rejected as a duplicate is already stored.
enum Identity {
    /// Its `_id` was generated here, so only this document has it.
    Generated,
    /// Its `_id` is a digest of its content.
    Content {
        /// The `_id`.
        id: String,
        /// The EJSON of a query that matches only a document stored by this call.
        ours: Vec<u8>,
    },
    /// Its `_id` is the caller's, or retries are disabled.
    Unknown,
}

impl EjsonInsert {
    /// A document whose `_id` was generated here and is the first field.
    pub fn made(ejson: Vec<u8>) -> Self {
        Self { ejson, identity: Identity::Generated }
    }

    /// A document whose `_id`, a string, is a digest of its content. `ours` is the EJSON of a query
    /// that matches only a document stored by this call.
    pub fn of_content(ejson: Vec<u8>, id: String, ours: Vec<u8>) -> Self {
        Self { ejson, identity: Identity::Content { id, ours } }
    }

    /// A document that must not be resent.
    pub fn once(ejson: Vec<u8>) -> Self {
        Self { ejson, identity: Identity::Unknown }
    }

    /// Returns whether it may be resent.
    fn repeat(&self) -> ResendPolicy {
        match self.identity {
            Identity::Generated | Identity::Content { .. } => ResendPolicy::Idempotent,
            Identity::Unknown => ResendPolicy::OnlyUnsent,
        }
    }

    /// Returns the `_id` as it appears in error messages.
    fn id(&self) -> Option<&str> {
        match &self.identity {
            Identity::Generated => generated_id(&self.ejson),
            Identity::Content { id, .. } => Some(id),
            Identity::Unknown => None,
        }
    }

    /// Returns the query that matches only a document stored by this call.
    fn ours(&self) -> Option<Vec<u8>> {
        match &self.identity {
            Identity::Generated => {
                let id = self.ejson.get(..GENERATED_ID_LENGTH).filter(|id| id.starts_with(GENERATED_ID_PREFIX))?;
                Some([id, b"}"].concat())
            }
            Identity::Content { ours, .. } => Some(ours.clone()),
            Identity::Unknown => None,
        }
    }

    /// Returns the query that matches any document with its `_id`.
    fn same_id(&self) -> Option<Vec<u8>> {
        match &self.identity {
            Identity::Content { id, .. } => {
                let mut query = br#"{"_id":"#.to_vec();
                ejson::write_text(&mut query, id);
                query.push(b'}');
                Some(query)
            }
            _ => self.ours(),
        }
    }
}

/// The arguments of each action, by the server's `openapi.json`; empty if it has none.
#[derive(Debug, Default)]
struct Capabilities(HashMap<String, HashSet<String>>);

impl Capabilities {
    fn parse(description: &[u8]) -> Self {
        let arguments = |operation: &serde_json::Value| {
            let media = operation.pointer("/post/requestBody/content")?.get(super::protocol::JSON)?;
            let properties = media.pointer("/schema/properties")?.as_object()?;
            Some(properties.keys().cloned().collect())
        };
        let Ok(description) = serde_json::from_slice::<serde_json::Value>(description) else { return Self::default() };
        let Some(paths) = description.get("paths").and_then(serde_json::Value::as_object) else {
            return Self::default();
        };
        let action = |(path, operation): (&String, &serde_json::Value)| {
            let name = path.rsplit_once("/action/")?.1.to_owned();
            Some((name, arguments(operation).unwrap_or_default()))
        };
        Self(paths.iter().filter_map(action).collect())
    }
}

/// A successful response.
pub(super) struct ApiResponse {
    status: u16,
    body: Vec<u8>,
    pub(super) document: RawDocumentBuf,
}

/// The result of one attempt.
enum AttemptResult {
    Done(ApiResponse),
    /// The attempt failed. `retry` says whether another attempt is possible.
    Failed {
        error: Error,
        retry: Retry,
    },
}

enum Retry {
    Never,
    /// Nothing was sent.
    Unsent,
    /// The server may have executed the call.
    IfSafe {
        delay: Option<Duration>,
    },
}

impl DataApiClient {
    /// Creates a client for `settings` that runs its tasks on `runtime`.
    pub fn new(settings: DataApiSettings, runtime: Handle) -> Self {
        Self {
            settings,
            runtime,
            http: OnceCell::new(),
            insert_queue: InsertQueue::default(),
            no_insert_many: AtomicBool::new(false),
            no_pages: AtomicBool::new(false),
            capabilities: OnceCell::new(),
            giving_up: GivingUp::default(),
        }
    }

    /// At the interpreter's exit: fails pending calls if the server is unresponsive.
    pub async fn give_up_if_silent(&self) {
        let is_reachable = || {
            let http = self.http.get().map(|http| http.get(&self.settings.endpoint));
            // Any response shows that the server is reachable.
            async move {
                match http {
                    Some(request) => request.send().await.is_ok(),
                    None => false,
                }
            }
            .boxed()
        };
        self.giving_up.at_exit(is_reachable).await;
    }

    /// Returns the settings that the client was created with.
    pub fn settings(&self) -> &DataApiSettings {
        &self.settings
    }

    /// Returns the runtime of its tasks.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Returns the beginning of every request's body for `namespace`.
    pub fn request_prefix(&self, namespace: &Namespace) -> Vec<u8> {
        request_prefix(&self.settings.data_source, namespace)
    }

    /// Inserts a document.
    ///
    /// # Errors
    /// `DuplicateKey`, `DuplicateId`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn insert_one(&self, namespace: &Namespace, document: &EjsonInsert) -> Result<()> {
        let prefix = self.request_prefix(namespace);
        self.insert_single(&prefix, document, false, self.deadline()).await
    }

    /// Inserts documents.
    ///
    /// # Errors
    /// `BulkWrite`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn insert_many(&self, namespace: &Namespace, documents: &[EjsonInsert], ordered: bool) -> Result<()> {
        // Resending is safe if it is safe for each document.
        let safe = documents.iter().all(|document| document.repeat() == ResendPolicy::Idempotent);
        let repeat = if safe { ResendPolicy::Idempotent } else { ResendPolicy::OnlyUnsent };
        let (prefix, deadline) = (self.request_prefix(namespace), self.deadline());
        let mut attempts = Attempts::default();
        let body = many_request(&prefix, documents, ordered);
        let error = match self.call(Action::InsertMany, body, repeat, &mut attempts, deadline).await {
            Ok(response) if inserted_ids(&response) == Some(documents.len()) => return Ok(()),
            Ok(response) => self.missing_field(Action::InsertMany, &response, "insertedIds, one for each document"),
            // An earlier attempt may have stored some documents, so each must be checked.
            Err(error) if error.kind == ErrorKind::BulkWrite && !attempts.maybe_executed => return Err(error),
            Err(error) => error,
        };
        let doubtful =
            error.kind == ErrorKind::BulkWrite || matches!(error.kind, ErrorKind::DataApi { status: Some(200..=299) });
        if repeat == ResendPolicy::Idempotent && doubtful {
            return self.insert_in_order(&prefix, documents, ordered, deadline).await;
        }
        Err(error)
    }

    /// Inserts documents one by one in their order, some of which may already be stored.
    async fn insert_in_order(
        &self,
        prefix: &[u8],
        documents: &[EjsonInsert],
        ordered: bool,
        deadline: Instant,
    ) -> Result<()> {
        let mut rejected = Vec::new();
        let mut inserted = 0;
        for (position, document) in documents.iter().enumerate() {
            match self.insert_single(prefix, document, true, deadline).await {
                Ok(()) => inserted += 1,
                Err(error) if is_document_error(&error) => {
                    rejected.push(write_error(position, &error));
                    if ordered {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let Some(first) = rejected.first() else { return Ok(()) };
        let first = first.get_str("errmsg").unwrap_or_default();
        let what = format!("batch op errors occurred: {}", excerpt(first, 500));
        let mut error = self.error(Action::InsertMany, None, &what).with_code(Some(65));
        error.kind = ErrorKind::BulkWrite;
        error.details = bulk_details(rejected, inserted);
        Err(error)
    }

    /// Inserts one document. `maybe_stored` means that it may already be stored.
    async fn insert_single(
        &self,
        prefix: &[u8],
        document: &EjsonInsert,
        maybe_stored: bool,
        deadline: Instant,
    ) -> Result<()> {
        let mut attempts = Attempts { maybe_executed: maybe_stored };
        let body = one_request(prefix, &document.ejson);
        match self.call(Action::InsertOne, body, document.repeat(), &mut attempts, deadline).await {
            Ok(response) if matches!(response.document.get("insertedId"), Ok(Some(_))) => Ok(()),
            Ok(response) => Err(self.missing_field(Action::InsertOne, &response, "insertedId")),
            Err(error) if error.kind == ErrorKind::DuplicateKey => {
                self.duplicate(prefix, document, error, attempts.maybe_executed, deadline).await
            }
            Err(error) => Err(error),
        }
    }

    /// Handles a document that was rejected as a duplicate: of itself, stored by an earlier attempt; of
    /// a document with the same content; or of another document.
    async fn duplicate(
        &self,
        prefix: &[u8],
        document: &EjsonInsert,
        error: Error,
        maybe_ours: bool,
        deadline: Instant,
    ) -> Result<()> {
        let named = document.id().is_some_and(|id| error.message.contains(id));
        let of_content = matches!(document.identity, Identity::Content { .. });
        // No other document has an `_id` that was generated here: if the error contains it, the document is stored.
        if named && matches!(document.identity, Identity::Generated) && maybe_ours {
            return Ok(());
        }
        if let Some(ours) = document.ours().filter(|_| maybe_ours) {
            match self.finds(prefix, &ours, deadline).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A document with the same content is stored, no matter by whom.
                Err(_) if named && of_content => {}
                Err(unknown) => {
                    let what = format!(
                        "the response was lost, and the check whether the document is stored failed ({}); the retry \
                         was rejected: {}",
                        unknown.message, error.message
                    );
                    return Err(Error { kind: ErrorKind::AutoReconnect, message: what, ..error });
                }
            }
        }
        let same = of_content
            && (named
                || match document.same_id() {
                    Some(query) => self.finds(prefix, &query, deadline).await?,
                    None => false,
                });
        Err(Error { kind: if same { ErrorKind::DuplicateId } else { error.kind }, ..error })
    }

    /// Returns whether a query matches a document.
    async fn finds(&self, prefix: &[u8], query: &[u8], deadline: Instant) -> Result<bool> {
        let body = [prefix, br#""filter":"#, query, br#","projection":{"_id":1}}"#].concat();
        let response = self
            .call(Action::FindOne, body.into(), ResendPolicy::Idempotent, &mut Attempts::default(), deadline)
            .await?;
        match response.document.get("document") {
            Ok(Some(RawBsonRef::Document(_))) => Ok(true),
            Ok(Some(RawBsonRef::Null)) => Ok(false),
            _ => Err(self.missing_field(Action::FindOne, &response, "document")),
        }
    }

    /// Inserts documents whose `_id`s were generated here one by one, a few concurrently. With
    /// `maybe_stored`, they may already be stored.
    async fn insert_each(
        &self,
        prefix: &[u8],
        documents: &[EjsonInsert],
        maybe_stored: bool,
        deadline: Instant,
    ) -> Vec<Result<()>> {
        let calls: Vec<_> =
            documents.iter().map(|document| self.insert_single(prefix, document, maybe_stored, deadline)).collect();
        stream::iter(calls).buffered(MAX_CONCURRENT_SINGLE_INSERTS).collect().await
    }

    /// Returns the first matching document. `body` is the complete request body.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn find_one(&self, body: Bytes) -> Result<Option<RawDocumentBuf>> {
        let response = self
            .call(Action::FindOne, body, ResendPolicy::Idempotent, &mut Attempts::default(), self.deadline())
            .await?;
        match response.document.get("document") {
            Ok(Some(RawBsonRef::Document(document))) => Ok(Some(document.to_owned())),
            Ok(Some(RawBsonRef::Null)) => Ok(None),
            _ => Err(self.missing_field(Action::FindOne, &response, "document")),
        }
    }

    /// Returns the matching documents, which the Data API sends in one response. `body` is the complete
    /// request body.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn find(&self, action: Action, body: Bytes, repeat: ResendPolicy) -> Result<Batch> {
        let response = self.call(action, body, repeat, &mut Attempts::default(), self.deadline()).await?;
        if response.document.get_array("documents").is_err() {
            return Err(self.missing_field(action, &response, "documents"));
        }
        Batch::of_data_api(response.document)
    }

    /// Updates or replaces documents. `body` is the complete request body. The call is not retried.
    ///
    /// # Errors
    /// `DuplicateKey`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn update(&self, action: Action, body: Bytes) -> Result<Updated> {
        let response =
            self.call(action, body, ResendPolicy::OnlyUnsent, &mut Attempts::default(), self.deadline()).await?;
        let (Some(matched), Some(modified)) = (count(&response, "matchedCount"), count(&response, "modifiedCount"))
        else {
            return Err(self.missing_field(action, &response, "matchedCount and modifiedCount"));
        };
        let upserted = response.document.get("upsertedId").ok().flatten().and_then(|id| Bson::try_from(id).ok());
        Ok(Updated { matched, modified, upserted: upserted.filter(|id| *id != Bson::Null) })
    }

    /// Deletes documents. `body` is the complete request body. The call is not retried.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn delete(&self, action: Action, body: Bytes) -> Result<u64> {
        let response =
            self.call(action, body, ResendPolicy::OnlyUnsent, &mut Attempts::default(), self.deadline()).await?;
        count(&response, "deletedCount").ok_or_else(|| self.missing_field(action, &response, "deletedCount"))
    }

    /// Checks that the server has an action, if MongoDB's service did not have it, and these arguments of it. The server
    /// is asked once.
    ///
    /// # Errors
    /// `NotSupported`; those of a call if the server cannot be asked.
    pub async fn require(&self, action: Action, arguments: &[String]) -> Result<()> {
        let is_extension = Action::EXTENSIONS.contains(&action);
        if !is_extension && arguments.is_empty() {
            return Ok(());
        }
        // One call asks, and the others wait for it: each has its own time.
        let asked = timeout_at(self.deadline(), self.capabilities.get_or_try_init(|| self.ask(action))).await;
        let Capabilities(actions) = asked.map_err(|_| self.timed_out(action))??;
        let known = actions.get(action.name());
        let missing = match known {
            None if is_extension => Some(action.name().to_owned()),
            _ => {
                let unknown = arguments.iter().find(|name| !known.is_some_and(|known| known.contains(*name)));
                unknown.map(|name| format!("{name} of {action}"))
            }
        };
        match missing {
            None => Ok(()),
            Some(missing) => Err(Error::new(
                ErrorKind::NotSupported,
                format!(
                    "the Data API at {} has no {missing}: leave it out, use a gateway that has it, or use \
                     AsyncMongoClient or MongoClient",
                    self.settings.host()
                ),
            )),
        }
    }

    /// Returns whether the server's description has an argument of an action; `None` if the server was not asked yet.
    pub(super) fn described(&self, action: Action, argument: &str) -> Option<bool> {
        let Capabilities(actions) = self.capabilities.get()?;
        Some(actions.get(action.name()).is_some_and(|arguments| arguments.contains(argument)))
    }

    /// Asks the server for its description. A server without one has the actions of MongoDB's service.
    async fn ask(&self, action: Action) -> Result<Capabilities> {
        let http = self.http.get_or_try_init(|| async { self.connect() }).await?;
        let url = format!("{}/openapi.json", self.settings.endpoint);
        let asking = async {
            let mut delay = RETRY_DELAY;
            for attempt in 1.. {
                let error = match self.describe(http.get(&url)).await {
                    Ok(description) => return Ok(description),
                    Err(error) => error,
                };
                if attempt >= MAX_ATTEMPTS || !self.settings.retry {
                    let what = format!("the server could not be asked what it has ({error})");
                    let failed = self.error(action, None, &what);
                    return Err(Error { kind: ErrorKind::AutoReconnect, ..failed });
                }
                sleep(delay).await;
                delay *= 4;
            }
            Err(self.timed_out(action))
        };
        self.giving_up.until(asking).await
    }

    /// Requests the description. An error of the server's says nothing about what it has.
    async fn describe(&self, request: RequestBuilder) -> std::result::Result<Capabilities, String> {
        let mut response = request.send().await.map_err(|error| causes(&error))?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(format!("HTTP {}", status.as_u16()));
        }
        let mut body = Vec::new();
        while status.is_success()
            && let Some(chunk) = response.chunk().await.map_err(|error| causes(&error))?
        {
            if body.len() + chunk.len() > MAX_DESCRIPTION_SIZE {
                return Ok(Capabilities::default());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Capabilities::parse(&body))
    }

    /// Counts documents. `body` is the complete request body.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn count(&self, action: Action, body: Bytes) -> Result<u64> {
        let response =
            self.call(action, body, ResendPolicy::Idempotent, &mut Attempts::default(), self.deadline()).await?;
        count(&response, "count").ok_or_else(|| self.missing_field(action, &response, "count"))
    }

    /// Returns the distinct values of a field. `body` is the complete request body.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn distinct(&self, body: Bytes) -> Result<Vec<Bson>> {
        let action = Action::Distinct;
        let response =
            self.call(action, body, ResendPolicy::Idempotent, &mut Attempts::default(), self.deadline()).await?;
        match response.document.get("values").ok().flatten().and_then(|values| Bson::try_from(values).ok()) {
            Some(Bson::Array(values)) => Ok(values),
            _ => Err(self.missing_field(action, &response, "values")),
        }
    }

    /// Changes a document and returns it. `body` is the complete request body. The call is not retried.
    ///
    /// # Errors
    /// `DuplicateKey`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn find_one_and(&self, action: Action, body: Bytes) -> Result<Option<RawDocumentBuf>> {
        let response =
            self.call(action, body, ResendPolicy::OnlyUnsent, &mut Attempts::default(), self.deadline()).await?;
        match response.document.get("document") {
            Ok(Some(RawBsonRef::Document(document))) => Ok(Some(document.to_owned())),
            Ok(Some(RawBsonRef::Null)) => Ok(None),
            _ => Err(self.missing_field(action, &response, "document")),
        }
    }

    /// Runs several writes. `body` is the complete request body. The call is not retried.
    ///
    /// # Errors
    /// `BulkWrite`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn bulk_write(&self, body: Bytes) -> Result<BulkResult> {
        let action = Action::BulkWrite;
        let response =
            self.call(action, body, ResendPolicy::OnlyUnsent, &mut Attempts::default(), self.deadline()).await?;
        let counted = |name: &str| {
            let counted = count(&response, name).and_then(|count| i64::try_from(count).ok());
            counted.ok_or_else(|| self.missing_field(action, &response, name))
        };
        let mut done = BulkResult::default();
        done.inserted = counted("insertedCount")?;
        done.matched = counted("matchedCount")?;
        done.modified = counted("modifiedCount")?;
        done.removed = counted("deletedCount")?;
        for upserted in response.document.get_document("upsertedIds").into_iter().flatten() {
            let entry = upserted.ok().and_then(|(index, id)| {
                Some(doc! { "index": index.as_str().parse::<i32>().ok()?, "_id": Bson::try_from(id).ok()? })
            });
            done.upserted.push(entry.ok_or_else(|| self.missing_field(action, &response, "upsertedIds"))?);
        }
        Ok(done)
    }

    /// Returns the deadline of a call that starts now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.timeout
    }

    /// Makes a call. Retries it until the deadline if that is safe.
    pub(super) async fn call(
        &self,
        action: Action,
        body: Bytes,
        repeat: ResendPolicy,
        attempts: &mut Attempts,
        deadline: Instant,
    ) -> Result<ApiResponse> {
        let mut delay = RETRY_DELAY;
        for attempt in 1.. {
            let trying = timeout_at(deadline, self.try_once(action, body.clone()));
            let (error, retry) = match self.giving_up.until(async { Ok(trying.await) }).await? {
                Ok(AttemptResult::Done(response)) => return Ok(response),
                Ok(AttemptResult::Failed { error, retry }) => (error, retry),
                Err(_) => return Err(self.timed_out(action)),
            };
            let pause_asked = match retry {
                Retry::Unsent => None,
                Retry::IfSafe { delay } if repeat == ResendPolicy::Idempotent => {
                    attempts.maybe_executed = true;
                    delay
                }
                Retry::Never | Retry::IfSafe { .. } => return Err(error),
            };
            let wait = pause_asked.unwrap_or(delay).min(MAX_RETRY_DELAY);
            if attempt >= MAX_ATTEMPTS || !self.settings.retry || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
            delay *= 4;
        }
        Err(self.timed_out(action))
    }

    async fn try_once(&self, action: Action, body: Bytes) -> AttemptResult {
        let http = match self.http.get_or_try_init(|| async { self.connect() }).await {
            Ok(http) => http,
            Err(error) => return AttemptResult::Failed { error, retry: Retry::Never },
        };
        let url = format!("{}/action/{action}", self.settings.endpoint);
        match http.post(url).body(body).send().await {
            Ok(response) => self.read(action, response).await,
            Err(error) if error.is_connect() => {
                AttemptResult::Failed { error: self.unreachable(action, &error), retry: Retry::Unsent }
            }
            Err(error) if error.is_builder() => {
                AttemptResult::Failed { error: self.error(action, None, &causes(&error)), retry: Retry::Never }
            }
            Err(error) => AttemptResult::Failed {
                error: self.error(
                    action,
                    None,
                    &format!("the connection was closed without a response ({})", causes(&error)),
                ),
                retry: Retry::IfSafe { delay: None },
            },
        }
    }

    async fn read(&self, action: Action, mut response: Response) -> AttemptResult {
        let status = response.status();
        let delay = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let location =
            response.headers().get(reqwest::header::LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_RESPONSE_SIZE => body.extend_from_slice(&chunk),
                Ok(Some(_)) => {
                    let error = self.error(
                        action,
                        Some(status.as_u16()),
                        "the response exceeds the maximum size of a document",
                    );
                    return AttemptResult::Failed { error, retry: Retry::Never };
                }
                Ok(None) => break,
                Err(error) => {
                    let what = format!(
                        "the response was truncated after {} bytes ({}): {:?}",
                        body.len(),
                        causes(&error),
                        self.beginning(&body)
                    );
                    return AttemptResult::Failed {
                        error: self.error(action, Some(status.as_u16()), &what),
                        retry: Retry::IfSafe { delay: None },
                    };
                }
            }
        }
        if status.is_success() {
            return match ejson::parse_document(&body) {
                Ok(document) => AttemptResult::Done(ApiResponse { status: status.as_u16(), body, document }),
                Err(_) => {
                    let what = if body.is_empty() {
                        "the response is empty: is DATA_API_ENDPOINT a Data API?".to_owned()
                    } else {
                        format!(
                            "the response is not JSON: {:?}; is DATA_API_ENDPOINT a Data API?",
                            self.beginning(&body)
                        )
                    };
                    AttemptResult::Failed {
                        error: self.error(action, Some(status.as_u16()), &what),
                        retry: Retry::Never,
                    }
                }
            };
        }
        let retry = match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Retry::IfSafe { delay },
            _ => Retry::Never,
        };
        AttemptResult::Failed { error: self.rejected(action, status, location, &body), retry }
    }

    fn rejected(&self, action: Action, status: StatusCode, location: Option<String>, body: &[u8]) -> Error {
        let number = status.as_u16();
        if status.is_redirection() {
            let to = location.map_or_else(String::new, |to| format!(" to {}", excerpt(&self.hide(&to), 200)));
            let what =
                format!("it redirects{to}, and redirects are not followed: set DATA_API_ENDPOINT to the new location");
            return self.error(action, Some(number), &what);
        }
        let Some(response) = ErrorBody::parse(body) else {
            let what = if body.is_empty() { "no body".to_owned() } else { format!("{:?}", self.beginning(body)) };
            return self.error(action, Some(number), &what);
        };
        let hint = match number {
            401 | 403 => "; check API_KEY and its permissions",
            429 => "; the server limits the rate of requests",
            _ => "",
        };
        // The code of a bulk write error does not show whether the key is a duplicate, but the text does.
        let duplicate = match response.code {
            None | Some(65) => response.error.contains("E11000"),
            Some(code) => code == 11000,
        };
        let kind = match action {
            Action::InsertMany if duplicate || response.code == Some(65) => ErrorKind::BulkWrite,
            Action::BulkWrite if response.code == Some(65) => ErrorKind::BulkWrite,
            _ if duplicate => ErrorKind::DuplicateKey,
            _ if response.error_code == INVALID_CURSOR => ErrorKind::CursorNotFound,
            _ => ErrorKind::DataApi { status: Some(number) },
        };
        let text = self.hide(&response.error);
        let mut error = self.error(action, Some(number), &format!("{}{hint}", excerpt(&text, 1_000)));
        error.kind = kind;
        let implied = match kind {
            // MongoDB's code.
            ErrorKind::CursorNotFound => Some(43),
            _ => duplicate.then_some(11000),
        };
        error.code = response.code.or(implied);
        // The details come from the server, but must not contain the API key.
        error.details =
            response.details.filter(|details| !redact::contains_key(details.as_bytes(), &self.settings.api_key));
        error.error_code = Some(self.hide(&response.error_code)).filter(|code| !code.is_empty());
        if kind == ErrorKind::BulkWrite {
            error.code = Some(65);
            error.details = error.details.filter(is_bulk).or_else(|| {
                // The server sent only a text.
                let code = if duplicate { 11000 } else { 65 };
                bulk_details(vec![doc! { "index": 0, "code": code, "errmsg": text }], 0)
            });
        }
        error
    }

    /// Returns the result of each document of an unordered batch that was sent once, if the error's
    /// details are complete and consistent.
    fn single_results(&self, error: &Error, documents: usize) -> Option<Vec<Result<()>>> {
        let details = Document::try_from(error.details.as_ref()?).ok()?;
        let rejected = write_errors(&details, documents)?;
        // A server that stops at the first error has not attempted the other documents.
        let inserted = usize::try_from(number(details.get("nInserted")?)?).ok()?;
        let positions: HashSet<i64> = rejected.iter().filter_map(|entry| entry.get("index").and_then(number)).collect();
        let adds_up =
            inserted + rejected.len() == documents && !rejected.is_empty() && positions.len() == rejected.len();
        if error.kind != ErrorKind::BulkWrite || !adds_up {
            return None;
        }
        let alone = |entry: &Document| {
            let code = entry.get("code").and_then(number).and_then(|code| i32::try_from(code).ok());
            let text = excerpt(entry.get_str("errmsg").unwrap_or("no reason given"), 1_000);
            let mut alone = self.error(Action::InsertOne, Some(400), &text).with_code(code);
            if code == Some(11000) {
                alone.kind = ErrorKind::DuplicateKey;
            }
            alone.details = RawDocumentBuf::try_from(entry).ok();
            alone
        };
        // A write concern error applies to all documents that were written.
        let concern = details.get_array("writeConcernErrors").ok().and_then(|errors| errors.first()?.as_document());
        let mut results = vec![concern.map_or(Ok(()), |concern| Err(alone(concern))); documents];
        for entry in &rejected {
            let position = entry.get("index").and_then(number).and_then(|position| usize::try_from(position).ok())?;
            *results.get_mut(position)? = Err(alone(entry));
        }
        Some(results)
    }

    fn connect(&self) -> Result<Client> {
        tls::install_provider();
        let wrong = |what: String| Error::new(ErrorKind::Configuration, what);
        let mut key = HeaderValue::from_str(self.settings.api_key.expose())
            .map_err(|_| wrong("API_KEY has characters that are not allowed in an HTTP header".into()))?;
        key.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(API_KEY_HEADER, key);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(EJSON));
        headers.insert(ACCEPT, HeaderValue::from_static(EJSON));
        Client::builder()
            .default_headers(headers)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.settings.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| {
                wrong(format!(
                    "the HTTP client could not be set up ({}): check SSL_CERT_FILE and the proxy variables",
                    causes(&error)
                ))
            })
    }

    fn unreachable(&self, action: Action, error: &reqwest::Error) -> Error {
        let kind = if error.is_timeout() { ErrorKind::NetworkTimeout } else { ErrorKind::AutoReconnect };
        Error::new(
            kind,
            self.hide(&format!(
                "{action} at {}: no connection could be established ({}); check DATA_API_ENDPOINT, the network, and that the \
                 Data API runs there",
                self.settings.host(),
                causes(error),
            )),
        )
    }

    pub(super) fn missing_field(&self, action: Action, response: &ApiResponse, field: &str) -> Error {
        self.error(
            action,
            Some(response.status),
            &format!("the response has no {field}: {:?}", self.beginning(&response.body)),
        )
    }

    fn timed_out(&self, action: Action) -> Error {
        Error::new(
            ErrorKind::NetworkTimeout,
            format!(
                "{action} at {}: no response within {} s",
                self.settings.host(),
                self.settings.timeout.as_secs_f32()
            ),
        )
    }

    fn error(&self, action: Action, status: Option<u16>, what: &str) -> Error {
        let returned = status.map_or_else(String::new, |status| format!(" returned HTTP {status}"));
        let message = format!("{action} at {}{returned}: {what}", self.settings.host());
        Error::new(ErrorKind::DataApi { status }, self.hide(&message))
    }

    fn hide(&self, text: &str) -> String {
        redact::hide_key(text, &self.settings.api_key)
    }

    /// Returns the beginning of a response body, for messages.
    fn beginning(&self, body: &[u8]) -> String {
        // Redact much more than the excerpt, so that a truncated key cannot be part of it.
        let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
        excerpt(&self.hide(&text), 200)
    }
}

impl AsRef<InsertQueue<Self>> for DataApiClient {
    fn as_ref(&self) -> &InsertQueue<Self> {
        &self.insert_queue
    }
}

/// Sends merged inserts. Their documents have generated `_id`s, so that the documents of a failed
/// batch can be resent one by one.
impl SendBatch for DataApiClient {
    type Document = EjsonInsert;
    const LIMITS: Limits = Limits::of_commands(2 * 1024 * 1024);

    fn size(document: &EjsonInsert) -> usize {
        document.ejson.len()
    }

    async fn send(&self, namespace: &Namespace, documents: Vec<EjsonInsert>) -> SendOutcome {
        let (prefix, deadline) = (self.request_prefix(namespace), self.deadline());
        if let [document] = documents.as_slice() {
            return SendOutcome::Same(self.insert_single(&prefix, document, false, deadline).await);
        }
        if self.no_insert_many.load(Ordering::Relaxed) {
            return SendOutcome::Each(self.insert_each(&prefix, &documents, false, deadline).await);
        }
        let mut attempts = Attempts::default();
        let body = many_request(&prefix, &documents, false);
        let error = match self.call(Action::InsertMany, body, ResendPolicy::Idempotent, &mut attempts, deadline).await {
            Ok(response) if inserted_ids(&response) == Some(documents.len()) => return SendOutcome::Same(Ok(())),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        // The batch was sent once, and the server returned the result of each document.
        if let Some(error) = error.as_ref().filter(|_| !attempts.maybe_executed)
            && let Some(mut results) = self.single_results(error, documents.len())
        {
            for (result, document) in results.iter_mut().zip(&documents) {
                if let Err(error) = result
                    && error.kind == ErrorKind::DuplicateKey
                {
                    *result = self.duplicate(&prefix, document, error.clone(), false, deadline).await;
                }
            }
            return SendOutcome::Each(results);
        }
        let no_insert_many = match error.as_ref().map(|error| error.kind) {
            // The server may not support `insertMany`, or the key may not be allowed to use it.
            Some(ErrorKind::DataApi { status: Some(403 | 404 | 405 | 501) }) => true,
            None | Some(ErrorKind::BulkWrite | ErrorKind::DataApi { status: Some(400 | 413 | 500) }) => false,
            // The server is unreachable or denies access, for all documents alike.
            Some(_) => return SendOutcome::Same(error.map_or(Ok(()), Err)),
        };
        let results = self.insert_each(&prefix, &documents, true, deadline).await;
        if no_insert_many && results.iter().any(Result::is_ok) {
            self.no_insert_many.store(true, Ordering::Relaxed);
        }
        SendOutcome::Each(results)
    }
}

impl Flush for DataApiClient {
    fn flush(self: Arc<Self>, runtime: &Handle) {
        InsertQueue::flush(&self, runtime);
    }
}

/// Returns a count in a response.
fn count(response: &ApiResponse, name: &str) -> Option<u64> {
    match response.document.get(name).ok()?? {
        RawBsonRef::Int32(count) => u64::try_from(count).ok(),
        RawBsonRef::Int64(count) => u64::try_from(count).ok(),
        _ => None,
    }
}

/// Returns the generated `_id` of a document as 24 hexadecimal digits.
fn generated_id(document: &[u8]) -> Option<&str> {
    let id = document.strip_prefix(GENERATED_ID_PREFIX)?.get(..24)?;
    std::str::from_utf8(id).ok()
}

/// Returns the number of `insertedIds` in a response.
fn inserted_ids(response: &ApiResponse) -> Option<usize> {
    match response.document.get("insertedIds") {
        Ok(Some(RawBsonRef::Array(ids))) => Some(ids.into_iter().count()),
        _ => None,
    }
}

/// Builds the body of an `insertOne` request.
fn one_request(prefix: &[u8], document: &[u8]) -> Bytes {
    [prefix, br#""document":"#, document, b"}"].concat().into()
}

fn many_request(prefix: &[u8], documents: &[EjsonInsert], ordered: bool) -> Bytes {
    let mut body = Vec::with_capacity(
        prefix.len() + 64 + documents.iter().map(|document| document.ejson.len() + 1).sum::<usize>(),
    );
    body.extend_from_slice(prefix);
    if !ordered {
        // MongoDB's service supported only ordered batches, so send the field only if it is needed.
        body.extend_from_slice(br#""ordered":false,"#);
    }
    body.extend_from_slice(br#""documents":["#);
    for (position, document) in documents.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&document.ejson);
    }
    body.extend_from_slice(b"]}");
    body.into()
}

impl fmt::Debug for DataApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataApiClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Drop for DataApiClient {
    fn drop(&mut self) {
        // Tasks of the runtime close the pooled connections.
        let _context = self.runtime.enter();
        self.http = OnceCell::new();
    }
}

/// Returns whether the server rejected the document, not the call.
fn is_document_error(error: &Error) -> bool {
    match error.kind {
        ErrorKind::DuplicateKey | ErrorKind::DuplicateId => true,
        ErrorKind::DataApi { status } => matches!(status, Some(400 | 413)) && error.code.is_some(),
        _ => false,
    }
}

/// Builds the entry of `writeErrors` for a rejected document.
fn write_error(position: usize, error: &Error) -> Document {
    let mut entry = error.details.as_ref().and_then(|details| Document::try_from(details).ok()).unwrap_or_default();
    entry.insert("index", i32::try_from(position).unwrap_or(i32::MAX));
    entry.insert("code", error.code.unwrap_or(0));
    if !matches!(entry.get("errmsg"), Some(Bson::String(_))) {
        entry.insert("errmsg", error.message.clone());
    }
    entry
}

/// Returns the `writeErrors` in a server's `details`, if each is a document with a code and the index
/// of one of `documents`.
fn write_errors(details: &Document, documents: usize) -> Option<Vec<Document>> {
    let mut entries = Vec::new();
    for entry in details.get_array("writeErrors").ok()? {
        let mut entry = entry.as_document()?.clone();
        let position = number(entry.get("index")?).and_then(|position| usize::try_from(position).ok())?;
        let code = number(entry.get("code")?).and_then(|code| i32::try_from(code).ok())?;
        if position >= documents {
            return None;
        }
        entry.insert("index", i32::try_from(position).ok()?);
        entry.insert("code", code);
        entries.push(entry);
    }
    Some(entries)
}

/// Returns whether `details` have the required fields of `BulkWriteError.details`.
fn is_bulk(details: &RawDocumentBuf) -> bool {
    Document::try_from(details).is_ok_and(|details| {
        write_errors(&details, usize::MAX).is_some()
            && details
                .get_array("writeConcernErrors")
                .is_ok_and(|errors| errors.iter().all(|e| e.as_document().is_some()))
            && details.get("nInserted").and_then(number).is_some()
    })
}

/// Returns an integer from plain JSON or EJSON.
fn number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        _ => None,
    }
}

/// Builds `BulkWriteError.details`.
fn bulk_details(write_errors: Vec<Document>, inserted: usize) -> Option<RawDocumentBuf> {
    let details = doc! {
        "writeErrors": write_errors,
        "writeConcernErrors": [],
        "nInserted": i32::try_from(inserted).unwrap_or(i32::MAX),
        "nUpserted": 0,
        "nMatched": 0,
        "nModified": 0,
        "nRemoved": 0,
        "upserted": [],
    };
    RawDocumentBuf::try_from(&details).ok()
}
