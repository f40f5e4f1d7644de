//! `GET …/watch` and `POST …/watch`: change streams as server-sent events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use axum::response::Response;

use super::extract::{accepted_ranges, authenticate, check_content_type, count_request};
use super::handlers::wrong_method;
use super::respond::{failed, response};
use crate::gateway::api_error::{ApiError, ApiResult, TIME_LIMIT_EXCEEDED};
use crate::gateway::limits::response_body::{BodyLimits, ResponseBody};
use crate::gateway::limits::{Limits, TIMEOUT_MARGIN};
use crate::gateway::policy::Policy;
use crate::gateway::request::parse_body;
use crate::gateway::server::peer::Peer;
use crate::gateway::state::Gateway;
use crate::gateway::target::RequestTarget;
use crate::gateway::telemetry::{RequestRecord, Telemetry};
use crate::gateway::watch::{EventStream, StreamContext, WatchRequest, parse_query};

/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";
/// The largest body, in bytes. It is kept as long as its stream is open.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// The header with the id of the last event that a client has.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx to pass on each part of a response at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Opens a change stream.
pub(super) async fn watch(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response {
    let mut record = gateway.telemetry.begin(None, request.headers(), peer);
    record.route = Some("watch");
    let response = open(&gateway, request, &mut record).await.unwrap_or_else(|error| failed(&mut record, error));
    Telemetry::finish(record, response).map(Body::new)
}

/// 405 for other methods.
pub(super) async fn method_not_allowed(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    wrong_method(&gateway, peer, &headers, "a change stream requires GET or POST", "GET, POST")
}

async fn open(
    gateway: &Arc<Gateway>,
    request: Request<Body>,
    record: &mut RequestRecord,
) -> ApiResult<Response<ResponseBody>> {
    let (head, body) = request.into_parts();
    let caller = authenticate(gateway, &head.headers, record).await?;
    count_request(gateway, &caller)?;
    check_accept(&head.headers)?;
    let full = "change streams: end one, or try again later";
    let slot = gateway.streams.slots.take(&caller.name).map_err(|reached| reached.error(full))?;
    let (request, reservation) = if head.method == Method::POST {
        check_content_type(&head.headers, gateway.compatibility)?;
        let limits = Limits { body_bytes: MAX_BODY_BYTES, ..gateway.limits.clone() };
        let (body, mut reservation) = gateway.memory.read_body(&limits, body).await?;
        record.received = body.len();
        reservation.grow_for_parsing(&body)?;
        let request = parse_body(&body)?;
        drop(body);
        reservation.fit(request.as_bytes().len())?;
        (request, Some(reservation))
    } else {
        (parse_query(head.uri.query().unwrap_or_default())?, None)
    };
    let last_event_id = match head.headers.get(LAST_EVENT_ID) {
        Some(id) => Some(id.to_str().map_err(|_| ApiError::invalid("the header Last-Event-ID must be ASCII"))?),
        None => None,
    };
    let watch = WatchRequest::parse(&request, last_event_id)?;
    let Some(client) = gateway.data_sources.for_streams(watch.data_source, gateway.streams.limits.total) else {
        return Err(ApiError::invalid("the gateway has no such 'dataSource'"));
    };
    let [data_source, database, collection] = [watch.data_source, watch.database, watch.collection].map(str::to_owned);
    let target = Arc::new(RequestTarget::new(data_source, database, collection)?);
    record.target = Some(Arc::clone(&target));
    let authorized = Policy { caller: &caller, target: &target }.authorize_watch(&watch)?;
    let (style, token) = (watch.style, watch.token);
    let context = StreamContext {
        gateway: Arc::clone(gateway),
        target,
        request,
        caller: Arc::clone(&caller.name),
        _slot: slot,
        _reservation: reservation,
        comment: record.comment(),
        peer: record.peer(),
        headers: head.headers,
    };
    let opening = EventStream::open(context, client, authorized, style, token);
    let limit = gateway.limits.request + TIMEOUT_MARGIN;
    let stream = tokio::time::timeout(limit, opening).await.map_err(|_| {
        let message = format!("watch timed out after {} s", gateway.limits.request.as_secs_f64());
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, TIME_LIMIT_EXCEEDED, message)
    })??;
    let stalled = gateway.limits.stalled;
    // The stream ends in time by itself, unless its client does not read.
    let ends = Instant::now() + gateway.streams.limits.lifetime + stalled + Duration::from_secs(1);
    let limits = BodyLimits { stalled: (head.version == Version::HTTP_2).then_some(stalled), deadline: Some(ends) };
    let mut response =
        response(StatusCode::OK, EVENT_STREAM, ResponseBody::from(stream.into_body()).limited(None, limits));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Rejects clients that do not accept server-sent events.
fn check_accept(headers: &HeaderMap) -> ApiResult<()> {
    let mut ranges =
        accepted_ranges(headers).map(|range| range.split(';').next().unwrap_or_default().trim()).peekable();
    let accepts =
        |range: &str| [EVENT_STREAM, "text/*", "*/*"].iter().any(|accepted| range.eq_ignore_ascii_case(accepted));
    if ranges.peek().is_none() || ranges.any(accepts) {
        return Ok(());
    }
    let message = format!("a change stream has the media type {EVENT_STREAM}: name it in 'Accept'");
    Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, "InvalidParameter", message))
}
