//! The Data API path: MongoDB over HTTP.

pub mod client;
pub mod pages;
pub mod protocol;
pub mod route;
