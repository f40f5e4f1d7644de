//! The error type of the core. Each kind corresponds to a class of
//! `pymongo.errors`, which the Python binding looks up.

use std::fmt;

use bson::RawDocumentBuf;

/// The class of an error, named after the exceptions of `pymongo.errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The settings are invalid (`ConfigurationError`).
    Configuration,
    /// The connection string is invalid (`InvalidURI`).
    InvalidUri,
    /// MongoDB does not allow the database or collection name (`InvalidName`).
    InvalidName,
    /// No suitable server was found within the timeout (`ServerSelectionTimeoutError`).
    ServerSelectionTimeout,
    /// The connection could not be established or was lost (`AutoReconnect`).
    AutoReconnect,
    /// The server did not respond in time (`NetworkTimeout`).
    NetworkTimeout,
    /// No connection of the pool became available in time (`WaitQueueTimeoutError`).
    WaitQueueTimeout,
    /// The server is not, or no longer, the primary (`NotPrimaryError`).
    NotPrimary,
    /// The server rejected the command (`OperationFailure`).
    Operation,
    /// The server rejected a write (`WriteError`).
    Write,
    /// A unique index already contains the key (`DuplicateKeyError`).
    DuplicateKey,
    /// The duplicate key is certainly the `_id` (`DuplicateKeyError`).
    DuplicateId,
    /// The server rejected some documents of a batch (`BulkWriteError`).
    BulkWrite,
    /// The write concern was not satisfied (`WriteConcernError`).
    WriteConcern,
    /// The write concern was not satisfied in time (`WTimeoutError`).
    WTimeout,
    /// `maxTimeMS` was exceeded (`ExecutionTimeout`).
    ExecutionTimeout,
    /// The server no longer knows the cursor (`CursorNotFound`).
    CursorNotFound,
    /// The operation is not allowed in the current state (`InvalidOperation`).
    InvalidOperation,
    /// A document is larger than MongoDB allows (`DocumentTooLarge`).
    DocumentTooLarge,
    /// The server's response is malformed (`ProtocolError`).
    Protocol,
    /// The server does not have what the call needs (`NotImplementedError`, which is Python's).
    NotSupported,
    /// Invalid BSON bytes or invalid Extended JSON text (`InvalidBSON`).
    InvalidBson,
    /// The Data API responded with an error or with an unexpected body (`DataApiError`).
    DataApi {
        /// The HTTP status, if the server responded.
        status: Option<u16>,
    },
}

/// An error of the core: its kind, a message without secrets, and the server's
/// own description of the error.
#[derive(Clone)]
pub struct Error {
    /// Determines the class of `pymongo.errors` that is raised.
    pub kind: ErrorKind,
    /// The attempted operation, the host, and how to fix the problem.
    pub message: String,
    /// MongoDB's error code.
    pub code: Option<i32>,
    /// The server's own error document.
    pub details: Option<RawDocumentBuf>,
    /// MongoDB's error labels.
    pub labels: Vec<String>,
    /// The Data API's `error_code`.
    pub error_code: Option<String>,
}

/// The result type of the core.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Creates an error without any details from a server.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, details: None, labels: Vec::new(), error_code: None }
    }

    /// Returns whether it is an `OperationFailure` that the server replied to a command. A failed authentication is none:
    /// no command was sent.
    pub fn is_reply(&self) -> bool {
        let is_operation_failure = matches!(
            self.kind,
            ErrorKind::Operation
                | ErrorKind::Write
                | ErrorKind::DuplicateKey
                | ErrorKind::DuplicateId
                | ErrorKind::BulkWrite
                | ErrorKind::WriteConcern
                | ErrorKind::WTimeout
                | ErrorKind::ExecutionTimeout
                | ErrorKind::CursorNotFound
        );
        is_operation_failure && self.details.is_some()
    }

    /// Sets MongoDB's error code.
    #[must_use]
    pub fn with_code(mut self, code: Option<i32>) -> Self {
        self.code = code;
        self
    }

    /// Sets the server's error document.
    #[must_use]
    pub fn with_details(mut self, details: Option<RawDocumentBuf>) -> Self {
        self.details = details;
        self
    }
}

/// Prepares a text for an error message: replaces control characters, which would break
/// a log line, and truncates the text to `limit` characters.
pub fn excerpt(text: &str, limit: usize) -> String {
    let mut out: String =
        text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned();
    if text.chars().count() > limit {
        out.push('…');
    }
    out
}

/// Returns the causes of an HTTP client's error, whose own text is not informative.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.is_empty() { "unknown cause".to_owned() } else { excerpt(&texts.join(": "), 300) }
}

// `details` may contain the user's document, which must not appear in logs.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
