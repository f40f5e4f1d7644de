//! Settings of both paths, from variables or arguments. Nothing here does I/O, and no error message
//! contains a given value.

mod connection_string;
mod data_api;
mod names;
mod route;
mod variables;

pub(crate) use connection_string::needs_acknowledgment;
pub use connection_string::{
    ConnectionDefaults, DriverSettings, ServerIdentity, TimeLimits, uri_with_options, uri_without_options,
};
pub use data_api::DataApiSettings;
pub use names::{collection_name, database_name};
pub use route::{TlsRoute, secrets, userinfo};
pub use variables::{VARIABLES, Value, data_api_settings, driver_settings};
