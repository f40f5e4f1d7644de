//! Builds responses.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::data_api::protocol::JSON;
use crate::gateway::api_error::ApiError;
use crate::gateway::limits::response_body::ResponseBody;
use crate::gateway::telemetry::RequestRecord;

/// A response with a media type.
pub(super) fn response<B>(status: StatusCode, content_type: &'static str, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A response that must not be cached.
pub(super) fn uncached(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = response(status, content_type, body.into());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The response of an error, whose code is recorded.
pub(super) fn failed(record: &mut RequestRecord, error: ApiError) -> Response<ResponseBody> {
    record.error_code = Some(error.body.error_code.clone());
    error.into_response().map(ResponseBody::from)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = response(self.status, JSON, Body::from(self.body.to_json()));
        if let Some(wait) = self.retry_after {
            // Rounded up to whole seconds.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}
