//! The routes of logins, as Atlas App Services had them.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf};
use serde_json::{Value, json};

use super::extract::{ProviderPath, count_request, rejected, request_slot};
use super::respond::{failed, response};
use crate::data_api::protocol::JSON;
use crate::error::{Error, ErrorKind};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::auth::logins::{LoggedIn, LoginCredentials, LoginsConfig, PasswordCredentials, Provider};
use crate::gateway::auth::signing_keys::TokenUse;
use crate::gateway::auth::{AuthError, bearer_token};
use crate::gateway::limits::Limits;
use crate::gateway::limits::response_body::ResponseBody;
use crate::gateway::request::parse_body;
use crate::gateway::server::peer::Peer;
use crate::gateway::state::Gateway;
use crate::gateway::telemetry::{RequestRecord, Telemetry};
use crate::secret::Secret;

/// The largest body of a login, in bytes.
const MAX_BODY_BYTES: usize = 32 * 1024;
/// The device ID of clients without a device, as in Atlas.
const DEVICE_ID: &str = "000000000000000000000000";

/// Adds the routes.
pub(super) fn add_routes(router: Router<Arc<Gateway>>) -> Router<Arc<Gateway>> {
    let only = |methods: MethodRouter<Arc<Gateway>>| methods.fallback(method_not_allowed);
    router
        .route("/api/client/v2.0/app/{app}/auth/providers/{provider}/login", only(post(log_in)))
        .route("/api/client/v2.0/app/{app}/location", only(get(location)))
        .route("/api/client/v2.0/auth/session", only(post(refresh).delete(revoke)))
        .route("/api/client/v2.0/auth/profile", only(get(profile)))
}

/// A request of these routes.
struct Call<'a> {
    gateway: &'a Gateway,
    logins: &'a LoginsConfig,
    parts: Parts,
    record: &'a mut RequestRecord,
}

/// `POST …/auth/providers/{provider}/login`.
async fn log_in(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    ProviderPath(provider): ProviderPath,
    request: Request<Body>,
) -> Response {
    recorded(&gateway, peer, "login", request, async |call, body| {
        let provider = provider.filter(|provider| call.logins.has(*provider)).ok_or_else(|| {
            let message = "no such authentication provider: the gateway's configuration lists them in logins.providers";
            ApiError::new(StatusCode::NOT_FOUND, "AuthProviderNotFound", message)
        })?;
        let limits = Limits { body_bytes: MAX_BODY_BYTES, ..call.gateway.limits.clone() };
        let (body, _reservation) = call.gateway.memory.read_body(&limits, body).await?;
        call.record.received = body.len();
        let given = match body.trim_ascii().is_empty() {
            // A login without credentials may have no body.
            true => RawDocumentBuf::new(),
            false => parse_body(&body)?,
        };
        let given = credentials(provider, &given)?;
        let logged_in = match call.gateway.authenticator.log_in(given, call.record.peer()).await {
            Ok(logged_in) => logged_in,
            Err(error) => {
                let (error_code, message) = match provider {
                    Provider::LocalUserpass => ("InvalidPassword", "invalid username/password"),
                    Provider::ApiKey => ("AuthError", "invalid API key"),
                    Provider::AnonUser | Provider::CustomToken => ("AuthError", "invalid custom token"),
                };
                return Err(rejected(error, call.record, error_code, message));
            }
        };
        call.record.caller = Some(Arc::clone(&logged_in.caller.name));
        count_request(call.gateway, &logged_in.caller)?;
        if let Some(sessions) = &call.gateway.sessions {
            let began = sessions.begin(&logged_in, call.logins.refresh_token_seconds()).await;
            began.map_err(|error| unavailable(call.gateway, &error))?;
        }
        let authenticator = &call.gateway.authenticator;
        let tokens = json!({
            "access_token": authenticator.access_token(&logged_in).map_err(|_| unsigned())?,
            "refresh_token": authenticator.refresh_token(&logged_in).map_err(|_| unsigned())?,
            "user_id": logged_in.user_id(),
            "device_id": DEVICE_ID,
        });
        Ok((StatusCode::OK, tokens))
    })
    .await
}

/// `POST …/auth/session`: another access token for a refresh token.
async fn refresh(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response {
    recorded(&gateway, peer, "session", request, async |call, _| {
        let session = session(call, TokenUse::Refresh)?;
        count_request(call.gateway, &session.caller)?;
        if let Some(sessions) = &call.gateway.sessions {
            let active = sessions.is_active(session.session_id()).await;
            if !active.map_err(|error| unavailable(call.gateway, &error))? {
                let error = AuthError::InvalidToken("the session was revoked or has ended");
                return Err(invalid_session(error, call.record));
            }
        }
        let token = call.gateway.authenticator.access_token(&session).map_err(|_| unsigned())?;
        Ok((StatusCode::CREATED, json!({ "access_token": token })))
    })
    .await
}

/// `DELETE …/auth/session`: ends the session of a refresh token.
async fn revoke(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response {
    recorded(&gateway, peer, "session", request, async |call, _| {
        let session = session(call, TokenUse::Refresh)?;
        count_request(call.gateway, &session.caller)?;
        let Some(sessions) = &call.gateway.sessions else {
            let message = "the gateway stores no sessions, so none can be revoked: configure logins.sessions";
            return Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message));
        };
        let revoked = sessions.revoke(session.session_id()).await;
        revoked.map_err(|error| unavailable(call.gateway, &error))?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
    .await
}

/// `GET …/auth/profile`: the user of an access token.
async fn profile(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response {
    recorded(&gateway, peer, "profile", request, async |call, _| {
        let session = session(call, TokenUse::Access)?;
        count_request(call.gateway, &session.caller)?;
        let user = &session.caller.user;
        let of = |name: &str| json_of(user.get_document(name).ok());
        let provider = session.provider().name();
        let identity = json!({ "id": session.user_id(), "provider_type": provider });
        let profile = json!({
            "user_id": session.user_id(),
            "identities": [identity],
            "type": "normal",
            "data": of("data"),
            "custom_data": of("custom_data"),
        });
        Ok((StatusCode::OK, profile))
    })
    .await
}

/// `GET …/location`: where clients find the gateway.
async fn location(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response {
    recorded(&gateway, peer, "location", request, async |call, _| {
        let Some(url) = call.logins.public_url() else {
            let message = "the gateway does not know its URL: configure logins.public_url";
            return Err(ApiError::new(StatusCode::NOT_FOUND, "NotFound", message));
        };
        let websocket = url.replacen("http", "ws", 1);
        let location = json!({
            "deployment_model": "GLOBAL",
            "location": "",
            "hostname": url,
            "ws_hostname": websocket,
        });
        Ok((StatusCode::OK, location))
    })
    .await
}

async fn method_not_allowed() -> Response {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "the path has no such method").into_response()
}

/// Runs a step that returns a status and a JSON body, within the limits of all requests, and records it.
async fn recorded(
    gateway: &Arc<Gateway>,
    peer: Peer,
    name: &'static str,
    request: Request<Body>,
    step: impl AsyncFnOnce(&mut Call<'_>, Body) -> ApiResult<(StatusCode, Value)>,
) -> Response {
    let mut record = gateway.telemetry.begin(None, request.headers(), peer);
    record.route = Some(name);
    let (parts, body) = request.into_parts();
    let result = match (gateway.authenticator.logins(), request_slot(gateway)) {
        (Some(logins), Ok(_slot)) => step(&mut Call { gateway, logins, parts, record: &mut record }, body).await,
        (None, _) => Err(ApiError::new(StatusCode::NOT_FOUND, "NotFound", "no such path")),
        (_, Err(error)) => Err(error),
    };
    let mut answer = match result {
        Ok((StatusCode::NO_CONTENT, _)) => {
            let mut empty = Response::new(ResponseBody::from(Body::empty()));
            *empty.status_mut() = StatusCode::NO_CONTENT;
            empty
        }
        Ok((status, body)) => response(status, JSON, Body::from(body.to_string()).into()),
        Err(error) => failed(&mut record, error),
    };
    // Tokens must not be stored by a proxy.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Telemetry::finish(record, answer).map(Body::new)
}

/// Reads the body of a login.
fn credentials(provider: Provider, body: &RawDocument) -> ApiResult<LoginCredentials> {
    let names: &[&str] = match provider {
        Provider::LocalUserpass => &["username", "password"],
        Provider::ApiKey => &["key"],
        Provider::CustomToken => &["token"],
        Provider::AnonUser => &[],
    };
    let mut values = [None, None];
    for field in body {
        let (name, value) = field.map_err(|_| ApiError::unreadable())?;
        let name = name.as_str();
        // What App Services' clients say about themselves.
        if name == "options" {
            continue;
        }
        let Some(slot) = names.iter().position(|known| *known == name).and_then(|index| values.get_mut(index)) else {
            let known = if names.is_empty() { "no fields" } else { &names.join(" and ") };
            return Err(ApiError::invalid(format!("the body has an unknown field: this login takes {known}")));
        };
        let RawBsonRef::String(text) = value else {
            return Err(ApiError::invalid(format!("'{name}' must be a string")));
        };
        if slot.replace(text).is_some() {
            return Err(ApiError::invalid(format!("'{name}' is given more than once")));
        }
    }
    let mut given = names.iter().zip(values).map(|(name, value)| value.ok_or_else(|| ApiError::missing(name)));
    let mut next = || given.next().unwrap_or(Ok(""));
    Ok(match provider {
        Provider::LocalUserpass => {
            let name = next()?.to_owned();
            LoginCredentials::Password(PasswordCredentials { name, password: Secret::new(next()?) })
        }
        Provider::ApiKey => LoginCredentials::Key(Secret::new(next()?)),
        Provider::CustomToken => LoginCredentials::Token(Secret::new(next()?)),
        Provider::AnonUser => LoginCredentials::Anonymous,
    })
}

fn sent_token<'c>(call: &'c mut Call<'_>) -> ApiResult<&'c str> {
    match call.parts.headers.get(AUTHORIZATION).and_then(|value| bearer_token(value.to_str().ok()?)) {
        Some(token) => Ok(token),
        None => Err(rejected(AuthError::NoCredentials, call.record, "", "")),
    }
}

/// The session of the token that a request sends.
fn session(call: &mut Call<'_>, token_use: TokenUse) -> ApiResult<LoggedIn> {
    let token = sent_token(call)?.to_owned();
    let session = call.gateway.authenticator.session_of(&token, token_use, call.record.peer());
    let session = session.map_err(|error| invalid_session(error, call.record))?;
    call.record.caller = Some(Arc::clone(&session.caller.name));
    Ok(session)
}

fn invalid_session(error: AuthError, record: &mut RequestRecord) -> ApiError {
    rejected(error, record, "InvalidSession", "invalid session")
}

fn unavailable(gateway: &Gateway, error: &Error) -> ApiError {
    gateway.telemetry.log_limited("warning", &format!("sessions cannot be read or written: {}", error.message));
    let message = "the gateway cannot read or write its sessions now: try again later";
    let status = match error.kind {
        ErrorKind::Operation | ErrorKind::Write | ErrorKind::WriteConcern => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    ApiError::new(status, "InternalServerError", message)
}

fn unsigned() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "the token cannot be signed")
}

fn json_of(document: Option<&Document>) -> Value {
    document.and_then(|document| serde_json::to_value(document).ok()).unwrap_or_else(|| json!({}))
}
