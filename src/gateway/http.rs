//! Requests in, answers out.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER, TRANSFER_ENCODING,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Gateway;
use super::actions::{self, Answer, Call, Parts};
use super::auth::Unknown;
use super::observe::Facts;
use super::openapi;
use super::permission::Caller;
use super::server::Peer;
use super::taking;
use crate::codec::ejson::{self, Style};
use crate::data_api::protocol::{Action, EJSON, ErrorBody, JSON};

/// MongoDB itself is asked to be in time; this much later it is not waited for any more.
const LATE: Duration = Duration::from_secs(1);

/// The routes: the Data API's actions, where Atlas had them and without Atlas's
/// prefix; and what operators look at.
pub(super) fn router(gateway: Arc<Gateway>, origins: &[String]) -> Router {
    let action = || post(run_action).fallback(method_not_allowed);
    let router = Router::new()
        .route("/action/{action}", action())
        .route("/app/{app}/endpoint/data/v1/action/{action}", action())
        .route("/app/{app}/endpoint/data/beta/action/{action}", action())
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(description))
        .route("/docs", get(async || Html(include_str!("docs.html"))))
        .fallback(not_found)
        .layer(from_fn(one_reading))
        .with_state(gateway);
    if origins.is_empty() { router } else { router.layer(cross_origin(origins)) }
}

/// Refuses a body whose end a server in front could see elsewhere, and ends the connection.
async fn one_reading(request: Request<Body>, next: Next) -> Response {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let plain = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    if plain {
        return next.run(request).await;
    }
    let error = "the Transfer-Encoding must be chunked, once, or not be there";
    let mut response = refused(StatusCode::BAD_REQUEST, "InvalidParameter", error).into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What browsers are told of calls from pages of other origins.
fn cross_origin(origins: &[String]) -> CorsLayer {
    let names = ["api-key", "apikey", "x-request-id", "traceparent", "tracestate"].map(HeaderName::from_static);
    let allowed = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok())),
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::POST])
        .allow_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE].into_iter().chain(names).collect::<Vec<_>>())
        .expose_headers([RETRY_AFTER, HeaderName::from_static("x-request-id")])
        .max_age(Duration::from_secs(3600))
}

pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) body: ErrorBody,
    retry_after: Option<Duration>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, body: ErrorBody) -> Self {
        let busy = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE;
        Self { status, body, retry_after: busy.then_some(Duration::from_secs(1)) }
    }

    /// To be tried again after so long.
    fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, JSON, self.body.to_json());
        if let Some(wait) = self.retry_after {
            // In whole seconds, and no less than the wait.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

pub(super) fn refused(status: StatusCode, error_code: &str, error: impl Into<String>) -> Refused {
    Refused::new(status, ErrorBody::new(error_code, error))
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static(content_type))], body.into()).into_response()
}

async fn not_found(
    State(gateway): State<Arc<Gateway>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let error = "no such path: actions are POSTed to …/action/insertOne and its like";
    observed(&gateway, peer, &headers, refused(StatusCode::NOT_FOUND, "NotFound", error).into_response(), "NotFound")
}

async fn method_not_allowed(
    State(gateway): State<Arc<Gateway>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let mut response =
        refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "actions are POSTed").into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    observed(&gateway, peer, &headers, response, "MethodNotAllowed")
}

fn observed(
    gateway: &Gateway,
    peer: std::net::SocketAddr,
    headers: &HeaderMap,
    response: Response,
    error_code: &str,
) -> Response {
    let mut facts = gateway.observer.begin(None, headers, peer);
    facts.error_code = Some(error_code.to_owned());
    gateway.observer.answered(facts, response)
}

/// Whether the process serves at all.
async fn healthy() -> Response {
    uncached(answer(StatusCode::OK, JSON, r#"{"status":"healthy"}"#))
}

/// Whether every MongoDB answers. Which does not, and why, is for the log alone.
async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    uncached(match gateway.is_ready().await {
        true => answer(StatusCode::OK, JSON, r#"{"status":"ready"}"#),
        false => answer(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"status":"MongoDB cannot be reached"}"#),
    })
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let text = gateway.observer.metrics.text();
    uncached(answer(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text))
}

async fn description() -> Response {
    answer(StatusCode::OK, JSON, openapi::description().to_string())
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn run_action(
    State(gateway): State<Arc<Gateway>>,
    Extension(Peer(peer)): Extension<Peer>,
    path: Result<Path<Vec<(String, String)>>, PathRejection>,
    request: Request<Body>,
) -> Response {
    // A path that is not UTF-8 is that of no action.
    let path = path.map(|Path(path)| path).unwrap_or_default();
    let name = path.iter().find(|(name, _)| name == "action").map_or("", |(_, value)| value);
    let action = Action::from_name(name);
    let mut facts = gateway.observer.begin(action, request.headers(), peer);
    let outcome = match action {
        Some(action) => carry_out(&gateway, action, request, &mut facts).await,
        None => match identify(&gateway, request.headers(), &mut facts) {
            Ok(_) => Err(refused(StatusCode::NOT_FOUND, "NotFound", "no such action of the Data API")),
            Err(refused) => Err(refused),
        },
    };
    let response = outcome.unwrap_or_else(|refused| {
        facts.error_code = Some(refused.body.error_code.clone());
        refused.into_response()
    });
    gateway.observer.answered(facts, response)
}

async fn carry_out(
    gateway: &Arc<Gateway>,
    action: Action,
    request: Request<Body>,
    facts: &mut Facts,
) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let version = head.version;
    let caller = identify(gateway, &head.headers, facts)?;
    if let Some(rates) = &gateway.rates {
        rates.count(&caller.name).map_err(|wait| {
            let error = "more requests come with this key than it may make: try again later";
            refused(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", error).after(wait)
        })?;
    }
    let seat = Arc::clone(&gateway.places).try_acquire_owned().map_err(|_| {
        let error = "as many requests are being carried out as there may be: try again later";
        refused(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", error)
    })?;
    accept_content_type(&head.headers)?;
    let style = answer_style(&head.headers, gateway.style);
    let (body, mut room) = gateway.room.read(&gateway.limits, body).await?;
    facts.received = body.len();
    let request = ejson::parse_document(&body).map_err(|error| {
        refused(StatusCode::BAD_REQUEST, "InvalidParameter", format!("the body is {}", error.message))
    })?;
    drop(body);
    let call = Call { gateway, caller: &caller, action, style, comment: facts.comment() };
    let place = Arc::new(call.place(&request)?);
    facts.place = Some(Arc::clone(&place));
    call.admit(&place)?;
    let parts = Parts::of(action, &request)?;
    room.grow(&gateway.room, parts.memory()?)?;
    let checked = call.check(&place, parts)?;
    let answered = tokio::time::timeout(gateway.limits.request + LATE, actions::run(&call, &place, &checked));
    let answered = answered.await.map_err(|_| {
        let undone = if action.writes() { "; what it should change may be changed or not" } else { "" };
        let error = format!("{action} took longer than {} s{undone}", gateway.limits.request.as_secs_f64());
        refused(StatusCode::GATEWAY_TIMEOUT, "ExecutionTimeLimitExceeded", error)
    })??;
    let (status, body) = match answered {
        // What is written is written: its answer has the room of its request.
        Answer::Whole(status, text) if action.writes() => (status, Body::from(room.into_part(text))),
        Answer::Whole(status, text) => {
            drop(room);
            (status, Body::from(gateway.room.hold(text)?))
        }
        Answer::Stream(body) => (StatusCode::OK, body),
    };
    let body = taking::body(body, seat, (version == Version::HTTP_2).then_some(gateway.limits.stalled));
    Ok(answer(status, if style == Style::Plain { JSON } else { EJSON }, body))
}

/// Who calls; in Atlas's own words and statuses where it is nobody.
fn identify(gateway: &Gateway, headers: &HeaderMap, facts: &mut Facts) -> Result<Caller, Refused> {
    let caller = gateway.auth.caller(headers).map_err(|unknown| {
        facts.reason = Some(unknown.reason());
        match unknown {
            Unknown::Unsaid => {
                let error = "no authentication methods were specified";
                refused(StatusCode::BAD_REQUEST, "InvalidParameter", error)
            }
            Unknown::Key | Unknown::Token(_) => {
                let error = "invalid session: error finding user for endpoint";
                refused(StatusCode::UNAUTHORIZED, "InvalidSession", error)
            }
        }
    })?;
    facts.caller = Some(Arc::clone(&caller.name));
    Ok(caller)
}

fn accept_content_type(headers: &HeaderMap) -> Result<(), Refused> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(JSON) || media_type.eq_ignore_ascii_case(EJSON) {
        return Ok(());
    }
    let error = format!("the Content-Type must be {JSON} or {EJSON}");
    Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "InvalidParameter", error))
}

/// Canonical EJSON or plain JSON, for who asks; EJSON for who would have either
/// as much; `default` for who asks for neither.
fn answer_style(headers: &HeaderMap, default: Style) -> Style {
    let (mut style, mut liked) = (default, 0.0);
    let asked = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in asked.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let offered = match media_type {
            _ if media_type.eq_ignore_ascii_case(EJSON) => Style::Canonical,
            _ if media_type.eq_ignore_ascii_case(JSON) => Style::Plain,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.map_or(1.0, |quality| quality.trim().parse::<f32>().unwrap_or(1.0));
        if quality > liked || (quality > 0.0 && quality >= liked && offered == Style::Canonical) {
            (style, liked) = (offered, quality);
        }
    }
    style
}
