//! The one error type of the core. Its kinds are the classes of
//! `pymongo.errors`, so that the binding only has to look the class up.

use std::fmt;

use bson::RawDocumentBuf;

/// What went wrong, named as PyMongo names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The settings are wrong (`ConfigurationError`).
    Configuration,
    /// The connection string is wrong (`InvalidURI`).
    InvalidUri,
    /// A database or collection name that MongoDB does not allow (`InvalidName`).
    InvalidName,
    /// No usable server within the timeout (`ServerSelectionTimeoutError`).
    ServerSelectionTimeout,
    /// The connection could not be made or was lost (`AutoReconnect`).
    AutoReconnect,
    /// An answer did not come in time (`NetworkTimeout`).
    NetworkTimeout,
    /// The server is not, or no longer, the primary (`NotPrimaryError`).
    NotPrimary,
    /// The server refused the command (`OperationFailure`).
    Operation,
    /// The server refused a write (`WriteError`).
    Write,
    /// A unique key exists already (`DuplicateKeyError`).
    DuplicateKey,
    /// The `_id` exists already, and nothing else is meant (`DuplicateKeyError`).
    DuplicateId,
    /// Some documents of a batch were refused (`BulkWriteError`).
    BulkWrite,
    /// The write concern was not met (`WriteConcernError`).
    WriteConcern,
    /// The write concern was not met in time (`WTimeoutError`).
    WTimeout,
    /// `maxTimeMS` was exceeded (`ExecutionTimeout`).
    ExecutionTimeout,
    /// The server no longer knows the cursor (`CursorNotFound`).
    CursorNotFound,
    /// The call makes no sense here (`InvalidOperation`).
    InvalidOperation,
    /// A document is larger than MongoDB allows (`DocumentTooLarge`).
    DocumentTooLarge,
    /// The server's answer cannot be understood (`ProtocolError`).
    Protocol,
    /// Bytes that are no BSON, or text that is no Extended JSON (`InvalidBSON`).
    InvalidBson,
    /// The Data API answered with an error, or with no answer of its own
    /// (`DataApiError`). `status` is the HTTP status, if one came.
    DataApi {
        /// The HTTP status, where there was one.
        status: Option<u16>,
    },
}

/// An error of the core: its kind, a message that holds no secret, and what
/// the server said about it.
#[derive(Clone)]
pub struct Error {
    /// Which class of `pymongo.errors` it becomes.
    pub kind: ErrorKind,
    /// What was tried, against which host, and what to do.
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

/// The core's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` with `message`, and nothing from a server.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, details: None, labels: Vec::new(), error_code: None }
    }

    /// The same error with MongoDB's error code.
    #[must_use]
    pub fn with_code(mut self, code: Option<i32>) -> Self {
        self.code = code;
        self
    }

    /// The same error with the server's error document.
    #[must_use]
    pub fn with_details(mut self, details: Option<RawDocumentBuf>) -> Self {
        self.details = details;
        self
    }
}

/// For messages: the text without the control characters that would break a
/// log line, cut to `limit` characters.
pub fn excerpt(text: &str, limit: usize) -> String {
    let mut out: String =
        text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned();
    if text.chars().count() > limit {
        out.push('…');
    }
    out
}

// `details` may hold the user's document: it stays out of logs.
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
