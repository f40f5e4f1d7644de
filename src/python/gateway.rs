//! The gateway for the command line, and its key files.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{Error, ErrorKind};
use crate::gateway::{Flags, GatewayOptions, Permission, Right, Rule, keys, openapi_description, serve};
use crate::python::asyncio::call::raised;
use crate::python::convert::errors::{configuration_error, to_py};

/// Serve the Data API until SIGTERM or SIGINT, configured by a file or by flags. `listening` is
/// called once, with the URL of the gateway, and that of health checks and metrics if they have one of their own.
#[pyfunction]
#[pyo3(signature = (
    listening, *, config = None, mongodb_uri = None, keys_file = None, listen = "127.0.0.1:8080", data_source = None,
    access_log = false, connections = 1024
))]
#[allow(clippy::too_many_arguments)]
pub fn run_gateway(
    py: Python<'_>,
    listening: Py<PyAny>,
    config: Option<PathBuf>,
    mongodb_uri: Option<&str>,
    keys_file: Option<PathBuf>,
    listen: &str,
    data_source: Option<String>,
    access_log: bool,
    connections: usize,
) -> PyResult<()> {
    let options = match (&config, mongodb_uri, &keys_file) {
        (Some(config), ..) => GatewayOptions::from_file(config, connections),
        (None, Some(mongodb_uri), Some(keys_file)) => {
            let flags = Flags { mongodb_uri, keys_file, listen, data_source, access_log };
            GatewayOptions::from_flags(flags, connections)
        }
        _ => Err(Error::new(ErrorKind::Configuration, "set config, or mongodb_uri and keys_file")),
    };
    let options = raised(py, options)?;
    let served: Result<(), Error> = py.detach(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("connect-mongodb-gateway")
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Configuration, format!("the system cannot start threads ({error})"))
            })?;
        let served = runtime.block_on(serve(options, |addresses| {
            Python::attach(|py| {
                if let Err(error) = listening.call1(py, (addresses.url, addresses.admin)) {
                    error.write_unraisable(py, None);
                }
            });
        }));
        runtime.shutdown_background();
        served
    });
    served.map_err(|error| match error.kind {
        ErrorKind::Configuration => to_py(py, error),
        _ => PyRuntimeError::new_err(error.message),
    })
}

/// Return the gateway's OpenAPI 3.1 description, as JSON.
#[pyfunction]
pub fn gateway_openapi() -> String {
    openapi_description().to_string()
}

/// Add a key to the text of a key file, which may be empty. Return the new text and the key.
#[pyfunction]
#[pyo3(signature = (
    text, name, *, rights, places, expires = None, filter = None, allow_fields = None, deny_fields = None, schema = None
))]
#[allow(clippy::too_many_arguments)]
pub fn create_key(
    py: Python<'_>,
    text: &str,
    name: &str,
    rights: Vec<String>,
    places: Vec<String>,
    expires: Option<&str>,
    filter: Option<&str>,
    allow_fields: Option<Vec<String>>,
    deny_fields: Option<Vec<String>>,
    schema: Option<&str>,
) -> PyResult<(String, String)> {
    let mut allow = Vec::new();
    for right in &rights {
        let Some(right) = Right::from_name(right) else {
            let names: Vec<&str> = Right::ALL.iter().map(|right| right.name()).collect();
            return Err(configuration_error(py, format!("a right must be one of {}", names.join(", "))));
        };
        allow.push(right);
    }
    let rule =
        Rule::parse(filter, allow_fields, deny_fields, schema).map_err(|problem| configuration_error(py, problem))?;
    let rule = (!rule.is_empty()).then(|| Arc::new(rule));
    let mut permissions = Vec::new();
    for place in &places {
        match Permission::parse(place, allow.clone()) {
            Some(permission) => permissions.push(Permission { rule: rule.clone(), ..permission }),
            None => {
                return Err(configuration_error(
                    py,
                    "a place must be DATA_SOURCE/DATABASE/COLLECTION, where * matches any text",
                ));
            }
        }
    }
    raised(py, keys::create(text, name, expires, &permissions))
}

/// List the entries of a key file's text: name, permissions, created, expires, expired.
#[pyfunction]
pub fn list_keys<'py>(py: Python<'py>, text: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let mut listed = Vec::new();
    for key in raised(py, keys::list(text))? {
        let entry = PyDict::new(py);
        entry.set_item("name", key.name)?;
        let permissions: Vec<String> = key.permissions.iter().map(ToString::to_string).collect();
        entry.set_item("permissions", permissions)?;
        entry.set_item("created", key.created)?;
        entry.set_item("expires", key.expires)?;
        entry.set_item("expired", key.expired)?;
        listed.push(entry);
    }
    Ok(listed)
}

/// Remove a key from the text of a key file. Return the new text.
#[pyfunction]
pub fn revoke_key(py: Python<'_>, text: &str, name: &str) -> PyResult<String> {
    raised(py, keys::revoke(text, name))
}
