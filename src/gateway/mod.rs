//! The Data API gateway: an HTTP server for the Data API, on top of the MongoDB driver.
//!
//! Imports point down this list:
//!
//! | module | responsibility |
//! | --- | --- |
//! | `config` | the configuration file and the command line's flags |
//! | `server` | connections: accepting, TLS, shutdown |
//! | `http` | routes, headers, responses, OpenAPI |
//! | `actions` | runs an authorized operation on MongoDB and encodes the result |
//! | `policy` | checks what an operation accesses against the caller's permissions |
//! | `state`, `data_sources` | what all requests share, and the MongoDB clients by `dataSource` |
//! | `auth` | API keys, bearer tokens, permissions, rates |
//! | `limits` | time, memory and concurrency |
//! | `telemetry` | metrics, the log, trace contexts |
//! | `request`, `arguments`, `target` | the typed form of a request, and the collection it addresses |
//! | `api_error`, `compatibility`, `config_error`, `observed_body` | shared types |

mod actions;
mod api_error;
mod arguments;
mod auth;
mod compatibility;
mod config;
mod config_error;
mod data_sources;
mod http;
mod limits;
mod observed_body;
mod policy;
mod request;
mod server;
mod state;
mod target;
mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::connect_info::ConnectInfo;
use tokio::net::TcpListener;

use crate::error::{Error, ErrorKind, Result};
pub use auth::keys;
pub use auth::permission::{Permission, Right};
pub use auth::rule::Rule;
pub use config::{Flags, GatewayOptions};
pub use http::openapi::description as openapi_description;
use http::service::HttpService;
use server::accept::{Transport, serve_connections};
use server::shutdown::{Hangups, stop_signal};
use server::tls::Certificates;
use state::Gateway;

/// Serves until the process receives SIGTERM or SIGINT, then completes the requests in progress.
/// SIGHUP reloads keys and certificates. Calls `listening` once with the actual address, which
/// matters if the configured port is 0.
///
/// # Errors
/// `Configuration` if the address cannot be listened on, or the system lacks a resource.
pub async fn serve(mut options: GatewayOptions, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let (listen, grace, tls) = (options.listen, options.grace, options.tls.take().map(Arc::new));
    let origins = std::mem::take(&mut options.cors_origins);
    let cannot_listen = |error: std::io::Error| {
        Error::new(
            ErrorKind::Configuration,
            format!("cannot listen on {listen} ({error}): choose another address or port"),
        )
    };
    // Before `listening` is called, because its caller may stop the gateway at once.
    let no_signals =
        |error: std::io::Error| Error::new(ErrorKind::Configuration, format!("signals cannot be handled ({error})"));
    let stop = stop_signal().map_err(no_signals)?;
    let hangups = Hangups::new().map_err(no_signals)?;
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let gateway = Arc::new(options.into_gateway()?);
    let transport = Transport { tls: tls.clone(), connections: gateway.telemetry.metrics.connections.clone() };
    let service = HttpService::new(&gateway, &origins);
    listening(address);
    let reloading = tokio::spawn(reload(Arc::clone(&gateway), tls, hangups));
    let checking = tokio::spawn(warn_of_unreachable(Arc::clone(&gateway)));
    serve_connections(listener, service, &gateway.limits, transport, stop, grace).await;
    reloading.abort();
    checking.abort();
    gateway.data_sources.close().await;
    gateway.telemetry.shutdown();
    Ok(())
}

/// The gateway's routes, for embedding in another server. Must be called within a tokio runtime.
///
/// # Errors
/// `Configuration` if the log cannot be started.
pub fn router(mut options: GatewayOptions) -> Result<axum::Router> {
    let origins = std::mem::take(&mut options.cors_origins);
    let gateway = Arc::new(options.into_gateway()?);
    let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 0)));
    Ok(http::router::build(gateway, &origins).layer(axum::Extension(peer)))
}

/// Warns at the start of data sources that cannot be reached. They may become reachable later.
async fn warn_of_unreachable(gateway: Arc<Gateway>) {
    for (name, problem) in gateway.data_sources.unreachable().await {
        let message = format!("the data source {name} cannot be reached yet: {problem}");
        gateway.telemetry.log("warning", &message);
    }
}

/// Reloads keys and certificates on each SIGHUP. If a file is invalid, nothing changes.
async fn reload(gateway: Arc<Gateway>, tls: Option<Arc<Certificates>>, mut hangups: Hangups) {
    while hangups.next().await {
        let credentials = gateway.authenticator.read();
        let read =
            credentials.and_then(|credentials| Ok((credentials, tls.as_ref().map(|tls| tls.read()).transpose()?)));
        match read {
            Ok((credentials, certificates)) => {
                gateway.authenticator.replace(credentials);
                if let (Some(tls), Some(certificates)) = (&tls, certificates) {
                    tls.replace(certificates);
                }
                gateway.telemetry.log("info", "SIGHUP: keys and certificates were reloaded");
            }
            Err(error) => {
                let message = format!("SIGHUP: {}; the previous keys and certificates stay in use", error.message);
                gateway.telemetry.log("error", &message);
            }
        }
    }
}
