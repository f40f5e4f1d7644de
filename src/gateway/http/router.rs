//! The routes and the layers around them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Method, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{handlers, logins, watch};
use crate::gateway::api_error::ApiError;
use crate::gateway::state::Gateway;

/// How long browsers may cache the result of a preflight request.
const PREFLIGHT_CACHE_TIME: Duration = Duration::from_secs(3600);

/// The paths of the actions.
pub(super) const ACTION_PATHS: [&str; 3] = [
    "/action/{action}",
    "/app/{app}/endpoint/data/v1/action/{action}",
    "/app/{app}/endpoint/data/beta/action/{action}",
];

/// The paths of change streams.
const WATCH_PATHS: [&str; 3] = ["/watch", "/app/{app}/endpoint/data/v1/watch", "/app/{app}/endpoint/data/beta/watch"];
/// The paths of the description: clients ask for it below their base URL.
const DESCRIPTION_PATHS: [&str; 3] =
    ["/openapi.json", "/app/{app}/endpoint/data/v1/openapi.json", "/app/{app}/endpoint/data/beta/openapi.json"];

/// Whether health checks and metrics are served beside the actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum OperatorPages {
    /// There is no `admin_listen`.
    Here,
    /// `admin_listen` serves them.
    Elsewhere,
}

/// Health checks and metrics.
fn operator_pages() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/healthz", get(handlers::healthy))
        .route("/readyz", get(handlers::ready))
        .route("/metrics", get(handlers::metrics))
}

/// Builds the router of `admin_listen`.
pub(in crate::gateway) fn build_operator_pages(gateway: Arc<Gateway>) -> Router {
    operator_pages().fallback(handlers::not_found).layer(from_fn(reject_ambiguous_framing)).with_state(gateway)
}

/// Builds the router: the actions with and without Atlas's prefixes, and the operator's pages.
pub(in crate::gateway) fn build(gateway: Arc<Gateway>, cors_origins: &[String], pages: OperatorPages) -> Router {
    let action = || post(handlers::run_action).fallback(handlers::method_not_allowed);
    let actions = ACTION_PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, action()));
    let watch =
        || get(watch::watch).head(watch::method_not_allowed).post(watch::watch).fallback(watch::method_not_allowed);
    let actions = WATCH_PATHS.into_iter().fold(actions, |router, path| router.route(path, watch()));
    let has_logins = gateway.authenticator.logins().is_some();
    let actions = if has_logins { logins::add_routes(actions) } else { actions };
    let pages = if pages == OperatorPages::Here { operator_pages() } else { Router::new() };
    let describe = || get(handlers::openapi_description);
    let described = DESCRIPTION_PATHS.into_iter().fold(actions, |router, path| router.route(path, describe()));
    let router = described
        .merge(pages)
        .route("/docs", get(async || Html(include_str!("docs.html"))))
        .fallback(handlers::not_found)
        .layer(from_fn(reject_ambiguous_framing))
        .with_state(gateway);
    if cors_origins.is_empty() { router } else { router.layer(cors(cors_origins, has_logins)) }
}

/// Whether a proxy in front cannot frame the body of a request in another way.
pub(super) fn has_unambiguous_framing(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Rejects a body that a proxy in front could frame differently, and closes the connection.
async fn reject_ambiguous_framing(request: Request<Body>, next: Next) -> Response {
    if has_unambiguous_framing(request.headers()) {
        return next.run(request).await;
    }
    let mut response = ApiError::invalid("the Transfer-Encoding must be absent or 'chunked'").into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Allows cross-origin requests from these origins.
fn cors(origins: &[String], has_logins: bool) -> CorsLayer {
    let with_logins = [Method::POST, Method::GET, Method::DELETE];
    let methods = if has_logins { &with_logins[..] } else { &with_logins[..2] };
    // The library @taskless/mongo-data-api sends `x-realm-op-name` with each request.
    let names = [
        "api-key",
        "apikey",
        "email",
        "password",
        "jwttokenstring",
        "x-request-id",
        "x-realm-op-name",
        "traceparent",
        "tracestate",
    ]
    .map(HeaderName::from_static);
    let allowed = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok())),
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(methods.to_vec())
        .allow_headers(
            [ACCEPT, AUTHORIZATION, CONTENT_TYPE, watch::LAST_EVENT_ID].into_iter().chain(names).collect::<Vec<_>>(),
        )
        .expose_headers([RETRY_AFTER, HeaderName::from_static("x-request-id")])
        .max_age(PREFLIGHT_CACHE_TIME)
}
