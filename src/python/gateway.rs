//! The gateway for the command line, and its key files.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{Error, ErrorKind};
use crate::gateway::{
    Flags, GatewayOptions, Permission, Right, Rule, keys, openapi_description, serve, signing_keys, users,
};
use crate::python::asyncio::call::raised;
use crate::python::convert::errors::{configuration_error, to_py};
use crate::secret::Secret;

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
#[pyo3(signature = (text, name, *, rights, places, expires = None, rule = None))]
pub fn create_key(
    py: Python<'_>,
    text: &str,
    name: &str,
    rights: Vec<String>,
    places: Vec<String>,
    expires: Option<&str>,
    rule: Option<RuleParts>,
) -> PyResult<(String, String)> {
    let permissions = permissions(py, &rights, &places, rule)?;
    raised(py, keys::create(text, name, expires, &permissions))
}

/// The parts of a rule: the filter, the allowed fields, the denied fields, and the schema.
type RuleParts = (Option<String>, Option<Vec<String>>, Option<Vec<String>>, Option<String>);

/// Permissions for these rights in each of these places, with one rule.
fn permissions(
    py: Python<'_>,
    rights: &[String],
    places: &[String],
    rule: Option<RuleParts>,
) -> PyResult<Vec<Permission>> {
    let mut allow = Vec::new();
    for right in rights {
        let Some(right) = Right::from_name(right) else {
            let names: Vec<&str> = Right::ALL.iter().map(|right| right.name()).collect();
            return Err(configuration_error(py, format!("a right must be one of {}", names.join(", "))));
        };
        allow.push(right);
    }
    let (filter, allowed, denied, schema) = rule.unwrap_or_default();
    let rule = Rule::parse(filter.as_deref(), allowed, denied, schema.as_deref())
        .map_err(|problem| configuration_error(py, problem))?;
    let rule = (!rule.is_empty()).then(|| Arc::new(rule));
    let mut permissions = Vec::new();
    for place in places {
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
    Ok(permissions)
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

/// Add a user to the text of a key file, which may be empty. Return the new text.
#[pyfunction]
#[pyo3(signature = (text, name, password, *, rights, places, data, rule = None))]
#[allow(clippy::too_many_arguments)]
pub fn add_user(
    py: Python<'_>,
    text: &str,
    name: &str,
    password: &str,
    rights: Vec<String>,
    places: Vec<String>,
    data: Vec<(String, String)>,
    rule: Option<RuleParts>,
) -> PyResult<String> {
    let permissions = permissions(py, &rights, &places, rule)?;
    let password = Secret::new(password);
    raised(py, py.detach(|| users::add(text, name, &password, &permissions, &data)))
}

/// List the users of a key file's text: name, id, permissions, created, disabled.
#[pyfunction]
pub fn list_users<'py>(py: Python<'py>, text: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let mut listed = Vec::new();
    for user in raised(py, users::list(text))? {
        let entry = PyDict::new(py);
        entry.set_item("name", user.name)?;
        entry.set_item("id", user.id)?;
        let permissions: Vec<String> = user.permissions.iter().map(ToString::to_string).collect();
        entry.set_item("permissions", permissions)?;
        entry.set_item("created", user.created)?;
        entry.set_item("disabled", user.disabled)?;
        listed.push(entry);
    }
    Ok(listed)
}

/// Remove a user from the text of a key file. Return the new text.
#[pyfunction]
pub fn remove_user(py: Python<'_>, text: &str, name: &str) -> PyResult<String> {
    raised(py, users::remove(text, name))
}

/// Give a user in the text of a key file another password. Return the new text.
#[pyfunction]
pub fn set_password(py: Python<'_>, text: &str, name: &str, password: &str) -> PyResult<String> {
    let password = Secret::new(password);
    raised(py, py.detach(|| users::set_password(text, name, &password)))
}

/// Add a key to the text of a file of signing keys, which may be empty, that signs from `begins` on. Keys whose
/// successors signed before `expired` are removed. Return the new text.
#[pyfunction]
pub fn add_signing_key(py: Python<'_>, text: &str, begins: &str, expired: &str) -> PyResult<String> {
    raised(py, signing_keys::add(text, begins, expired))
}
