//! The handlers of the routes.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::http::header::ALLOW;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use axum::response::Response;
use bson::{RawBsonRef, RawDocument};
use futures_util::stream;

use super::extract::{ActionPath, authenticate, check_content_type, count_request, request_slot, response_format};
use super::openapi;
use super::respond::{failed, response, uncached};
use crate::data_api::protocol::{Action, JSON};
use crate::gateway::actions::{self, ActionContext, ActionResponse, PageContext, Step, Transaction, comment_of};
use crate::gateway::api_error::{ApiError, ApiResult, TIME_LIMIT_EXCEEDED};
use crate::gateway::arguments::{Arguments, Place};
use crate::gateway::auth::permission::Caller;
use crate::gateway::cursors::{CursorOwner, Paging};
use crate::gateway::limits::TIMEOUT_MARGIN;
use crate::gateway::limits::memory::Reservation;
use crate::gateway::limits::response_body::{BodyLimits, ResponseBody};
use crate::gateway::policy::{Policy, Replaced};
use crate::gateway::request::{Operation, parse_body, transaction_operations};
use crate::gateway::response_format::{Framing, NDJSON, ResponseFormat};
use crate::gateway::server::peer::Peer;
use crate::gateway::state::Gateway;
use crate::gateway::target::RequestTarget;
use crate::gateway::telemetry::metrics::OPENMETRICS;
use crate::gateway::telemetry::{RecordedBody, RequestRecord, Telemetry};

/// `POST …/action/{action}`.
pub(super) async fn run_action(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    ActionPath(action): ActionPath,
    request: Request<Body>,
) -> Response {
    respond(&gateway, peer, action, request).await.map(Body::new)
}

/// Runs an action, and records its request.
pub(super) async fn respond<B>(
    gateway: &Arc<Gateway>,
    peer: Peer,
    action: Option<Action>,
    request: Request<B>,
) -> Response<RecordedBody>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut record = gateway.telemetry.begin(action, request.headers(), peer);
    let result = match action {
        Some(action) => process(gateway, action, request, &mut record).await,
        // Only authenticated callers learn which actions exist.
        None => match authenticate(gateway, request.headers(), &mut record).await {
            Ok(_) => Err(ApiError::new(StatusCode::NOT_FOUND, "NotFound", "the Data API has no such action")),
            Err(error) => Err(error),
        },
    };
    let response = result.unwrap_or_else(|error| failed(&mut record, error));
    Telemetry::finish(record, response)
}

/// Runs an action: authentication, limits, parsing, authorization, MongoDB, response.
async fn process<B>(
    gateway: &Gateway,
    action: Action,
    request: Request<B>,
    record: &mut RequestRecord,
) -> ApiResult<Response<ResponseBody>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, body) = request.into_parts();
    let caller = authenticate(gateway, &head.headers, record).await?;
    count_request(gateway, &caller)?;
    let slot = request_slot(gateway)?;
    check_content_type(&head.headers, gateway.compatibility)?;
    let format = response_format(&head.headers, gateway.default_style, action)?;
    let ResponseFormat { style, framing } = format;
    if framing == Framing::Lines && head.version < Version::HTTP_11 {
        return Err(ApiError::invalid(format!(
            "{NDJSON} requires HTTP/1.1 or HTTP/2: without them a client cannot tell a response that broke off"
        )));
    }
    let (body, mut reservation) = gateway.memory.read_body(&gateway.limits, body).await?;
    record.received = body.len();
    let arrived = Instant::now();
    reservation.grow_for_parsing(&body)?;
    let request = parse_body(&body)?;
    drop(body);
    reservation.fit(request.as_bytes().len())?;
    let arguments = Arguments::read(action, Place::Body, &request)?;
    let data_source = arguments.text("dataSource")?;
    let Some(client) = gateway.data_sources.get(data_source) else {
        return Err(ApiError::invalid("the gateway has no such 'dataSource'"));
    };
    let until = arrived + gateway.limits.request + TIMEOUT_MARGIN;
    let stalled = (head.version == Version::HTTP_2).then_some(gateway.limits.stalled);
    let mut limits = BodyLimits { stalled, deadline: None };
    let replaced = Replaced::new();
    let prepare = Prepare { gateway, caller: &caller, data_source };
    let (result, reservation) = if action == Action::Transaction {
        let steps = prepare.steps(&arguments, &replaced, &mut reservation)?;
        let reservation = Arc::new(reservation);
        let comment = comment_of(&arguments.options()?, record.comment())?;
        // Boxed, so that other actions do not have its size.
        let transaction = Transaction { gateway, client, style, reservation: &reservation, comment, steps: &steps };
        let running = Box::pin(transaction.run());
        (within_time(gateway, action, until, running).await?, Arc::clone(&reservation))
    } else {
        let closes = arguments.flag("close", false)?;
        let continued;
        let (page, arguments, request) = match arguments.cursor() {
            None if closes => return Err(close_without_cursor()),
            None => (None, arguments, &request),
            Some(_) if framing == Framing::Lines => {
                return Err(ApiError::invalid(format!("{NDJSON} has no pages: leave out 'cursor'")));
            }
            Some(cursor) => match prepare.page(action, cursor, &arguments, &request)? {
                Paging::None | Paging::First(_) if closes => return Err(close_without_cursor()),
                // Without its cursor, which is dropped here, nothing is left of it.
                Paging::Next(_) if closes => {
                    let body = gateway.memory.hold(br#"{"documents":[],"cursor":null}"#.to_vec())?;
                    let body = ResponseBody::from(body).limited(Some(slot), limits);
                    return Ok(response(StatusCode::OK, format.media_type(), body));
                }
                Paging::None => (None, arguments, &request),
                Paging::First(page) => (Some(page), arguments, &request),
                Paging::Next(next) => {
                    continued = next.request;
                    reservation.grow(continued.as_bytes().len())?;
                    (Some(next.page), Arguments::read(action, Place::Body, &continued)?, &continued)
                }
            },
        };
        let Step { target, authorized, .. } =
            prepare.step(action, &arguments, &replaced, &mut reservation, |target| {
                record.target = Some(Arc::clone(target));
            })?;
        let reservation = Arc::new(reservation);
        let context = ActionContext {
            gateway,
            action,
            client,
            target: &target,
            style,
            framing,
            reservation: &reservation,
            comment: record.comment(),
            session: None,
            hides_messages: authorized.is_restricted(),
        };
        let result = match page {
            // Pinned here, so that it is not moved.
            None => within_time(gateway, action, until, pin!(actions::run(&context, &authorized))).await?,
            // Boxed, because requests without pages would need the memory too.
            Some(page) => {
                let owner = CursorOwner { caller: &caller.name, action, target: &target };
                let page = PageContext { page, owner, request };
                let running = Box::pin(actions::run_page(&context, &authorized, page));
                within_time(gateway, action, until, running).await?
            }
        };
        (result, Arc::clone(&reservation))
    };
    let (status, body) = match result {
        // A completed write must not fail for lack of memory: its response gets the request's.
        ActionResponse::Complete(status, body) if action.writes() => (status, reservation.hold(body).into()),
        ActionResponse::Complete(status, body) => (status, gateway.memory.hold(body)?.into()),
        ActionResponse::Held(body) => (StatusCode::OK, body.into()),
        ActionResponse::Stream(body) => {
            limits.deadline = Some(arrived + gateway.limits.of_response(framing) + TIMEOUT_MARGIN);
            (StatusCode::OK, ResponseBody::from(body))
        }
        ActionResponse::Parts(parts) => {
            limits.deadline = Some(until);
            let parts = stream::iter(parts.into_iter().map(Ok::<Bytes, Infallible>));
            (StatusCode::OK, ResponseBody::from(Body::from_stream(parts)))
        }
    };
    Ok(response(status, format.media_type(), body.limited(Some(slot), limits)))
}

/// 400: only the cursor of a page can be closed.
fn close_without_cursor() -> ApiError {
    ApiError::invalid("'close' is for the 'cursor' that a page ended with")
}

/// Runs an action until the time of its request is over.
async fn within_time(
    gateway: &Gateway,
    action: Action,
    until: Instant,
    running: impl Future<Output = ApiResult<ActionResponse>>,
) -> ApiResult<ActionResponse> {
    tokio::time::timeout_at(until.into(), running).await.map_err(|_| {
        let outcome = if action.writes() { ": the write may or may not have been applied" } else { "" };
        let message = format!("{action} timed out after {} s{outcome}", gateway.limits.request.as_secs_f64());
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, TIME_LIMIT_EXCEEDED, message)
    })?
}

/// Parses and authorizes the actions of a request.
struct Prepare<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    data_source: &'a str,
}

impl Prepare<'_> {
    /// An action. `on_target` is called once the names of its target are valid.
    fn step<'r>(
        &self,
        action: Action,
        arguments: &Arguments<'r>,
        replaced: &'r Replaced,
        reservation: &mut Reservation,
        on_target: impl FnOnce(&Arc<RequestTarget>),
    ) -> ApiResult<Step<'r>> {
        let target = Arc::new(RequestTarget::parse(self.data_source.to_owned(), arguments)?);
        on_target(&target);
        let policy = Policy { caller: self.caller, target: &target };
        policy.check_target(action)?;
        if !self.gateway.compatibility.ignores_unknown_arguments() {
            arguments.reject_unknown()?;
        }
        let operation = Operation::parse(action, arguments)?;
        reservation.grow(operation.memory()?)?;
        let authorized = policy.authorize(operation, replaced)?;
        Ok(Step { action, target, authorized })
    }

    /// What a request for a page asks for.
    fn page(
        &self,
        action: Action,
        cursor: RawBsonRef<'_>,
        arguments: &Arguments<'_>,
        request: &RawDocument,
    ) -> ApiResult<Paging> {
        let target = RequestTarget::parse(self.data_source.to_owned(), arguments)?;
        let owner = CursorOwner { caller: &self.caller.name, action, target: &target };
        self.gateway.cursors.read(owner, cursor, request, self.gateway.limits.documents)
    }

    /// The actions of a transaction, all of which must be allowed.
    fn steps<'r>(
        &self,
        arguments: &Arguments<'r>,
        replaced: &'r Replaced,
        reservation: &mut Reservation,
    ) -> ApiResult<Vec<Step<'r>>> {
        if !self.gateway.compatibility.ignores_unknown_arguments() {
            arguments.reject_unknown()?;
        }
        transaction_operations(arguments.array("operations")?, |action, arguments| {
            self.step(action, &arguments, replaced, reservation, |_| {})
        })
    }
}

/// 404 for unknown paths.
pub(super) async fn not_found(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    let error =
        ApiError::new(StatusCode::NOT_FOUND, "NotFound", "no such path: use POST …/action/insertOne or similar");
    let mut record = gateway.telemetry.begin(None, &headers, peer);
    let response = failed(&mut record, error);
    Telemetry::finish(record, response).map(Body::new)
}

/// 405 for other methods than POST.
pub(super) async fn method_not_allowed(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    wrong_method(&gateway, peer, &headers, "actions require POST", "POST")
}

/// 405, with the methods that are allowed.
pub(super) fn wrong_method(
    gateway: &Gateway,
    peer: Peer,
    headers: &HeaderMap,
    message: &str,
    allowed: &'static str,
) -> Response {
    let mut record = gateway.telemetry.begin(None, headers, peer);
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
    let mut response = failed(&mut record, error);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    Telemetry::finish(record, response).map(Body::new)
}

/// `GET /healthz`: the process serves requests.
pub(super) async fn healthy() -> Response {
    uncached(StatusCode::OK, JSON, r#"{"status":"healthy"}"#)
}

/// `GET /readyz`: all data sources respond. Only the log says which do not, and why.
pub(super) async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    match gateway.is_ready().await {
        true => uncached(StatusCode::OK, JSON, r#"{"status":"ready"}"#),
        false => uncached(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"status":"MongoDB cannot be reached"}"#),
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    uncached(StatusCode::OK, OPENMETRICS, gateway.telemetry.metrics.encode())
}

/// `GET /openapi.json`.
pub(super) async fn openapi_description() -> Response {
    static DESCRIPTION: LazyLock<Bytes> = LazyLock::new(|| openapi::description().to_string().into());
    response(StatusCode::OK, JSON, DESCRIPTION.clone().into())
}
