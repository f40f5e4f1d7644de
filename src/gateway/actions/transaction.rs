//! `transaction`: several actions, all or none.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use bson::{Bson, doc};
use mongodb::options::{SessionOptions, TransactionOptions};

use super::{ActionContext, ActionResponse, error_response, run};
use crate::codec::ejson::Style;
use crate::data_api::protocol::Action;
use crate::driver::DriverClient;
use crate::driver::command::{CommandOptions, run_command};
use crate::driver::session::Session;
use crate::error::{Error, Result};
use crate::gateway::api_error::{ApiError, ApiResult, TransactionFailure};
use crate::gateway::limits::memory::Reservation;
use crate::gateway::policy::Authorized;
use crate::gateway::response_format::Framing;
use crate::gateway::state::Gateway;
use crate::gateway::target::RequestTarget;

/// How often a transaction is tried that conflicts with others.
const MAX_ATTEMPTS: u32 = 8;
/// The wait before the second attempt. Each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(5);
/// How often a commit is sent whose result is unknown. Committing twice is safe.
const MAX_COMMITS: u32 = 3;

/// An action of a transaction.
pub(in crate::gateway) struct Step<'r> {
    pub(in crate::gateway) action: Action,
    pub(in crate::gateway) target: Arc<RequestTarget>,
    pub(in crate::gateway) authorized: Authorized<'r>,
}

/// A transaction, and what its actions run with.
pub(in crate::gateway) struct Transaction<'a> {
    pub(in crate::gateway) gateway: &'a Gateway,
    pub(in crate::gateway) client: &'a Arc<DriverClient>,
    pub(in crate::gateway) style: Style,
    pub(in crate::gateway) reservation: &'a Arc<Reservation>,
    pub(in crate::gateway) comment: Option<Bson>,
    pub(in crate::gateway) steps: &'a [Step<'a>],
}

impl Transaction<'_> {
    /// Runs the actions in order. If one fails, or if the returned future is dropped, none has an effect.
    pub(in crate::gateway) async fn run(&self) -> ApiResult<ActionResponse> {
        let (mut wait, mut attempts, mut found) = (FIRST_WAIT, 1, false);
        loop {
            let error = match self.attempt().await {
                Err(error) => error,
                result => return result,
            };
            match error.transaction {
                TransactionFailure::Transient if attempts == MAX_ATTEMPTS => {
                    return Err(ApiError::from_body(StatusCode::SERVICE_UNAVAILABLE, error.body));
                }
                TransactionFailure::Transient => {
                    tokio::time::sleep(wait).await;
                    (wait, attempts) = (wait * 2, attempts + 1);
                }
                TransactionFailure::Unsupported if found => {
                    let message = "MongoDB has transactions only on replica sets and sharded clusters";
                    return Err(ApiError::invalid(message));
                }
                TransactionFailure::Unsupported => {
                    self.find_server().await?;
                    found = true;
                }
                TransactionFailure::Final => return Err(error),
            }
        }
    }

    fn context<'s>(
        &'s self,
        action: Action,
        target: &'s RequestTarget,
        session: &Arc<Session>,
        hides_messages: bool,
    ) -> ActionContext<'s> {
        ActionContext {
            gateway: self.gateway,
            action,
            client: self.client,
            target,
            style: self.style,
            framing: Framing::Array,
            reservation: self.reservation,
            comment: self.comment.clone(),
            session: Some(Arc::clone(session)),
            hides_messages,
        }
    }

    /// Waits until the driver has found a server.
    async fn find_server(&self) -> ApiResult<()> {
        let ping = run_command(self.client, "admin".to_owned(), doc! { "ping": 1 }, CommandOptions::once(None)).await;
        ping.map(drop).map_err(|error| error_response(self.gateway, self.client, &Action::Transaction, &error))
    }

    async fn attempt(&self) -> ApiResult<ActionResponse> {
        // The driver aborts the transaction of a session that is dropped.
        let session = Arc::new(Session::new(SessionOptions::default()));
        session.start_transaction(TransactionOptions::default());
        let hides_messages = self.steps.iter().any(|step| step.authorized.is_restricted());
        let context = |action, target| self.context(action, target, &session, hides_messages);
        let mut parts = Vec::with_capacity(2 * self.steps.len() + 1);
        let mut separator = &br#"{"results":["#[..];
        for (index, step) in self.steps.iter().enumerate() {
            parts.push(Bytes::from_static(separator));
            separator = b",";
            let done = match run(&context(step.action, &step.target), &step.authorized).await {
                Ok(ActionResponse::Complete(_, body)) => self.gateway.memory.hold(body).map(|body| parts.push(body)),
                Ok(ActionResponse::Held(body)) => {
                    parts.push(body);
                    Ok(())
                }
                Ok(ActionResponse::Parts(body)) => {
                    parts.extend(body);
                    Ok(())
                }
                // No action streams in a transaction.
                Ok(ActionResponse::Stream(_)) => Err(ApiError::invalid("the action cannot be part of a transaction")),
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                // If the abort fails, the server aborts the transaction after its own time limit.
                drop(session.abort(self.client).await);
                session.end().await;
                return Err(error.of_operation(index));
            }
        }
        parts.push(Bytes::from_static(b"]}"));
        let committed = commit(self.client, &session).await;
        session.end().await;
        match (committed, self.steps.first()) {
            (Err(error), Some(step)) => Err(commit_error(&context(Action::Transaction, &step.target), &error)),
            _ => Ok(ActionResponse::Parts(parts)),
        }
    }
}

async fn commit(client: &DriverClient, session: &Session) -> Result<()> {
    for _ in 1..MAX_COMMITS {
        match session.commit(client).await {
            Err(error) if is_unknown(&error) => {}
            result => return result,
        }
    }
    session.commit(client).await
}

/// Whether the transaction may or may not be committed.
fn is_unknown(error: &Error) -> bool {
    error.labels.iter().any(|label| label == "UnknownTransactionCommitResult")
}

fn commit_error(context: &ActionContext<'_>, error: &Error) -> ApiError {
    let mut response = context.error_response(error);
    if is_unknown(error) {
        response.body.error.push_str(": the transaction may or may not have been committed");
        // Without Retry-After: the actions would run twice.
        let transaction = TransactionFailure::Final;
        return ApiError { retry_after: None, transaction, status: StatusCode::GATEWAY_TIMEOUT, ..response };
    }
    response
}
