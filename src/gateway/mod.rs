//! The Data API's server: HTTP in front, the MongoDB driver behind.

mod actions;
pub mod auth;
mod http;
mod room;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::config::DriverSettings;
use crate::driver::DriverClient;
use crate::error::{Error, ErrorKind, Result};
use auth::ApiKeys;
use room::Room;
pub use server::Limits;

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
    /// What clients may hold at most.
    pub limits: Limits,
}

/// What all requests share.
struct Gateway {
    mongodb: Arc<DriverClient>,
    keys: ApiKeys,
    data_source: Option<String>,
    limits: Limits,
    room: Room,
}

/// Serves until the process gets SIGTERM or SIGINT, then lets the calls under
/// way end. Calls `listening` once with the address, which with port 0 is the
/// one taken.
///
/// # Errors
/// `Configuration` where it cannot listen there.
pub async fn serve(options: GatewayOptions, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let GatewayOptions { listen, mongodb, keys, data_source, limits } = options;
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
    let mongodb = Arc::new(DriverClient::new(mongodb, tokio::runtime::Handle::current()));
    let room = Room::new(&limits);
    let gateway = Arc::new(Gateway { mongodb, keys, data_source, limits, room });
    let router = http::router(Arc::clone(&gateway));
    listening(address);
    server::serve_connections(listener, router, &gateway.limits, stop, GRACE).await;
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
