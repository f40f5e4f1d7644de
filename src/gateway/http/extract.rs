//! Extracts the parts of a request: the action, the caller, and the media types.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use crate::codec::ejson::Style;
use crate::data_api::protocol::{Action, EJSON, JSON};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::auth::AuthError;
use crate::gateway::auth::permission::Caller;
use crate::gateway::state::Gateway;
use crate::gateway::telemetry::RequestRecord;

/// The action that the path names; `None` if there is no such action.
pub(super) struct ActionPath(pub(super) Option<Action>);

impl<S: Send + Sync> FromRequestParts<S> for ActionPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        // A path that is not UTF-8 names no action.
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let path = path.map(|Path(path)| path).unwrap_or_default();
        let name = path.iter().find(|(name, _)| name == "action").map_or("", |(_, value)| value);
        Ok(Self(Action::from_name(name)))
    }
}

/// Authenticates a request. Its errors have Atlas's statuses and messages.
pub(super) fn authenticate(gateway: &Gateway, headers: &HeaderMap, record: &mut RequestRecord) -> ApiResult<Caller> {
    let caller = gateway.authenticator.authenticate(headers).map_err(|error| {
        record.reason = Some(error.reason());
        match error {
            AuthError::NoCredentials => ApiError::invalid("no authentication methods were specified"),
            AuthError::InvalidKey | AuthError::InvalidToken(_) => {
                let message = "invalid session: error finding user for endpoint";
                ApiError::new(StatusCode::UNAUTHORIZED, "InvalidSession", message)
            }
        }
    })?;
    record.caller = Some(Arc::clone(&caller.name));
    Ok(caller)
}

/// Rejects bodies that are neither JSON nor EJSON.
pub(super) fn check_content_type(headers: &HeaderMap) -> ApiResult<()> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(JSON) || media_type.eq_ignore_ascii_case(EJSON) {
        return Ok(());
    }
    let message = format!("the Content-Type must be {JSON} or {EJSON}");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "InvalidParameter", message))
}

/// Selects the format of the response: the media type that `Accept` prefers, EJSON if both are
/// equally preferred, `default` if it names neither.
pub(super) fn response_style(headers: &HeaderMap, default: Style) -> Style {
    let (mut style, mut best) = (default, 0.0);
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let offered = match media_type {
            _ if media_type.eq_ignore_ascii_case(EJSON) => Style::Canonical,
            _ if media_type.eq_ignore_ascii_case(JSON) => Style::Plain,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.map_or(1.0, |quality| quality.trim().parse::<f32>().unwrap_or(1.0));
        if quality > best || (quality > 0.0 && quality >= best && offered == Style::Canonical) {
            (style, best) = (offered, quality);
        }
    }
    style
}
