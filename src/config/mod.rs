//! Settings of both paths, from variables or arguments. Nothing here does I/O, and no error message
//! contains a given value.

mod connection_string;
mod data_api;
mod names;
mod variables;

pub use connection_string::{
    ConnectionDefaults, DriverSettings, ServerIdentity, uri_with_credentials, uri_with_options, uri_without_options,
};
pub use data_api::DataApiSettings;
pub use names::{collection_name, database_name};
pub use variables::{VARIABLES, Value, data_api_settings, driver_settings};
