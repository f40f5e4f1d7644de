//! Requests in, answers out.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::Gateway;
use super::actions::{self, Answer};
use crate::codec::ejson::{self, Style};
use crate::data_api::protocol::{Action, EJSON, ErrorBody, JSON};

/// The routes: the Data API's actions, where Atlas had them and without Atlas's prefix.
pub(super) fn router(gateway: Arc<Gateway>) -> Router {
    let action = || post(run_action).fallback(method_not_allowed);
    Router::new()
        .route("/action/{action}", action())
        .route("/app/{app}/endpoint/data/v1/action/{action}", action())
        .route("/app/{app}/endpoint/data/beta/action/{action}", action())
        .fallback(not_found)
        .with_state(gateway)
}

struct Refused(StatusCode, ErrorBody);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = answer(self.0, JSON, self.1.to_json());
        if self.0 == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn refused(status: StatusCode, error_code: &str, error: impl Into<String>) -> Refused {
    Refused(status, ErrorBody::new(error_code, error))
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static(content_type))], body.into()).into_response()
}

async fn not_found() -> Refused {
    refused(StatusCode::NOT_FOUND, "NotFound", "no such path: actions are POSTed to …/action/insertOne and its like")
}

async fn method_not_allowed() -> Response {
    let mut response =
        refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "actions are POSTed").into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn run_action(
    State(gateway): State<Arc<Gateway>>,
    Path(path): Path<Vec<(String, String)>>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    authenticate(&gateway, &head.headers)?;
    let name = path.iter().find(|(name, _)| name == "action").map_or("", |(_, value)| value);
    let Some(action) = Action::from_name(name) else {
        return Err(refused(StatusCode::NOT_FOUND, "NotFound", "no such action of the Data API"));
    };
    accept_content_type(&head.headers)?;
    let style = answer_style(&head.headers);
    let (body, _room) = read(&gateway, &head.headers, body).await?;
    let request = ejson::parse_document(&body).map_err(|error| {
        refused(StatusCode::BAD_REQUEST, "InvalidParameter", format!("the body is {}", error.message))
    })?;
    let Answer { status, body } =
        actions::run(&gateway, action, &request, style).await.map_err(|(status, body)| Refused(status, body))?;
    Ok(answer(status, if style == Style::Plain { JSON } else { EJSON }, body))
}

fn authenticate(gateway: &Gateway, headers: &HeaderMap) -> Result<(), Refused> {
    // Atlas's own words and statuses for both cases.
    let Some(key) = headers.get("api-key").or_else(|| headers.get("apikey")) else {
        let error = "no authentication methods were specified";
        return Err(refused(StatusCode::BAD_REQUEST, "InvalidParameter", error));
    };
    if gateway.keys.allow(key.as_bytes()) {
        Ok(())
    } else {
        Err(refused(StatusCode::UNAUTHORIZED, "InvalidSession", "invalid session: error finding user for endpoint"))
    }
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

/// Canonical EJSON for who asks for EJSON; else plain JSON.
fn answer_style(headers: &HeaderMap) -> Style {
    let asked = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_ejson = asked
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(EJSON)));
    if wants_ejson { Style::Canonical } else { Style::Plain }
}

/// Reads a body, once there is room for it; the room is its own until the answer is there.
async fn read<'g>(
    gateway: &'g Gateway,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, SemaphorePermit<'g>), Refused> {
    let limit = gateway.limits.body_bytes;
    let too_large =
        || refused(StatusCode::PAYLOAD_TOO_LARGE, "InvalidParameter", format!("the body is larger than {limit} bytes"));
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let kib = u32::try_from(announced.unwrap_or(limit) / 1024 + 1).unwrap_or(u32::MAX);
    let room = gateway.room.try_acquire_many(kib).map_err(|_| {
        let error = "as much is being carried out as there is room for: try again later";
        refused(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", error)
    })?;
    match timeout(gateway.limits.body, to_bytes(body, limit)).await {
        Ok(Ok(body)) => Ok((body, room)),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "InvalidParameter", "the body did not come in time")),
        Ok(Err(error)) => {
            // What the limit raises, and what a broken connection raises, are told apart by their source only.
            let length_limit = std::error::Error::source(&error)
                .is_some_and(|source| source.to_string().contains("length limit exceeded"));
            Err(if length_limit {
                too_large()
            } else {
                refused(StatusCode::BAD_REQUEST, "InvalidParameter", "the body broke off")
            })
        }
    }
}
