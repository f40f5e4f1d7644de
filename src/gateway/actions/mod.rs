//! Runs authorized operations on MongoDB and encodes their results.

mod bulk_write;
mod count;
mod find_one_and;
mod page;
mod read;
mod stream;
mod transaction;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use bson::{Bson, Document, RawDocument, RawDocumentBuf};

use super::api_error::{ApiError, ApiResult, TransactionFailure};
use super::limits::memory::Reservation;
use super::policy::Authorized;
use super::request::{Operation, Options};
use super::response_format::Framing;
use super::state::Gateway;
use super::target::RequestTarget;
use crate::codec::ejson::Style;
use crate::data_api::protocol::{self, Action};
use crate::driver::DriverClient;
use crate::driver::session::Session;
use crate::error::{Error, ErrorKind};
pub(super) use page::{PageContext, run_page};
pub(super) use stream::write_document;
pub(super) use transaction::{Step, Transaction};

/// The result of an action.
pub(super) enum ActionResponse {
    /// A complete body.
    Complete(StatusCode, Vec<u8>),
    /// A complete body of a successful read, whose memory is reserved.
    Held(Bytes),
    /// A body that is written while the client reads it.
    Stream(Body),
    /// The parts of a complete body, whose memory is reserved.
    Parts(Vec<Bytes>),
}

/// What an action runs with.
pub(super) struct ActionContext<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) action: Action,
    /// The client of the target's data source.
    pub(super) client: &'a Arc<DriverClient>,
    pub(super) target: &'a RequestTarget,
    /// How the values of the response are written.
    pub(super) style: Style,
    /// The form of a response with documents.
    pub(super) framing: Framing,
    /// The memory of the request.
    pub(super) reservation: &'a Arc<Reservation>,
    /// The `comment` of the command: the request's trace context.
    pub(super) comment: Option<Bson>,
    /// Whether to hide MongoDB's messages, which can contain values that the caller may not read.
    pub(super) hides_messages: bool,
    /// The session of the transaction that the action is part of.
    pub(super) session: Option<Arc<Session>>,
}

/// Runs an operation.
pub(super) async fn run(context: &ActionContext<'_>, authorized: &Authorized<'_>) -> ApiResult<ActionResponse> {
    match authorized.operation() {
        Operation::InsertOne { document, options } => context.insert_one(document, options).await,
        Operation::InsertMany { documents, ordered, options } => {
            context.insert_many(documents, *ordered, options).await
        }
        Operation::FindOne(query) => context.find_one(query).await,
        Operation::Find(query) => context.find(query).await,
        Operation::Update { many, filter, update, upsert, options } => {
            context.update(*many, filter, *update, *upsert, options).await
        }
        Operation::ReplaceOne { filter, replacement, upsert, options } => {
            context.replace(filter, replacement, *upsert, options).await
        }
        Operation::Delete { many, filter, options } => context.delete(*many, filter, options).await,
        Operation::Aggregate { pipeline, options } => context.aggregate(pipeline, options).await,
        // Boxed, so that the frequent actions do not have their size.
        Operation::FindOneAnd(call) => Box::pin(context.find_one_and(call)).await,
        Operation::CountDocuments { query } => Box::pin(context.count_documents(query)).await,
        Operation::EstimatedDocumentCount { options } => Box::pin(context.estimated_document_count(options)).await,
        Operation::Distinct { key, query } => Box::pin(context.distinct(key, query)).await,
        Operation::BulkWrite { operations, ordered, options } => {
            Box::pin(context.bulk_write(operations, *ordered, options)).await
        }
    }
}

impl ActionContext<'_> {
    /// How long MongoDB may work on the command.
    fn max_time(&self, options: &Options<'_>) -> Duration {
        let limits = &self.gateway.limits;
        let limit = limits.of_response(self.framing);
        match options.count("maxTimeMS") {
            // In MongoDB, 0 is no limit.
            None | Some(0) => limit,
            Some(millis) => limit.min(Duration::from_millis(u64::from(millis))),
        }
    }

    fn max_time_millis(&self, options: &Options<'_>) -> i64 {
        i64::try_from(self.max_time(options).as_millis()).unwrap_or(i64::MAX)
    }

    /// Whether the action can be sent as it is, without decoding its parameters.
    fn is_plain(&self, options: &Options<'_>) -> bool {
        options.is_empty() && self.session.is_none()
    }

    /// The options of a command that only reads, with its time limit.
    fn reading_options(&self, options: &Options<'_>) -> ApiResult<Document> {
        let mut given = self.command_options(options)?;
        given.insert("maxTimeMS", self.max_time_millis(options));
        Ok(given)
    }

    /// The options of the command.
    fn command_options(&self, options: &Options<'_>) -> ApiResult<Document> {
        let mut given = Document::new();
        for (name, value) in options.iter() {
            given.insert(name, Bson::try_from(value).map_err(|_| ApiError::unreadable())?);
        }
        if given.contains_key("maxTimeMS") {
            given.insert("maxTimeMS", self.max_time_millis(options));
        }
        if let Some(size) = options.count("batchSize") {
            // MongoDB's largest.
            given.insert("batchSize", i64::from(size).min(i64::from(i32::MAX)));
        }
        given.remove("comment");
        let comment = comment_of(options, self.comment.clone())?;
        given.extend(comment.map(|comment| ("comment".to_owned(), comment)));
        Ok(given)
    }

    /// Converts an error of the driver to an error response.
    fn error_response(&self, error: &Error) -> ApiError {
        let mut response = error_response(self.gateway, self.client, &self.action, error);
        if self.hides_messages && error.code.is_some() {
            let reason = match error.kind {
                ErrorKind::DuplicateKey | ErrorKind::DuplicateId => "a value that must be unique exists already",
                _ => "the message is hidden from callers with a rule",
            };
            response.body.error = format!("{} failed: MongoDB rejected it: {reason}", self.action);
            response.body.details = None;
        }
        response.transaction = match error.kind {
            _ if error.labels.iter().any(|label| label == "TransientTransactionError") => TransactionFailure::Transient,
            ErrorKind::InvalidOperation if self.session.is_some() => TransactionFailure::Unsupported,
            _ => TransactionFailure::Final,
        };
        response
    }
}

/// Converts an error of the driver to an error response of an action.
pub(super) fn error_response(
    gateway: &Gateway,
    client: &DriverClient,
    action: &dyn fmt::Display,
    error: &Error,
) -> ApiError {
    let (status, mut body) = protocol::error_response(action, error);
    // Only the log shows where MongoDB runs.
    match error.kind {
        ErrorKind::ServerSelectionTimeout | ErrorKind::AutoReconnect | ErrorKind::NetworkTimeout => {
            gateway.telemetry.log_limited("warning", &body.error);
            body.error = format!("{action} failed: MongoDB cannot be reached: try again later");
        }
        _ => body.error = body.error.replace(&format!(" at {}", client.settings().hosts), ""),
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

/// The comment of a command: the request's trace context, the caller's comment, or a document with both.
pub(super) fn comment_of(options: &Options<'_>, trace: Option<Bson>) -> ApiResult<Option<Bson>> {
    let Some(comment) = options.get("comment") else { return Ok(trace) };
    let comment = Bson::try_from(comment).map_err(|_| ApiError::unreadable())?;
    Ok(Some(match trace {
        Some(Bson::Document(mut trace)) => {
            trace.insert("comment", comment);
            Bson::Document(trace)
        }
        _ => comment,
    }))
}

/// Decodes a document of the request.
fn decode(document: &RawDocument) -> ApiResult<Document> {
    document.try_into().map_err(|_| ApiError::unreadable())
}
