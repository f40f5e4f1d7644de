//! The gateway as the command line starts it.

use std::net::{SocketAddr, ToSocketAddrs as _};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::call::raised;
use super::errors::{configuration_error, to_py};
use crate::config::DriverSettings;
use crate::error::Error;
use crate::gateway::auth::ApiKeys;
use crate::gateway::{GatewayOptions, Limits, serve};

/// Serve the Data API until SIGTERM or SIGINT. `keys` is the text of a key
/// file; `listening` is called once, with the address that was taken.
#[pyfunction]
#[pyo3(signature = (mongodb_uri, keys, listen, listening, data_source = None, connections = 1024))]
pub fn run_gateway(
    py: Python<'_>,
    mongodb_uri: &str,
    keys: &str,
    listen: &str,
    listening: Py<PyAny>,
    data_source: Option<String>,
    connections: usize,
) -> PyResult<()> {
    let listen = address(listen)
        .ok_or_else(|| configuration_error(py, "the address to listen on must be host:port, e.g. 127.0.0.1:8080"))?;
    let mongodb = raised(py, DriverSettings::from_uri(mongodb_uri))?;
    let keys = raised(py, ApiKeys::parse(keys))?;
    let options =
        GatewayOptions { listen, mongodb, keys, data_source, limits: Limits { connections, ..Limits::default() } };
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

/// `host:port`, where the host may be a name that resolves here.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
    text.to_socket_addrs().ok()?.next()
}
