//! HTTP: routes, headers, responses, and the OpenAPI description.

mod extract;
mod handlers;
mod logins;
pub mod openapi;
mod respond;
pub(super) mod router;
pub(super) mod service;
mod watch;
