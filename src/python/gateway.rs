//! The gateway as the command line starts it.

use std::net::SocketAddr;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::call::raised;
use super::errors::{configuration_error, to_py};
use crate::config::DriverSettings;
use crate::error::Error;
use crate::gateway::auth::ApiKeys;
use crate::gateway::{GatewayOptions, serve};

/// Serve the Data API until SIGTERM or SIGINT. `keys` is the text of a key
/// file; `listening` is called once, with the address that was taken.
#[pyfunction]
#[pyo3(signature = (mongodb_uri, keys, listen, listening, data_source = None, max_body = 67_108_864))]
pub fn run_gateway(
    py: Python<'_>,
    mongodb_uri: &str,
    keys: &str,
    listen: &str,
    listening: Py<PyAny>,
    data_source: Option<String>,
    max_body: usize,
) -> PyResult<()> {
    let listen: SocketAddr = listen
        .parse()
        .map_err(|_| configuration_error(py, "the address to listen on must be host:port, e.g. 127.0.0.1:8080"))?;
    let mongodb = raised(py, DriverSettings::from_uri(mongodb_uri))?;
    let keys = raised(py, ApiKeys::parse(keys))?;
    let options = GatewayOptions { listen, mongodb, keys, data_source, max_body };
    let served: Result<(), Error> = py.detach(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("connect-mongodb-gateway")
            .build()
            .map_err(|error| Error::new(crate::error::ErrorKind::Configuration, format!("no threads ({error})")))?;
        let served = runtime.block_on(serve(options, |address| {
            Python::attach(|py| {
                if let Err(error) = listening.call1(py, (address.to_string(),)) {
                    error.write_unraisable(py, None);
                }
            });
        }));
        runtime.shutdown_background();
        served
    });
    served.map_err(|error| match error.kind {
        crate::error::ErrorKind::Configuration => to_py(py, error),
        _ => PyRuntimeError::new_err(error.message),
    })
}
