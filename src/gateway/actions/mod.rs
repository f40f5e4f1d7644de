//! Runs authorized operations on MongoDB and encodes their results.

mod read;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bson::{Bson, Document, RawDocumentBuf, doc};

use super::api_error::{ApiError, ApiResult};
use super::policy::Authorized;
use super::request::Operation;
use super::state::Gateway;
use super::target::RequestTarget;
use crate::codec::ejson::Style;
use crate::data_api::protocol::{Action, error_response};
use crate::driver::DriverClient;
use crate::error::{Error, ErrorKind};

/// The result of an action.
pub(super) enum ActionResponse {
    /// A complete body.
    Complete(StatusCode, Vec<u8>),
    /// A body that is written while the client reads it.
    Stream(Body),
}

/// What an action runs with.
pub(super) struct ActionContext<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) action: Action,
    /// The client of the target's data source.
    pub(super) client: &'a Arc<DriverClient>,
    pub(super) target: &'a RequestTarget,
    /// The format of the response.
    pub(super) style: Style,
    /// The `comment` of the command: the request's trace context.
    pub(super) comment: Option<Bson>,
    /// Whether to hide MongoDB's messages, which can contain values that the caller may not read.
    pub(super) hides_messages: bool,
}

/// Runs an operation.
pub(super) async fn run(context: &ActionContext<'_>, authorized: &Authorized<'_>) -> ApiResult<ActionResponse> {
    match *authorized.operation() {
        Operation::InsertOne { document } => context.insert_one(document).await,
        Operation::InsertMany { documents, ordered } => context.insert_many(documents, ordered).await,
        Operation::FindOne(query) => context.find_one(query).await,
        Operation::Find { query, sort, skip, limit } => context.find(query, sort, skip, limit).await,
        Operation::Update { many, filter, update, upsert } => context.update(many, filter, update, upsert).await,
        Operation::ReplaceOne { filter, replacement, upsert } => context.replace(filter, replacement, upsert).await,
        Operation::Delete { many, filter } => context.delete(many, filter).await,
        Operation::Aggregate { pipeline } => context.aggregate(pipeline).await,
    }
}

impl ActionContext<'_> {
    /// How long MongoDB may work on the command.
    fn max_time(&self) -> Duration {
        self.gateway.limits.request
    }

    /// The options that all commands have.
    fn command_options(&self) -> Document {
        self.comment.clone().map_or_else(Document::new, |comment| doc! { "comment": comment })
    }

    /// Converts an error of the driver to an error response.
    fn error_response(&self, error: &Error) -> ApiError {
        let (status, mut body) = error_response(self.action, error);
        if self.hides_messages && error.code.is_some() {
            let reason = match error.kind {
                ErrorKind::DuplicateKey | ErrorKind::DuplicateId => "a value that must be unique exists already",
                _ => "the message is hidden from callers with a rule",
            };
            body.error = format!("{} failed: MongoDB rejected it: {reason}", self.action);
            body.details = None;
        }
        // Only the log shows where MongoDB runs.
        match error.kind {
            ErrorKind::ServerSelectionTimeout | ErrorKind::AutoReconnect | ErrorKind::NetworkTimeout => {
                self.gateway.telemetry.log_limited("warning", &body.error);
                body.error = format!("{} failed: MongoDB cannot be reached: try again later", self.action);
            }
            _ => body.error = body.error.replace(&format!(" at {}", self.client.settings().hosts), ""),
        }
        if let Some(details) = &mut body.details
            && let Ok(mut shown) = Document::try_from(&*details)
        {
            for internal in ["$clusterTime", "operationTime", "electionId", "opTime"] {
                shown.remove(internal);
            }
            body.details = RawDocumentBuf::try_from(&shown).ok();
        }
        ApiError::from_body(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
    }
}
