//! The Data API's client: one pool of connections for one setting.
//!
//! A call is repeated only where that is safe: reads, and inserts of documents
//! whose `_id`s this client made, since a second insert of the same `_id`
//! stores nothing. A connection that could not be made has sent nothing and is
//! always tried again.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{Bson, Document, RawBsonRef, RawDocumentBuf, doc};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use super::protocol::{API_KEY_HEADER, Action, EJSON, ErrorBody, request_prefix};
use crate::coalesce::{Coalescer, Flush, Limits, Outcome, SendBatch};
use crate::codec::ejson;
use crate::config::DataApiSettings;
use crate::cursor::Batch;
use crate::driver::Namespace;
use crate::driver::write::Updated;
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::giving_up::GivingUp;

/// How often a call is tried at most.
const TRIES: u32 = 3;
/// The pause before the second try; the third waits four times as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that a server may make a call wait before its next try.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many documents of a batch that failed are on their way at once.
const EACH_AT_ONCE: usize = 16;
/// A pooled connection is used again within this time: below what servers
/// commonly leave one idle for, so that a call seldom meets one being closed.
const POOL_IDLE: Duration = Duration::from_secs(20);
/// How the EJSON of a document whose `_id` was made here begins, and how long that is with the `_id`.
const MADE_ID_BEGINS: &[u8] = br#"{"_id":{"$oid":""#;
const MADE_ID: usize = MADE_ID_BEGINS.len() + 24 + 2;
/// The largest answer that is read: one document of 16 MiB as EJSON, with room.
const MAX_ANSWER: usize = 128 * 1024 * 1024;

/// Whether a call may be sent again after it may have reached the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Sending it twice is the same as sending it once.
    Safe,
    /// It may be sent again only if it never left.
    OnlyUnsent,
}

/// The Data API's client. Making one does no I/O.
pub struct DataApiClient {
    settings: DataApiSettings,
    runtime: Handle,
    http: OnceCell<Client>,
    coalescer: Coalescer<Self>,
    /// Whether the server takes `insertOne` but no `insertMany`.
    no_insert_many: AtomicBool,
    giving_up: GivingUp,
}

/// What is known of the tries of a call.
#[derive(Default)]
struct Sent {
    /// Whether a try before the last may have been carried out.
    maybe_before: bool,
}

/// A document on its way.
pub struct Outgoing {
    /// Its EJSON.
    ejson: Vec<u8>,
    identity: Identity,
}

/// What tells whether a document that is refused as a duplicate is stored.
enum Identity {
    /// Its `_id` was made here, for it alone: whoever has it is this document.
    Made,
    /// Its `_id` is the same for the same content.
    Content {
        /// The `_id`.
        id: String,
        /// The EJSON of a query that only this attempt to store it matches.
        ours: Vec<u8>,
    },
    /// Its `_id` is the caller's own, or a repeat is not wanted.
    Unknown,
}

impl Outgoing {
    /// A document whose `_id` was made here, and stands first.
    pub fn made(ejson: Vec<u8>) -> Self {
        Self { ejson, identity: Identity::Made }
    }

    /// A document whose `_id`, a text, is the same for the same content. `ours`
    /// is the EJSON of a query that only this attempt to store it matches.
    pub fn of_content(ejson: Vec<u8>, id: String, ours: Vec<u8>) -> Self {
        Self { ejson, identity: Identity::Content { id, ours } }
    }

    /// A document that may be sent once only.
    pub fn once(ejson: Vec<u8>) -> Self {
        Self { ejson, identity: Identity::Unknown }
    }

    /// Whether it may be sent again.
    fn repeat(&self) -> Repeat {
        match self.identity {
            Identity::Made | Identity::Content { .. } => Repeat::Safe,
            Identity::Unknown => Repeat::OnlyUnsent,
        }
    }

    /// The `_id`, as a message that is about it shows it.
    fn id(&self) -> Option<&str> {
        match &self.identity {
            Identity::Made => made_id(&self.ejson),
            Identity::Content { id, .. } => Some(id),
            Identity::Unknown => None,
        }
    }

    /// The query that only this attempt to store it matches.
    fn ours(&self) -> Option<Vec<u8>> {
        match &self.identity {
            Identity::Made => {
                let id = self.ejson.get(..MADE_ID).filter(|id| id.starts_with(MADE_ID_BEGINS))?;
                Some([id, b"}"].concat())
            }
            Identity::Content { ours, .. } => Some(ours.clone()),
            Identity::Unknown => None,
        }
    }

    /// The query that whatever has its `_id` matches.
    fn anyones(&self) -> Option<Vec<u8>> {
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

/// A successful answer.
struct Answer {
    status: u16,
    body: Vec<u8>,
    document: RawDocumentBuf,
}

/// What one try gave.
enum Try {
    Done(Answer),
    /// It failed; `again` says after what pause it could be tried once more.
    Failed {
        error: Error,
        again: Again,
    },
}

enum Again {
    Never,
    /// Nothing was sent.
    Unsent,
    /// It may have been carried out.
    IfSafe {
        pause: Option<Duration>,
    },
}

impl DataApiClient {
    /// A client for `settings`, whose work runs on `runtime`.
    pub fn new(settings: DataApiSettings, runtime: Handle) -> Self {
        Self {
            settings,
            runtime,
            http: OnceCell::new(),
            coalescer: Coalescer::default(),
            no_insert_many: AtomicBool::new(false),
            giving_up: GivingUp::default(),
        }
    }

    /// For an interpreter that ends: gives up if calls are under way, and the server answers nothing.
    pub async fn give_up_if_silent(&self) {
        let is_there = || {
            let http = self.http.get().map(|http| http.get(&self.settings.endpoint));
            // Whatever it says to that, it is there.
            async move {
                match http {
                    Some(request) => request.send().await.is_ok(),
                    None => false,
                }
            }
            .boxed()
        };
        self.giving_up.at_exit(is_there).await;
    }

    /// What it was made from.
    pub fn settings(&self) -> &DataApiSettings {
        &self.settings
    }

    /// The beginning of every request's body for `namespace`.
    pub fn request_prefix(&self, namespace: &Namespace) -> Vec<u8> {
        request_prefix(&self.settings.data_source, namespace)
    }

    /// Stores a document.
    ///
    /// # Errors
    /// `DuplicateKey`, `DuplicateId`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn insert_one(&self, namespace: &Namespace, document: &Outgoing) -> Result<()> {
        let prefix = self.request_prefix(namespace);
        self.insert_single(&prefix, document, false, self.deadline()).await
    }

    /// Stores documents.
    ///
    /// # Errors
    /// `BulkWrite`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn insert_many(&self, namespace: &Namespace, documents: &[Outgoing], ordered: bool) -> Result<()> {
        // Safe to repeat if each of them is.
        let safe = documents.iter().all(|document| document.repeat() == Repeat::Safe);
        let repeat = if safe { Repeat::Safe } else { Repeat::OnlyUnsent };
        let (prefix, deadline) = (self.request_prefix(namespace), self.deadline());
        let mut sent = Sent::default();
        let body = many_request(&prefix, documents, ordered);
        let error = match self.call(Action::InsertMany, body, repeat, &mut sent, deadline).await {
            Ok(answer) if inserted_ids(&answer) == Some(documents.len()) => return Ok(()),
            Ok(answer) => self.lacking(Action::InsertMany, &answer, "insertedIds, one for each document"),
            // A try before may have stored some of them: ask for each.
            Err(error) if error.kind == ErrorKind::BulkWrite && !sent.maybe_before => return Err(error),
            Err(error) => error,
        };
        let doubtful =
            error.kind == ErrorKind::BulkWrite || matches!(error.kind, ErrorKind::DataApi { status: Some(200..=299) });
        if repeat == Repeat::Safe && doubtful {
            return self.insert_in_order(&prefix, documents, ordered, deadline).await;
        }
        Err(error)
    }

    /// Stores documents that may be stored in part already, in their order, as `insert_many` does.
    async fn insert_in_order(
        &self,
        prefix: &[u8],
        documents: &[Outgoing],
        ordered: bool,
        deadline: Instant,
    ) -> Result<()> {
        let mut refused = Vec::new();
        let mut inserted = 0;
        for (place, document) in documents.iter().enumerate() {
            match self.insert_single(prefix, document, true, deadline).await {
                Ok(()) => inserted += 1,
                Err(error) if is_of_the_document(&error) => {
                    refused.push(write_error(place, &error));
                    if ordered {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let Some(first) = refused.first() else { return Ok(()) };
        let first = first.get_str("errmsg").unwrap_or_default();
        let what = format!("batch op errors occurred: {}", excerpt(first, 500));
        let mut error = self.error(Action::InsertMany, None, &what).with_code(Some(65));
        error.kind = ErrorKind::BulkWrite;
        error.details = bulk_details(refused, inserted);
        Err(error)
    }

    /// Stores one document. `maybe_stored` says whether it may be stored already.
    async fn insert_single(
        &self,
        prefix: &[u8],
        document: &Outgoing,
        maybe_stored: bool,
        deadline: Instant,
    ) -> Result<()> {
        let mut sent = Sent { maybe_before: maybe_stored };
        let body = one_request(prefix, &document.ejson);
        match self.call(Action::InsertOne, body, document.repeat(), &mut sent, deadline).await {
            Ok(answer) if matches!(answer.document.get("insertedId"), Ok(Some(_))) => Ok(()),
            Ok(answer) => Err(self.lacking(Action::InsertOne, &answer, "insertedId")),
            Err(error) if error.kind == ErrorKind::DuplicateKey => {
                self.duplicate(prefix, document, error, sent.maybe_before, deadline).await
            }
            Err(error) => Err(error),
        }
    }

    /// A document was refused as a duplicate: of what a try before stored, of
    /// the same content, or of something else?
    async fn duplicate(
        &self,
        prefix: &[u8],
        document: &Outgoing,
        error: Error,
        maybe_ours: bool,
        deadline: Instant,
    ) -> Result<()> {
        let named = document.id().is_some_and(|id| error.message.contains(id));
        let of_content = matches!(document.identity, Identity::Content { .. });
        // Nobody else has an `_id` that was made here: a server that names it says that the document is there.
        if named && matches!(document.identity, Identity::Made) && maybe_ours {
            return Ok(());
        }
        if let Some(ours) = document.ours().filter(|_| maybe_ours) {
            match self.finds(prefix, &ours, deadline).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Of the same content it is there, whoever stored it.
                Err(_) if named && of_content => {}
                Err(unknown) => {
                    let what = format!(
                        "the answer was lost, and whether the document is stored could not be looked up ({}); a repeat \
                         was refused: {}",
                        unknown.message, error.message
                    );
                    return Err(Error { kind: ErrorKind::AutoReconnect, message: what, ..error });
                }
            }
        }
        let same = of_content
            && (named
                || match document.anyones() {
                    Some(query) => self.finds(prefix, &query, deadline).await?,
                    None => false,
                });
        Err(Error { kind: if same { ErrorKind::DuplicateId } else { error.kind }, ..error })
    }

    /// Whether a query finds something.
    async fn finds(&self, prefix: &[u8], query: &[u8], deadline: Instant) -> Result<bool> {
        let body = [prefix, br#""filter":"#, query, br#","projection":{"_id":1}}"#].concat();
        let answer = self.call(Action::FindOne, body.into(), Repeat::Safe, &mut Sent::default(), deadline).await?;
        match answer.document.get("document") {
            Ok(Some(RawBsonRef::Document(_))) => Ok(true),
            Ok(Some(RawBsonRef::Null)) => Ok(false),
            _ => Err(self.lacking(Action::FindOne, &answer, "document")),
        }
    }

    /// Stores documents whose `_id`s were made here and that may be stored
    /// already, a few at a time.
    async fn insert_each(
        &self,
        prefix: &[u8],
        documents: &[Outgoing],
        maybe_stored: bool,
        deadline: Instant,
    ) -> Vec<Result<()>> {
        let calls: Vec<_> =
            documents.iter().map(|document| self.insert_single(prefix, document, maybe_stored, deadline)).collect();
        stream::iter(calls).buffered(EACH_AT_ONCE).collect().await
    }

    /// The first document that matches; `body` is the whole request.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn find_one(&self, body: Bytes) -> Result<Option<RawDocumentBuf>> {
        let answer = self.call(Action::FindOne, body, Repeat::Safe, &mut Sent::default(), self.deadline()).await?;
        match answer.document.get("document") {
            Ok(Some(RawBsonRef::Document(document))) => Ok(Some(document.to_owned())),
            Ok(Some(RawBsonRef::Null)) => Ok(None),
            _ => Err(self.lacking(Action::FindOne, &answer, "document")),
        }
    }

    /// The documents that match; `body` is the whole request. The Data API
    /// gives all of them in one answer.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn find(&self, action: Action, body: Bytes, repeat: Repeat) -> Result<Batch> {
        let answer = self.call(action, body, repeat, &mut Sent::default(), self.deadline()).await?;
        if answer.document.get_array("documents").is_err() {
            return Err(self.lacking(action, &answer, "documents"));
        }
        Batch::of_data_api(answer.document)
    }

    /// Updates or replaces documents; `body` is the whole request. It is not repeated.
    ///
    /// # Errors
    /// `DuplicateKey`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn update(&self, action: Action, body: Bytes) -> Result<Updated> {
        let answer = self.call(action, body, Repeat::OnlyUnsent, &mut Sent::default(), self.deadline()).await?;
        let (Some(matched), Some(modified)) = (count(&answer, "matchedCount"), count(&answer, "modifiedCount")) else {
            return Err(self.lacking(action, &answer, "matchedCount and modifiedCount"));
        };
        let upserted = answer.document.get("upsertedId").ok().flatten().and_then(|id| Bson::try_from(id).ok());
        Ok(Updated { matched, modified, upserted: upserted.filter(|id| *id != Bson::Null) })
    }

    /// Deletes documents; `body` is the whole request. It is not repeated.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn delete(&self, action: Action, body: Bytes) -> Result<u64> {
        let answer = self.call(action, body, Repeat::OnlyUnsent, &mut Sent::default(), self.deadline()).await?;
        count(&answer, "deletedCount").ok_or_else(|| self.lacking(action, &answer, "deletedCount"))
    }

    /// When a call that begins now must have ended.
    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.timeout
    }

    /// Makes a call, again where that is safe, until the deadline.
    async fn call(
        &self,
        action: Action,
        body: Bytes,
        repeat: Repeat,
        sent: &mut Sent,
        deadline: Instant,
    ) -> Result<Answer> {
        let mut pause = PAUSE;
        for tried in 1.. {
            let trying = timeout_at(deadline, self.try_once(action, body.clone()));
            let (error, again) = match self.giving_up.until(async { Ok(trying.await) }).await? {
                Ok(Try::Done(answer)) => return Ok(answer),
                Ok(Try::Failed { error, again }) => (error, again),
                Err(_) => return Err(self.late(action)),
            };
            let pause_asked = match again {
                Again::Unsent => None,
                Again::IfSafe { pause } if repeat == Repeat::Safe => {
                    sent.maybe_before = true;
                    pause
                }
                Again::Never | Again::IfSafe { .. } => return Err(error),
            };
            let wait = pause_asked.unwrap_or(pause).min(LONGEST_PAUSE);
            if tried >= TRIES || !self.settings.retry || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
            pause *= 4;
        }
        Err(self.late(action))
    }

    async fn try_once(&self, action: Action, body: Bytes) -> Try {
        let http = match self.http.get_or_try_init(|| async { self.connect() }).await {
            Ok(http) => http,
            Err(error) => return Try::Failed { error, again: Again::Never },
        };
        let url = format!("{}/action/{action}", self.settings.endpoint);
        match http.post(url).body(body).send().await {
            Ok(response) => self.read(action, response).await,
            Err(error) if error.is_connect() => {
                Try::Failed { error: self.unreachable(action, &error), again: Again::Unsent }
            }
            Err(error) if error.is_builder() => {
                Try::Failed { error: self.error(action, None, &causes(&error)), again: Again::Never }
            }
            Err(error) => Try::Failed {
                error: self.error(
                    action,
                    None,
                    &format!("the connection ended without an answer ({})", causes(&error)),
                ),
                again: Again::IfSafe { pause: None },
            },
        }
    }

    async fn read(&self, action: Action, mut response: Response) -> Try {
        let status = response.status();
        let pause = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let location =
            response.headers().get(reqwest::header::LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => body.extend_from_slice(&chunk),
                Ok(Some(_)) => {
                    let error =
                        self.error(action, Some(status.as_u16()), "the answer is larger than any document can be");
                    return Try::Failed { error, again: Again::Never };
                }
                Ok(None) => break,
                Err(error) => {
                    let what = format!(
                        "the answer broke off after {} bytes ({}): {:?}",
                        body.len(),
                        causes(&error),
                        self.beginning(&body)
                    );
                    return Try::Failed {
                        error: self.error(action, Some(status.as_u16()), &what),
                        again: Again::IfSafe { pause: None },
                    };
                }
            }
        }
        if status.is_success() {
            return match ejson::parse_document(&body) {
                Ok(document) => Try::Done(Answer { status: status.as_u16(), body, document }),
                Err(_) => {
                    let what = if body.is_empty() {
                        "the answer is empty: is DATA_API_ENDPOINT a Data API?".to_owned()
                    } else {
                        format!("the answer is not JSON: {:?}; is DATA_API_ENDPOINT a Data API?", self.beginning(&body))
                    };
                    Try::Failed { error: self.error(action, Some(status.as_u16()), &what), again: Again::Never }
                }
            };
        }
        let again = match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Again::IfSafe { pause },
            _ => Again::Never,
        };
        Try::Failed { error: self.refused(action, status, location, &body), again }
    }

    fn refused(&self, action: Action, status: StatusCode, location: Option<String>, body: &[u8]) -> Error {
        let number = status.as_u16();
        if status.is_redirection() {
            let to = location.map_or_else(String::new, |to| format!(" to {}", excerpt(&self.hide(&to), 200)));
            let what = format!("it redirects{to}, which is not followed: set DATA_API_ENDPOINT to where it leads");
            return self.error(action, Some(number), &what);
        }
        let Some(answer) = ErrorBody::parse(body) else {
            let what = if body.is_empty() { "no body".to_owned() } else { format!("{:?}", self.beginning(body)) };
            return self.error(action, Some(number), &what);
        };
        let hint = match number {
            401 | 403 => "; check API_KEY, and what it may do",
            429 => "; the server asks for fewer calls",
            _ => "",
        };
        // A code other than that of a batch says what it is; else the text does.
        let duplicate = match answer.code {
            None | Some(65) => answer.error.contains("E11000"),
            Some(code) => code == 11000,
        };
        let kind = match action {
            Action::InsertMany if duplicate || answer.code == Some(65) => ErrorKind::BulkWrite,
            _ if duplicate => ErrorKind::DuplicateKey,
            _ => ErrorKind::DataApi { status: Some(number) },
        };
        let text = self.hide(&answer.error);
        let mut error = self.error(action, Some(number), &format!("{}{hint}", excerpt(&text, 1_000)));
        error.kind = kind;
        error.code = answer.code.or(duplicate.then_some(11000));
        // What a server puts into its answer is its own affair; our key is not.
        error.details = answer.details.filter(|details| !self.has_key(details.as_bytes()));
        error.error_code = Some(self.hide(&answer.error_code)).filter(|code| !code.is_empty());
        if kind == ErrorKind::BulkWrite {
            error.code = Some(65);
            error.details = error.details.filter(is_bulk).or_else(|| {
                // A server that says no more than a text.
                bulk_details(vec![doc! { "index": 0, "code": 11000, "errmsg": text }], 0)
            });
        }
        error
    }

    /// What became of each of so many documents of an unordered batch that
    /// was sent once, if the error says it in a way that adds up.
    fn of_each(&self, error: &Error, documents: usize) -> Option<Vec<Result<()>>> {
        let details = Document::try_from(error.details.as_ref()?).ok()?;
        let refused = write_errors(&details, documents)?;
        // A server that stops at the first refused document has not tried the others.
        let inserted = usize::try_from(number(details.get("nInserted")?)?).ok()?;
        let places: HashSet<i64> = refused.iter().filter_map(|entry| entry.get("index").and_then(number)).collect();
        let adds_up = inserted + refused.len() == documents && !refused.is_empty() && places.len() == refused.len();
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
        // A write concern that is not met is so for all that was written.
        let concern = details.get_array("writeConcernErrors").ok().and_then(|errors| errors.first()?.as_document());
        let mut results = vec![concern.map_or(Ok(()), |concern| Err(alone(concern))); documents];
        for entry in &refused {
            let place = entry.get("index").and_then(number).and_then(|place| usize::try_from(place).ok())?;
            *results.get_mut(place)? = Err(alone(entry));
        }
        Some(results)
    }

    fn connect(&self) -> Result<Client> {
        // A second installation changes nothing; the first may have been another user's of rustls.
        drop(rustls::crypto::ring::default_provider().install_default());
        let wrong = |what: String| Error::new(ErrorKind::Configuration, what);
        let mut key = HeaderValue::from_str(self.settings.api_key.expose())
            .map_err(|_| wrong("API_KEY has characters that no HTTP header can carry".into()))?;
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
                "{action} at {}: no connection could be made ({}); check DATA_API_ENDPOINT, the network, and that the \
                 Data API runs there",
                self.settings.host(),
                causes(error),
            )),
        )
    }

    fn lacking(&self, action: Action, answer: &Answer, field: &str) -> Error {
        self.error(
            action,
            Some(answer.status),
            &format!("the answer has no {field}: {:?}", self.beginning(&answer.body)),
        )
    }

    fn late(&self, action: Action) -> Error {
        Error::new(
            ErrorKind::NetworkTimeout,
            format!("{action} at {}: no answer within {} s", self.settings.host(), self.settings.timeout.as_secs_f32()),
        )
    }

    fn error(&self, action: Action, status: Option<u16>, what: &str) -> Error {
        let answered = status.map_or_else(String::new, |status| format!(" answered HTTP {status}"));
        let message = format!("{action} at {}{answered}: {what}", self.settings.host());
        Error::new(ErrorKind::DataApi { status }, self.hide(&message))
    }

    /// The text without the key, as it is, and as JSON, a URL or HTML writes it.
    fn hide(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        for written in self.written_keys() {
            hidden = hidden.replace(&written, "***");
        }
        // JSON may write any character as its number.
        let plain = without_json_escapes(&hidden);
        if plain.contains(self.settings.api_key.expose()) {
            return plain.replace(self.settings.api_key.expose(), "***");
        }
        hidden
    }

    fn written_keys(&self) -> Vec<String> {
        let key = self.settings.api_key.expose();
        let in_json = self.key_in_json();
        let html = key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let url = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
        vec![in_json.replace('/', "\\/"), in_json, html, url, key.to_owned()]
    }

    fn has_key(&self, bytes: &[u8]) -> bool {
        let has = |text: &String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.written_keys().iter().any(has)
    }

    fn key_in_json(&self) -> String {
        let mut quoted = Vec::new();
        ejson::write_text(&mut quoted, self.settings.api_key.expose());
        let quoted = String::from_utf8_lossy(&quoted).into_owned();
        quoted.trim_matches('"').to_owned()
    }

    /// What an answer's body begins with, for messages.
    fn beginning(&self, body: &[u8]) -> String {
        // Long enough that what hiding takes away leaves no room for a key cut in two.
        let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
        excerpt(&self.hide(&text), 200)
    }
}

impl AsRef<Coalescer<Self>> for DataApiClient {
    fn as_ref(&self) -> &Coalescer<Self> {
        &self.coalescer
    }
}

/// Inserts that may be merged: of documents whose `_id`s were made here, so
/// that a batch with anything wrong can be sent again one by one.
impl SendBatch for DataApiClient {
    type Document = Outgoing;
    const LIMITS: Limits = Limits { documents: 1_000, bytes: 2 * 1024 * 1024, in_flight: 4, worthwhile: 32 };

    fn size(document: &Outgoing) -> usize {
        document.ejson.len()
    }

    async fn send(&self, namespace: &Namespace, documents: Vec<Outgoing>) -> Outcome {
        let (prefix, deadline) = (self.request_prefix(namespace), self.deadline());
        if let [document] = documents.as_slice() {
            return Outcome::Same(self.insert_single(&prefix, document, false, deadline).await);
        }
        if self.no_insert_many.load(Ordering::Relaxed) {
            return Outcome::Each(self.insert_each(&prefix, &documents, false, deadline).await);
        }
        let mut sent = Sent::default();
        let body = many_request(&prefix, &documents, false);
        let error = match self.call(Action::InsertMany, body, Repeat::Safe, &mut sent, deadline).await {
            Ok(answer) if inserted_ids(&answer) == Some(documents.len()) => return Outcome::Same(Ok(())),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        // The batch was sent once, and the server says what became of each document.
        if let Some(error) = error.as_ref().filter(|_| !sent.maybe_before)
            && let Some(mut results) = self.of_each(error, documents.len())
        {
            for (result, document) in results.iter_mut().zip(&documents) {
                if let Err(error) = result
                    && error.kind == ErrorKind::DuplicateKey
                {
                    *result = self.duplicate(&prefix, document, error.clone(), false, deadline).await;
                }
            }
            return Outcome::Each(results);
        }
        let no_insert_many = match error.as_ref().map(|error| error.kind) {
            // The server may have no insertMany, or not for us.
            Some(ErrorKind::DataApi { status: Some(403 | 404 | 405 | 501) }) => true,
            None | Some(ErrorKind::BulkWrite | ErrorKind::DataApi { status: Some(400 | 413 | 500) }) => false,
            // Nobody there, or nobody who lets us in: the same for each.
            Some(_) => return Outcome::Same(error.map_or(Ok(()), Err)),
        };
        let results = self.insert_each(&prefix, &documents, true, deadline).await;
        if no_insert_many && results.iter().any(Result::is_ok) {
            self.no_insert_many.store(true, Ordering::Relaxed);
        }
        Outcome::Each(results)
    }
}

impl Flush for DataApiClient {
    fn flush(self: Arc<Self>, runtime: &Handle) {
        Coalescer::flush(&self, runtime);
    }
}

/// A count of an answer.
fn count(answer: &Answer, name: &str) -> Option<u64> {
    match answer.document.get(name).ok()?? {
        RawBsonRef::Int32(count) => u64::try_from(count).ok(),
        RawBsonRef::Int64(count) => u64::try_from(count).ok(),
        _ => None,
    }
}

/// The `_id` that was made for a document, as 24 hexadecimal digits.
fn made_id(document: &[u8]) -> Option<&str> {
    let id = document.strip_prefix(MADE_ID_BEGINS)?.get(..24)?;
    std::str::from_utf8(id).ok()
}

/// How many `insertedIds` an answer has, if it has any.
fn inserted_ids(answer: &Answer) -> Option<usize> {
    match answer.document.get("insertedIds") {
        Ok(Some(RawBsonRef::Array(ids))) => Some(ids.into_iter().count()),
        _ => None,
    }
}

/// The request that stores one document, of its EJSON.
fn one_request(prefix: &[u8], document: &[u8]) -> Bytes {
    [prefix, br#""document":"#, document, b"}"].concat().into()
}

fn many_request(prefix: &[u8], documents: &[Outgoing], ordered: bool) -> Bytes {
    let mut body = Vec::with_capacity(
        prefix.len() + 64 + documents.iter().map(|document| document.ejson.len() + 1).sum::<usize>(),
    );
    body.extend_from_slice(prefix);
    if !ordered {
        // The service knew ordered batches only: say it where it matters.
        body.extend_from_slice(br#""ordered":false,"#);
    }
    body.extend_from_slice(br#""documents":["#);
    for (place, document) in documents.iter().enumerate() {
        if place > 0 {
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
        // Pooled connections are ended by tasks of the runtime.
        let _context = self.runtime.enter();
        self.http = OnceCell::new();
    }
}

/// Whether it was the document that the server refused, and not the call.
fn is_of_the_document(error: &Error) -> bool {
    match error.kind {
        ErrorKind::DuplicateKey | ErrorKind::DuplicateId => true,
        ErrorKind::DataApi { status } => matches!(status, Some(400 | 413)) && error.code.is_some(),
        _ => false,
    }
}

/// The entry of `writeErrors` for a document that was refused.
fn write_error(place: usize, error: &Error) -> Document {
    let mut entry = error.details.as_ref().and_then(|details| Document::try_from(details).ok()).unwrap_or_default();
    entry.insert("index", i32::try_from(place).unwrap_or(i32::MAX));
    entry.insert("code", error.code.unwrap_or(0));
    if !matches!(entry.get("errmsg"), Some(Bson::String(_))) {
        entry.insert("errmsg", error.message.clone());
    }
    entry
}

/// `writeErrors` of a server's `details`, if each is a document with the place
/// of one of `documents` and a code.
fn write_errors(details: &Document, documents: usize) -> Option<Vec<Document>> {
    let mut entries = Vec::new();
    for entry in details.get_array("writeErrors").ok()? {
        let mut entry = entry.as_document()?.clone();
        let place = number(entry.get("index")?).and_then(|place| usize::try_from(place).ok())?;
        let code = number(entry.get("code")?).and_then(|code| i32::try_from(code).ok())?;
        if place >= documents {
            return None;
        }
        entry.insert("index", i32::try_from(place).ok()?);
        entry.insert("code", code);
        entries.push(entry);
    }
    Some(entries)
}

/// Whether `details` have what `BulkWriteError.details` must have.
fn is_bulk(details: &RawDocumentBuf) -> bool {
    Document::try_from(details).is_ok_and(|details| {
        write_errors(&details, usize::MAX).is_some()
            && details
                .get_array("writeConcernErrors")
                .is_ok_and(|errors| errors.iter().all(|e| e.as_document().is_some()))
            && details.get("nInserted").and_then(number).is_some()
    })
}

/// An integer, as plain JSON or relaxed EJSON brings it.
fn number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        _ => None,
    }
}

/// `BulkWriteError.details`.
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

/// The text with JSON's `\/` and `\u006b` as the characters that they stand for.
fn without_json_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        plain.push_str(&rest[..place]);
        let escaped = &rest[place + 1..];
        let number = escaped.strip_prefix('u').and_then(|digits| u32::from_str_radix(digits.get(..4)?, 16).ok());
        if let Some(character) = number.and_then(char::from_u32) {
            plain.push(character);
            rest = &escaped[5..];
        } else if let Some(after) = escaped.strip_prefix('/') {
            plain.push('/');
            rest = after;
        } else {
            plain.push('\\');
            rest = escaped;
        }
    }
    plain.push_str(rest);
    plain
}

/// An error with what lies behind it; its own text alone says little. Without
/// the URL, which the message names already.
fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.is_empty() { "unknown cause".to_owned() } else { excerpt(&texts.join(": "), 300) }
}
