//! The Data API path: MongoDB over HTTP.

pub mod client;
pub mod protocol;
pub mod route;
