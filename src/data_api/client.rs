//! The Data API's client: one pool of connections for one setting.
//!
//! A call is repeated only where that is safe: reads, and inserts of documents
//! whose `_id`s this client made, since a second insert of the same `_id`
//! stores nothing. A connection that could not be made has sent nothing and is
//! always tried again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bson::{RawBsonRef, RawDocumentBuf, doc};
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use super::protocol::{API_KEY_HEADER, Action, EJSON, ErrorBody, request_prefix};
use crate::coalesce::{Coalescer, Flush, Limits, Outcome, SendBatch};
use crate::codec::ejson;
use crate::config::DataApiSettings;
use crate::driver::Namespace;
use crate::error::{Error, ErrorKind, Result, excerpt};

/// How often a call is tried at most.
const TRIES: u32 = 3;
/// The pause before the second try; the third waits four times as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that a server may make a call wait before its next try.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
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
        Self { settings, runtime, http: OnceCell::new(), coalescer: Coalescer::default() }
    }

    /// What it was made from.
    pub fn settings(&self) -> &DataApiSettings {
        &self.settings
    }

    /// The beginning of every request's body for `namespace`.
    pub fn request_prefix(&self, namespace: &Namespace) -> Vec<u8> {
        request_prefix(&self.settings.data_source, namespace)
    }

    /// Stores a document; `body` is the whole request.
    ///
    /// # Errors
    /// `DuplicateKey`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn insert_one(&self, body: Bytes, repeat: Repeat) -> Result<()> {
        let mut repeated = false;
        let answer = self.call(Action::InsertOne, body, repeat, &mut repeated).await;
        self.stored(answer, repeated && repeat == Repeat::Safe)
    }

    fn stored(&self, answer: Result<Answer>, repeated: bool) -> Result<()> {
        match answer {
            // The try before stored it.
            Err(error) if repeated && is_duplicate_id(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(answer) if matches!(answer.document.get("insertedId"), Ok(Some(_))) => Ok(()),
            Ok(answer) => Err(self.lacking(Action::InsertOne, &answer, "insertedId")),
        }
    }

    /// Stores documents. `documents` are their EJSON; `closing` is what ends
    /// the request after them.
    ///
    /// # Errors
    /// `BulkWrite`, `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn insert_many(&self, prefix: &[u8], documents: &[Vec<u8>], ordered: bool, repeat: Repeat) -> Result<()> {
        let mut repeated = false;
        match self.call(Action::InsertMany, many_request(prefix, documents, ordered), repeat, &mut repeated).await {
            Ok(answer) if has_ids(&answer) => Ok(()),
            Ok(answer) => Err(self.lacking(Action::InsertMany, &answer, "insertedIds")),
            // A try before may have stored some of them: ask for each.
            Err(error) if repeated && repeat == Repeat::Safe && error.kind == ErrorKind::BulkWrite => {
                for document in documents {
                    let answer = self.call(Action::InsertOne, one_request(prefix, document), repeat, &mut false).await;
                    self.stored(answer, true)?;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The first document that matches; `body` is the whole request.
    ///
    /// # Errors
    /// `DataApi`, `AutoReconnect`, `NetworkTimeout`.
    pub async fn find_one(&self, body: Bytes) -> Result<Option<RawDocumentBuf>> {
        let answer = self.call(Action::FindOne, body, Repeat::Safe, &mut false).await?;
        match answer.document.get("document") {
            Ok(Some(RawBsonRef::Document(document))) => Ok(Some(document.to_owned())),
            Ok(Some(RawBsonRef::Null)) => Ok(None),
            _ => Err(self.lacking(Action::FindOne, &answer, "document")),
        }
    }

    /// Makes a call, again where that is safe, within the settings' timeout.
    /// `repeated` tells whether a try before the last may have been carried out.
    async fn call(&self, action: Action, body: Bytes, repeat: Repeat, repeated: &mut bool) -> Result<Answer> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut pause = PAUSE;
        for tried in 1.. {
            let (error, again) = match timeout_at(deadline, self.try_once(action, body.clone())).await {
                Ok(Try::Done(answer)) => return Ok(answer),
                Ok(Try::Failed { error, again }) => (error, again),
                Err(_) => return Err(self.late(action)),
            };
            let pause_asked = match again {
                Again::Unsent => None,
                Again::IfSafe { pause } if repeat == Repeat::Safe => {
                    *repeated = true;
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
                        beginning(&body)
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
                        format!("the answer is not JSON: {:?}; is DATA_API_ENDPOINT a Data API?", beginning(&body))
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
            let to = location.map_or_else(String::new, |to| format!(" to {}", excerpt(&to, 200)));
            let what = format!("it redirects{to}, which is not followed: set DATA_API_ENDPOINT to where it leads");
            return self.error(action, Some(number), &what);
        }
        let Some(answer) = ErrorBody::parse(body) else {
            let what = if body.is_empty() { "no body".to_owned() } else { format!("{:?}", beginning(body)) };
            return self.error(action, Some(number), &what);
        };
        let hint = match number {
            401 | 403 => "; check API_KEY, and what it may do",
            429 => "; the server asks for fewer calls",
            _ => "",
        };
        let duplicate = answer.code == Some(11000) || answer.error.contains("E11000");
        let kind = match action {
            Action::InsertMany if duplicate || answer.code == Some(65) => ErrorKind::BulkWrite,
            _ if duplicate => ErrorKind::DuplicateKey,
            _ => ErrorKind::DataApi { status: Some(number) },
        };
        let mut error = self.error(action, Some(number), &format!("{}{hint}", excerpt(&answer.error, 1_000)));
        error.kind = kind;
        error.code = answer.code.or(duplicate.then_some(11000));
        error.details = answer.details;
        error.error_code = Some(answer.error_code).filter(|code| !code.is_empty());
        if kind == ErrorKind::BulkWrite {
            error.code = Some(65);
            error.details = error.details.or_else(|| bulk_details(&answer.error));
        }
        error
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
        self.error(action, Some(answer.status), &format!("the answer has no {field}: {:?}", beginning(&answer.body)))
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

    fn hide(&self, message: &str) -> String {
        message.replace(self.settings.api_key.expose(), "***")
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
    /// The document's EJSON.
    type Document = Vec<u8>;
    const LIMITS: Limits = Limits { documents: 1_000, bytes: 2 * 1024 * 1024, in_flight: 4, worthwhile: 32 };

    fn size(document: &Vec<u8>) -> usize {
        document.len()
    }

    async fn send(&self, namespace: &Namespace, documents: Vec<Vec<u8>>) -> Outcome {
        let prefix = self.request_prefix(namespace);
        if let [document] = documents.as_slice() {
            let body = one_request(&prefix, document);
            return Outcome::Same(self.insert_one(body, Repeat::Safe).await);
        }
        let mut repeated = false;
        let body = many_request(&prefix, &documents, false);
        let error = match self.call(Action::InsertMany, body, Repeat::Safe, &mut repeated).await {
            Ok(answer) if has_ids(&answer) => return Outcome::Same(Ok(())),
            Ok(answer) => self.lacking(Action::InsertMany, &answer, "insertedIds"),
            Err(error) => error,
        };
        // Nobody there, or nobody who lets us in: the same for each.
        let whole = match error.kind {
            ErrorKind::AutoReconnect | ErrorKind::NetworkTimeout => true,
            ErrorKind::DataApi { status } => !matches!(status, Some(400 | 413 | 500)),
            _ => false,
        };
        if whole {
            return Outcome::Same(Err(error));
        }
        // The batch may have been stored in part: a duplicate is then what it stored.
        let mut results = Vec::with_capacity(documents.len());
        for document in &documents {
            let answer = self.call(Action::InsertOne, one_request(&prefix, document), Repeat::Safe, &mut false).await;
            results.push(self.stored(answer, true));
        }
        Outcome::Each(results)
    }
}

impl Flush for DataApiClient {
    fn flush(self: Arc<Self>, runtime: &Handle) {
        Coalescer::flush(&self, runtime);
    }
}

fn has_ids(answer: &Answer) -> bool {
    matches!(answer.document.get("insertedIds"), Ok(Some(RawBsonRef::Array(_))))
}

/// The request that stores one document, of its EJSON.
pub fn one_request(prefix: &[u8], document: &[u8]) -> Bytes {
    [prefix, br#""document":"#, document, b"}"].concat().into()
}

fn many_request(prefix: &[u8], documents: &[Vec<u8>], ordered: bool) -> Bytes {
    let mut body = Vec::with_capacity(prefix.len() + 64 + documents.iter().map(|d| d.len() + 1).sum::<usize>());
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
        body.extend_from_slice(document);
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

/// A duplicate of `_id` itself, not of another unique index.
fn is_duplicate_id(error: &Error) -> bool {
    error.kind == ErrorKind::DuplicateKey
        && error.message.contains(" index: _id_ dup key: ")
        && error.message.matches("index: ").count() == 1
}

/// For a server that says no more than a text.
fn bulk_details(text: &str) -> Option<RawDocumentBuf> {
    let details = doc! {
        "writeErrors": [{ "index": 0, "code": 11000, "errmsg": text }],
        "writeConcernErrors": [],
        "nInserted": 0,
        "nUpserted": 0,
        "nMatched": 0,
        "nModified": 0,
        "nRemoved": 0,
        "upserted": [],
    };
    RawDocumentBuf::try_from(&details).ok()
}

fn beginning(body: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(&body[..body.len().min(400)]), 200)
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
