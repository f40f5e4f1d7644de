//! What the command line asks of the core: where the variables lead, which texts are secret, and which
//! database names are valid.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::config::{
    TlsRoute, VARIABLES, Value, data_api_settings, database_name, driver_settings, secrets, uri_with_options,
    uri_without_options,
};
use crate::data_api::route::{Route, proxy_secrets};
use crate::python::asyncio::call::raised;
use crate::python::lifecycle::shared::values;

/// The options that limit how long the driver waits for a server.
const TIMEOUTS: [&str; 2] = ["serverSelectionTimeoutMS", "connectTimeoutMS"];

/// Return the connection string of the driver path's variables, with `timeout_ms` as its timeouts, and how the
/// driver reaches MongoDB.
#[pyfunction]
#[pyo3(name = "_driver_route", signature = (variables, timeout_ms, /))]
pub fn driver_route<'py>(variables: &Bound<'py, PyAny>, timeout_ms: u32) -> PyResult<Bound<'py, PyDict>> {
    let py = variables.py();
    let settings = raised(py, driver_settings(lookup(variables)?))?;
    let route = raised(py, settings.route())?;
    let found = PyDict::new(py);
    let (uri, _) =
        uri_without_options(settings.uri.expose(), &TIMEOUTS.map(str::to_lowercase).each_ref().map(String::as_str));
    found.set_item("uri", uri_with_options(&uri, &TIMEOUTS.map(|name| (name.to_owned(), timeout_ms.to_string()))))?;
    found.set_item("database", settings.database)?;
    found.set_item("collection", settings.collection)?;
    found.set_item("seeds", route.seeds)?;
    found.set_item("srv", route.srv)?;
    found.set_item("authenticates", route.authenticates)?;
    found.set_item("replica_set", route.replica_set)?;
    found.set_item("tls", route.tls.map(|tls| tls_files(py, &tls)).transpose()?)?;
    Ok(found)
}

fn tls_files<'py>(py: Python<'py>, tls: &TlsRoute) -> PyResult<Bound<'py, PyDict>> {
    let files = PyDict::new(py);
    files.set_item("authorities", tls.authorities.as_deref())?;
    files.set_item("certificate", tls.certificate.as_deref())?;
    files.set_item("password", tls.password.as_ref().map(|password| password.expose()))?;
    files.set_item("strict", tls.strict)?;
    Ok(files)
}

/// Return the arguments of the Data API path's variables, and how the HTTP client reaches the Data API.
#[pyfunction]
#[pyo3(name = "_data_api_route", signature = (variables, /))]
pub fn data_api_route<'py>(variables: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = variables.py();
    let settings = raised(py, data_api_settings(lookup(variables)?))?;
    let route = raised(py, Route::of(&settings))?;
    let found = PyDict::new(py);
    found.set_item("endpoint", settings.endpoint)?;
    found.set_item("api_key", settings.api_key.expose())?;
    found.set_item("data_source", settings.data_source)?;
    found.set_item("database", settings.database)?;
    found.set_item("collection", settings.collection)?;
    found.set_item("host", route.host)?;
    found.set_item("tls", route.tls)?;
    found.set_item("proxy", route.proxy.map(|proxy| (proxy.host, proxy.variable)))?;
    Ok(found)
}

/// Return the texts in the variables, valid or not, and in the environment's proxies that must not be shown.
#[pyfunction]
#[pyo3(name = "_secrets", signature = (variables, /))]
pub fn secret_texts(variables: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let found = secrets(lookup(variables)?).into_iter().chain(proxy_secrets());
    Ok(found.map(|secret| secret.expose().to_owned()).collect())
}

/// Return whether MongoDB allows a database name.
#[pyfunction]
#[pyo3(name = "_is_database_name", signature = (name, /))]
pub fn is_database_name(name: &str) -> bool {
    database_name(name).is_ok()
}

/// The values of the variables, by name.
fn lookup(variables: &Bound<'_, PyAny>) -> PyResult<impl Fn(&str) -> Value + use<>> {
    let values = values(variables)?;
    Ok(move |name: &str| {
        let place = VARIABLES.iter().position(|variable| variable.name == name);
        place.and_then(|place| values.get(place).cloned()).unwrap_or(Value::Absent)
    })
}
