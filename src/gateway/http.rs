//! Requests in, answers out.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

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

pub(super) struct Refused(StatusCode, ErrorBody);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = answer(self.0, JSON, self.1.to_json());
        if self.0 == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

pub(super) fn refused(status: StatusCode, error_code: &str, error: impl Into<String>) -> Refused {
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
    let (body, room) = gateway.room.read(&gateway.limits, body).await?;
    let request = ejson::parse_document(&body).map_err(|error| {
        refused(StatusCode::BAD_REQUEST, "InvalidParameter", format!("the body is {}", error.message))
    })?;
    drop(body);
    let answered =
        actions::run(&gateway, action, &request, style).await.map_err(|(status, body)| Refused(status, body))?;
    room.end();
    let (status, body) = match answered {
        Answer::Whole(status, text) => (status, gateway.room.hold(text)?),
        Answer::Stream(body) => (StatusCode::OK, body),
    };
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
