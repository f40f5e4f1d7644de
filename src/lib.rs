//! Fast, safe MongoDB storage for CloudBlue Connect extensions: the Rust core.
//!
//! Only the `python` module depends on Python. All other modules compile and are tested without it.

pub mod coalesce;
pub mod codec;
pub mod config;
pub mod cursor;
pub mod data_api;
pub mod driver;
pub mod error;
pub mod events;
pub mod gateway;
pub mod giving_up;
pub mod limits;
pub mod mailbox;
#[cfg(feature = "python")]
pub mod python;
mod redact;
pub mod runtime;
pub mod secret;
pub mod store;
