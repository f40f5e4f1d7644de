//! Fast, safe MongoDB storage for CloudBlue Connect extensions: the Rust core.
//!
//! Everything but `python` knows nothing of Python and is tested without it.

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
pub mod runtime;
pub mod secret;
pub mod store;
