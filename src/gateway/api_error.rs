//! The error responses of the Data API.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;

use crate::data_api::protocol::ErrorBody;

/// An error response: its HTTP status, its body, and when the client may retry.
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) body: ErrorBody,
    /// The value of `Retry-After`, if the response has one.
    pub(super) retry_after: Option<Duration>,
    /// What the error means for the transaction that the action is part of.
    pub(super) transaction: TransactionFailure,
}

/// What an error means for a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum TransactionFailure {
    /// It failed.
    #[default]
    Final,
    /// MongoDB says that the whole transaction may be tried again.
    Transient,
    /// The driver knows no server with transactions: there is none, or it has not found one yet.
    Unsupported,
}

/// The `error_code` of a request whose time is over.
pub(super) const TIME_LIMIT_EXCEEDED: &str = "ExecutionTimeLimitExceeded";
/// The `error_code` in the log of a response that was not sent completely.
pub(super) const INCOMPLETE_RESPONSE: &str = "AnswerBrokeOff";

/// Why a response that has begun is aborted. Only the log and the metrics show it.
#[derive(Debug)]
pub(super) struct Aborted {
    pub(super) error_code: Cow<'static, str>,
    message: Cow<'static, str>,
}

impl Aborted {
    pub(super) fn new(error_code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { error_code: error_code.into(), message: message.into() }
    }

    /// The cause of a body's error, if the gateway aborted it.
    pub(super) fn cause_of<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(aborted) = error.downcast_ref() {
                return Some(aborted);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Aborted {}

/// The result of a step that can reject a request.
pub(super) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error of the gateway itself.
    pub(super) fn new(status: StatusCode, error_code: &str, message: impl Into<String>) -> Self {
        Self::from_body(status, ErrorBody::new(error_code, message))
    }

    /// An error with a prepared body. 429 and 503 get `Retry-After: 1`.
    pub(super) fn from_body(status: StatusCode, body: ErrorBody) -> Self {
        let retryable = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE;
        Self {
            status,
            body,
            retry_after: retryable.then_some(Duration::from_secs(1)),
            transaction: TransactionFailure::Final,
        }
    }

    /// 400: a field of the request is invalid.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    }

    /// 400: a required field is absent.
    pub(super) fn missing(field: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MissingParameter", format!("'{field}' is missing"))
    }

    /// 400: a document of the request is not valid BSON.
    pub(super) fn unreadable() -> Self {
        Self::invalid("a document cannot be read")
    }

    /// 403: no permission can allow the operation.
    pub(super) fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "OperationNotAllowed", message)
    }

    /// 413: the request, or what it needs, exceeds a limit that retrying cannot help with.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "InvalidParameter", message)
    }

    /// 429: a limit is reached for now.
    pub(super) fn too_many_requests(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    /// The same error, of one of the request's operations.
    pub(super) fn of_operation(mut self, index: usize) -> Self {
        self.body.error = format!("operations[{index}]: {}", self.body.error);
        self.body.index = Some(index);
        self
    }

    /// The same error with another `Retry-After`.
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}
