//! The Data API's server: HTTP in front, the MongoDB driver behind.

mod actions;
pub mod auth;
mod http;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::config::DriverSettings;
use crate::driver::DriverClient;
use crate::error::{Error, ErrorKind, Result};
use auth::ApiKeys;

/// How long calls under way may go on after the gateway is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// What the gateway serves, and to whom.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The MongoDB behind it.
    pub mongodb: DriverSettings,
    /// Who may call.
    pub keys: ApiKeys,
    /// The only `dataSource` that is served; any, if there is none.
    pub data_source: Option<String>,
    /// The largest request, in bytes. A document of 16 MiB may take several times that as EJSON.
    pub max_body: usize,
}

/// What all requests share.
struct Gateway {
    mongodb: DriverClient,
    keys: ApiKeys,
    data_source: Option<String>,
    max_body: usize,
}

/// Serves until the process gets SIGTERM or SIGINT, then lets the calls under
/// way end. Calls `listening` once with the address, which with port 0 is the
/// one taken.
///
/// # Errors
/// `Configuration` where it cannot listen there.
pub async fn serve(options: GatewayOptions, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let GatewayOptions { listen, mongodb, keys, data_source, max_body } = options;
    let cannot = |error: std::io::Error| {
        Error::new(
            ErrorKind::Configuration,
            format!("cannot listen on {listen} ({error}): choose another address or port"),
        )
    };
    // Before the address is told, so that whoever waits for it may stop us at once.
    let stop = stop_signal()
        .map_err(|error| Error::new(ErrorKind::Configuration, format!("signals cannot be handled ({error})")))?;
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let mongodb = DriverClient::new(mongodb, tokio::runtime::Handle::current());
    let gateway = Arc::new(Gateway { mongodb, keys, data_source, max_body });

    let stopping = Arc::new(Notify::new());
    let stopped = Arc::clone(&stopping);
    let server = axum::serve(
        // Without this an answer may wait 40 ms for an acknowledgement.
        listener.tap_io(|stream| drop(stream.set_nodelay(true))),
        http::router(Arc::clone(&gateway)),
    )
    .with_graceful_shutdown(async move {
        stop.await;
        stopped.notify_one();
    });
    listening(address);
    let out_of_grace = async {
        stopping.notified().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server.into_future() => served.map_err(cannot)?,
        () = out_of_grace => {}
    }
    gateway.mongodb.close().await;
    Ok(())
}

#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("mongodb", &self.mongodb).finish_non_exhaustive()
    }
}
