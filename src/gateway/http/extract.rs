//! Extracts the parts of a request: the action, the caller, and the media types.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::sync::OwnedSemaphorePermit;

use crate::codec::ejson::Style;
use crate::data_api::protocol::{Action, EJSON, JSON};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::auth::AuthError;
use crate::gateway::auth::logins::Provider;
use crate::gateway::auth::permission::Caller;
use crate::gateway::compatibility::Compatibility;
use crate::gateway::response_format::{Framing, NDJSON, ResponseFormat, style_of};
use crate::gateway::state::Gateway;
use crate::gateway::telemetry::RequestRecord;

/// The media type that `curl -d` sends.
const FORM: &str = "application/x-www-form-urlencoded";

/// The action that the path names; `None` if there is no such action.
pub(super) struct ActionPath(pub(super) Option<Action>);

impl<S: Send + Sync> FromRequestParts<S> for ActionPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Action::from_name(&path_parameter(parts, state, "action").await)))
    }
}

/// The provider that the path of a login names; `None` if there is no such provider.
pub(super) struct ProviderPath(pub(super) Option<Provider>);

impl<S: Send + Sync> FromRequestParts<S> for ProviderPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Provider::from_name(&path_parameter(parts, state, "provider").await)))
    }
}

/// A parameter of the path; empty if there is none, or if the path is not UTF-8.
async fn path_parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> String {
    let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
    let path = path.map(|Path(path)| path).unwrap_or_default();
    path.into_iter().find(|(parameter, _)| parameter == name).map_or_else(String::new, |(_, value)| value)
}

/// The action that a request's path names if it is the path of an action: the same paths as the router's.
pub(super) fn action_of_path(path: &str) -> Option<Option<Action>> {
    let name = match path.strip_prefix("/action/") {
        Some(name) => name,
        None => {
            let (_app, rest) = path.strip_prefix("/app/")?.split_once('/')?;
            let version = rest.strip_prefix("endpoint/data/")?;
            version.strip_prefix("v1/action/").or_else(|| version.strip_prefix("beta/action/"))?
        }
    };
    let is_segment = !name.is_empty() && !name.contains('/');
    // A name that is not UTF-8 names no action.
    is_segment.then(|| Action::from_name(&percent_decode_str(name).decode_utf8().ok()?))
}

/// Authenticates a request. Its errors have Atlas's statuses and messages.
pub(super) async fn authenticate(
    gateway: &Gateway,
    headers: &HeaderMap,
    record: &mut RequestRecord,
) -> ApiResult<Caller> {
    match gateway.authenticator.authenticate(headers, record.peer()).await {
        Ok(caller) => {
            record.caller = Some(Arc::clone(&caller.name));
            Ok(caller)
        }
        Err(error) => {
            let message = "invalid session: error finding user for endpoint";
            Err(rejected(error, record, "InvalidSession", message))
        }
    }
}

/// The response to a failed authentication. Wrong credentials of any kind get the same code and message.
pub(super) fn rejected(
    error: AuthError,
    record: &mut RequestRecord,
    error_code: &'static str,
    message: &'static str,
) -> ApiError {
    record.reason = Some(error.reason());
    match error {
        AuthError::NoCredentials => ApiError::invalid("no authentication methods were specified"),
        AuthError::MissingHeader(name) => ApiError::invalid(format!("the header '{name}' is missing")),
        AuthError::InvalidHeader(name) => ApiError::invalid(format!("the header '{name}' must be given once, as text")),
        AuthError::InvalidKey | AuthError::InvalidToken(_) | AuthError::InvalidPassword => {
            ApiError::new(StatusCode::UNAUTHORIZED, error_code, message)
        }
        AuthError::TooManyFailures(wait) => {
            let message = "too many failed authentications from this address: check the credentials and try later";
            ApiError::too_many_requests(message).retry_after(wait)
        }
        AuthError::TooManyTries(wait) => {
            ApiError::too_many_requests("too many logins of this user or address: try again later").retry_after(wait)
        }
        AuthError::Busy => ApiError::too_many_requests("too many logins at the same time: try again later"),
    }
}

/// Counts a request, if the rate of callers is limited.
pub(super) fn count_request(gateway: &Gateway, caller: &Caller) -> ApiResult<()> {
    let Some(limiter) = &gateway.rate_limiter else { return Ok(()) };
    limiter.count(&caller.name).map_err(|wait| {
        ApiError::too_many_requests("the caller's request rate is exceeded: try again later").retry_after(wait)
    })
}

/// Takes the place of a request.
pub(super) fn request_slot(gateway: &Gateway) -> ApiResult<OwnedSemaphorePermit> {
    Arc::clone(&gateway.request_slots)
        .try_acquire_owned()
        .map_err(|_| ApiError::too_many_requests("too many concurrent requests: try again later"))
}

/// Rejects bodies that are neither JSON nor EJSON. A body without a `Content-Type` is read as JSON: no browser sends one
/// for another origin without its consent, since the key is in a header.
pub(super) fn check_content_type(headers: &HeaderMap, compatibility: Compatibility) -> ApiResult<()> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let content_type = content_type.to_str().unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is = |accepted: &str| media_type.eq_ignore_ascii_case(accepted);
    if is(JSON) || is(EJSON) || (is(FORM) && compatibility.accepts_form_content_type()) {
        return Ok(());
    }
    let message = format!("the Content-Type must be {JSON} or {EJSON}");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "InvalidParameter", message))
}

/// The media types that a client accepts, with their parameters.
pub(super) fn accepted_ranges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','))
}

/// Selects the format of the response: the media type that `Accept` prefers, EJSON if others are
/// equally preferred, `default` if it names none. Only `find` and `aggregate` have NDJSON.
pub(super) fn response_format(headers: &HeaderMap, default: Style, action: Action) -> ApiResult<ResponseFormat> {
    let (mut format, mut best) = (ResponseFormat::of(default), 0.0);
    let has_lines = matches!(action, Action::Find | Action::Aggregate);
    for range in accepted_ranges(headers) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let offered = match media_type {
            _ if media_type.eq_ignore_ascii_case(EJSON) => ResponseFormat::of(Style::Canonical),
            _ if media_type.eq_ignore_ascii_case(JSON) => ResponseFormat::of(Style::Plain),
            _ if has_lines && media_type.eq_ignore_ascii_case(NDJSON) => {
                ResponseFormat { style: lines_style(parts.clone())?, framing: Framing::Lines }
            }
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.map_or(1.0, |quality| quality.trim().parse::<f32>().unwrap_or(1.0));
        let is_ejson = offered == ResponseFormat::of(Style::Canonical);
        if quality > best || (quality > 0.0 && quality >= best && is_ejson) {
            (format, best) = (offered, quality);
        }
    }
    Ok(format)
}

/// The style of NDJSON: the parameter `format` of the media type, or else relaxed Extended JSON.
fn lines_style<'p>(mut parameters: impl Iterator<Item = &'p str>) -> ApiResult<Style> {
    let Some(format) = parameters.find_map(|parameter| parameter.strip_prefix("format=")) else {
        return Ok(Style::Relaxed);
    };
    style_of(format.trim_matches('"')).ok_or_else(|| {
        ApiError::invalid(format!("the parameter 'format' of {NDJSON} must be relaxed, canonical or plain"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::routing::post;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use crate::gateway::http::router::ACTION_PATHS;

    #[tokio::test]
    async fn the_paths_of_actions_are_those_of_the_router() {
        let found = async |ActionPath(action): ActionPath| action.map_or("unknown", Action::name);
        let router = ACTION_PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, post(found)));
        let service = TowerToHyperService::new(router.fallback(async || "no action"));
        for path in [
            "/action/insertOne",
            "/action/find",
            "/action/insert%4Fne",
            "/action/other",
            "/action/%FF",
            "/action/%2F",
            "/action/",
            "/action",
            "/action/find/",
            "/action/find/one",
            "//action/find",
            "/Action/find",
            "/app/a/endpoint/data/v1/action/insertOne",
            "/app/a/endpoint/data/beta/action/insertOne",
            "/app/a%2Fb/endpoint/data/v1/action/find",
            "/app/a/endpoint/data/v2/action/find",
            "/app//endpoint/data/v1/action/find",
            "/app/a/b/endpoint/data/v1/action/find",
            "/app/a/endpoint/data/v1/action/",
            "/app/a/endpoint/data/v1/action/find/x",
            "/app/a/action/find",
            "/app/action/find",
            "/",
        ] {
            let request = Request::post(path).body(Body::empty()).unwrap();
            let routed = to_bytes(service.call(request).await.unwrap().into_body(), 100).await.unwrap();
            let named = match action_of_path(path) {
                Some(action) => action.map_or("unknown", Action::name),
                None => "no action",
            };
            assert_eq!(named.as_bytes(), &routed[..], "{path}");
        }
    }
}
