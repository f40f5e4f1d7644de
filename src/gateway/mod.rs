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
//! | `watch` | change streams as server-sent events |
//! | `policy` | checks what an operation accesses against the caller's permissions |
//! | `cursors` | results in pages: tokens, and the cursors that are kept |
//! | `state`, `data_sources` | what all requests share, and the MongoDB clients by `dataSource` |
//! | `sessions` | the sessions of logins, in MongoDB |
//! | `auth` | API keys, bearer tokens, permissions, rates |
//! | `limits` | time, memory and concurrency |
//! | `telemetry` | metrics, the log, trace contexts |
//! | `request`, `arguments`, `target` | the typed form of a request, and the collection it addresses |
//! | `api_error`, `compatibility`, `config_error`, `observed_body`, `response_format` | shared types |

mod actions;
mod api_error;
mod arguments;
mod auth;
mod compatibility;
mod config;
mod config_error;
mod cursors;
mod data_sources;
mod http;
mod limits;
mod observed_body;
mod policy;
mod request;
mod response_format;
mod server;
mod sessions;
mod state;
mod target;
mod telemetry;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use tokio::time::sleep;

use crate::error::{Error, ErrorKind, Result};
use auth::SharedRate;
pub use auth::permission::{Permission, Right};
pub use auth::rule::Rule;
pub use auth::{keys, signing_keys, users};
use config::SharedRates;
pub use config::{Flags, GatewayOptions};
pub use http::openapi::description as openapi_description;
use http::router::OperatorPages;
use http::service::HttpService;
use limits::Limits;
use server::accept::{Server, serve_connections};
use server::files::WatchedFiles;
use server::listen::{ListenAddress, Listener};
use server::peer::{Peer, TrustedProxies};
use server::service_manager::{Notifier, PassedSockets};
use server::shutdown::{Hangups, stop_signal};
use server::tls::Certificates;
use state::Gateway;
use telemetry::metrics::ConnectionMetrics;

/// Concurrent connections of `admin_listen`.
const ADMIN_CONNECTIONS: usize = 64;

/// Where a gateway listens.
#[derive(Debug)]
pub struct Listening {
    /// Its URL, or `unix:PATH`.
    pub url: String,
    /// The URL of health checks and metrics, if they have one of their own.
    pub admin: Option<String>,
}

/// Serves until the process receives SIGTERM or SIGINT, then completes the requests in progress. SIGHUP reloads keys and
/// certificates, as does a change of their files. Calls `listening` once with the actual addresses, which matters if a
/// configured port is 0. A service manager can pass the listening sockets on.
///
/// # Errors
/// `Configuration` if an address cannot be listened on, or the system lacks a resource.
pub async fn serve(options: GatewayOptions, listening: impl FnOnce(Listening)) -> Result<()> {
    let tls = options.tls.map(Arc::new);
    // What changes from now on is noticed.
    let files = options.gateway.authenticator.files().into_iter().chain(tls.iter().flat_map(|tls| tls.files()));
    let files = WatchedFiles::new(files.collect());
    let configuration_error = |message: String| Error::new(ErrorKind::Configuration, message);
    // Before `listening` is called, because its caller may stop the gateway at once.
    let no_signals = |error: std::io::Error| configuration_error(format!("signals cannot be handled ({error})"));
    let stop = stop_signal().map_err(no_signals)?;
    let hangups = Hangups::new().map_err(no_signals)?;
    let manager = Notifier::from_environment()
        .map_err(|error| configuration_error(format!("NOTIFY_SOCKET cannot be used ({error})")))?;
    let passed = PassedSockets::take()
        .map_err(|error| configuration_error(format!("the sockets of LISTEN_FDS cannot be used ({error})")))?;
    let bind = |address: &ListenAddress| {
        Listener::bind(address, options.socket_mode).map_err(|error| {
            configuration_error(format!("cannot listen on {address} ({error}): choose another address"))
        })
    };
    let listener = passed.http.map_or_else(|| bind(&options.listen), Ok)?;
    let admin = passed.admin.map(Ok).or_else(|| options.admin_listen.as_ref().map(bind)).transpose()?;
    let url = |listener: &Listener, tls: bool| {
        listener.url(tls).map_err(|error| configuration_error(format!("the address of a socket is unknown ({error})")))
    };
    let addresses = Listening {
        url: url(&listener, tls.is_some())?,
        admin: admin.as_ref().map(|admin| url(admin, false)).transpose()?,
    };
    let gateway = Arc::new(Gateway::new(options.gateway)?);
    let metrics = gateway.telemetry.metrics.connections.clone();
    let pages = if admin.is_some() { OperatorPages::Elsewhere } else { OperatorPages::Here };
    let http = HttpService::new(&gateway, &options.cors_origins, pages, &options.trusted_proxies);
    manager.ready(&addresses.url);
    listening(addresses);
    let reloader = Reloader { gateway: Arc::clone(&gateway), tls: tls.clone(), manager: manager.clone() };
    let background = [
        tokio::spawn(reloader.run(hangups, files, options.reload)),
        tokio::spawn(warn_of_unreachable(Arc::clone(&gateway))),
        tokio::spawn(gateway.memory.clone().keep_returning()),
        tokio::spawn(Arc::clone(&gateway.telemetry).keep_reporting()),
        tokio::spawn(manager.clone().keep_alive()),
    ];
    let sharing = options.shared_rates.map(|shared| tokio::spawn(share_rates(Arc::clone(&gateway), shared)));
    // It answers until the public listener has completed its requests.
    let serving_admin = admin.map(|admin| tokio::spawn(serve_operator_pages(Arc::clone(&gateway), admin)));
    let stop = async {
        stop.await;
        manager.stopping();
        // Change streams end at once: they would last longer than the grace period.
        gateway.streams.stopping.send_replace(true);
    };
    let server = Server { http, tls, trusted: options.trusted_proxies, metrics };
    serve_connections(listener, server, &gateway.limits, stop, options.grace).await;
    for task in background.into_iter().chain(serving_admin).chain(sharing) {
        task.abort();
    }
    gateway.data_sources.close().await;
    gateway.telemetry.send_remaining_spans().await;
    gateway.telemetry.shutdown();
    Ok(())
}

/// Serves health checks and metrics on a listener of their own.
async fn serve_operator_pages(gateway: Arc<Gateway>, listener: Listener) {
    let server = Server {
        http: HttpService::of_operator(&gateway),
        tls: None,
        trusted: TrustedProxies::default(),
        // Those of clients are counted.
        metrics: ConnectionMetrics::default(),
    };
    let limits =
        Limits { connections: ADMIN_CONNECTIONS, connections_per_peer: ADMIN_CONNECTIONS, ..gateway.limits.clone() };
    serve_connections(listener, server, &limits, std::future::pending(), Duration::ZERO).await;
}

/// The gateway's routes, for embedding in another server. Must be called within a tokio runtime.
///
/// # Errors
/// `Configuration` if the log cannot be started.
pub fn router(options: GatewayOptions) -> Result<axum::Router> {
    let gateway = Arc::new(Gateway::new(options.gateway)?);
    let peer = ConnectInfo(Peer::Ip(std::net::Ipv4Addr::LOCALHOST.into()));
    Ok(http::router::build(gateway, &options.cors_origins, OperatorPages::Here).layer(axum::Extension(peer)))
}

/// Shares the rates of callers with other instances.
async fn share_rates(gateway: Arc<Gateway>, shared: SharedRates) {
    let (Some(limiter), Some(client)) = (&gateway.rate_limiter, gateway.data_sources.get(&shared.data_source)) else {
        return;
    };
    let failed = |error: &Error| {
        let message =
            format!("the rates of callers are not shared: {}; each instance limits them by itself", error.message);
        gateway.telemetry.log_limited("warning", &message);
    };
    SharedRate::new(Arc::clone(client), shared.namespace).share(limiter, failed).await;
}

/// Warns at the start of data sources that cannot be reached. They may become reachable later.
async fn warn_of_unreachable(gateway: Arc<Gateway>) {
    for (name, problem) in gateway.data_sources.unreachable().await {
        let message = format!("the data source {name} cannot be reached yet: {problem}");
        gateway.telemetry.log("warning", &message);
    }
}

/// Reloads keys and certificates.
struct Reloader {
    gateway: Arc<Gateway>,
    tls: Option<Arc<Certificates>>,
    manager: Notifier,
}

impl Reloader {
    /// Reloads on each SIGHUP, and when files have changed.
    async fn run(self, mut hangups: Hangups, mut files: WatchedFiles, interval: Option<Duration>) {
        loop {
            let looking = async {
                match interval {
                    Some(interval) => sleep(interval).await,
                    None => std::future::pending().await,
                }
            };
            let cause = tokio::select! {
                hangup = hangups.next() => match hangup {
                    true => {
                        files.were_loaded();
                        "SIGHUP"
                    }
                    false => return,
                },
                () = looking => {
                    // A file of a network may take long.
                    let looked = tokio::task::spawn_blocking(move || {
                        let changed = files.have_changed();
                        (files, changed)
                    });
                    let Ok((looked, changed)) = looked.await else { return };
                    files = looked;
                    if !changed {
                        continue;
                    }
                    "files have changed"
                }
            };
            self.manager.reloading();
            self.reload(cause);
            self.manager.reloaded();
        }
    }

    /// Reloads all files. If one is invalid, nothing changes.
    fn reload(&self, cause: &str) {
        let credentials = self.gateway.authenticator.read();
        let read =
            credentials.and_then(|credentials| Ok((credentials, self.tls.as_ref().map(|tls| tls.read()).transpose()?)));
        match read {
            Ok((credentials, certificates)) => {
                self.gateway.authenticator.replace(credentials);
                if let (Some(tls), Some(certificates)) = (&self.tls, certificates) {
                    tls.replace(certificates);
                }
                self.gateway.telemetry.log("info", &format!("{cause}: keys and certificates were reloaded"));
            }
            Err(error) => {
                let message = format!("{cause}: {}; the previous keys and certificates stay in use", error.message);
                self.gateway.telemetry.log("error", &message);
            }
        }
    }
}
