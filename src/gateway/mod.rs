//! The Data API's server: HTTP in front, the MongoDB driver behind.

mod access;
mod actions;
pub mod auth;
pub mod config;
mod http;
pub mod jwt;
pub mod keys;
mod observe;
mod openapi;
pub mod permission;
mod room;
mod server;
mod taking;
pub mod tls;
mod watched;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};

use crate::codec::ejson::Style;
use crate::config::DriverSettings;
use crate::driver::command::{How, run_command};
use crate::driver::{Beyond, DriverClient};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::PING_TIME;
use auth::{Auth, Rates};
use observe::Observer;
pub use openapi::description as openapi_description;
use room::Room;
use server::Front;
pub use server::Limits;
use tls::Certificates;

/// The MongoDBs behind the gateway.
#[derive(Debug, Clone)]
pub enum Sources {
    /// One, whatever its `dataSource` is called.
    Any(Box<DriverSettings>),
    /// By `dataSource`.
    Named(BTreeMap<String, DriverSettings>),
}

/// What the gateway serves, and to whom.
#[derive(Debug)]
pub struct GatewayOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The MongoDBs behind it.
    pub sources: Sources,
    /// Who may call.
    pub auth: Auth,
    /// TLS, if there is.
    pub tls: Option<Certificates>,
    /// The origins whose pages may call; `*` for all.
    pub origins: Vec<String>,
    /// What answers are written in where `Accept` does not say.
    pub style: Style,
    /// Whether requests are logged.
    pub access_log: bool,
    /// How long calls under way may go on after the gateway is told to stop.
    pub grace: Duration,
    /// What clients may hold at most.
    pub limits: Limits,
}

/// A MongoDB behind the gateway.
enum Clients {
    Any(Arc<DriverClient>),
    Named(BTreeMap<String, Arc<DriverClient>>),
}

impl Clients {
    fn of(sources: Sources, observer: &Observer) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let client = |name: &str, settings| {
            let pool = observer.metrics.pool(name);
            Arc::new(DriverClient::with_listener(settings, runtime.clone(), Some(pool), Beyond::default()))
        };
        match sources {
            Sources::Any(settings) => Self::Any(client("", *settings)),
            Sources::Named(named) => {
                Self::Named(named.into_iter().map(|(name, settings)| (name.clone(), client(&name, settings))).collect())
            }
        }
    }

    fn named(&self, data_source: &str) -> Option<&Arc<DriverClient>> {
        match self {
            Self::Any(client) => Some(client),
            Self::Named(named) => named.get(data_source),
        }
    }

    fn all(&self) -> Vec<(&str, &Arc<DriverClient>)> {
        match self {
            Self::Any(client) => vec![("MongoDB", client)],
            Self::Named(named) => named.iter().map(|(name, client)| (name.as_str(), client)).collect(),
        }
    }
}

/// What all requests share.
struct Gateway {
    clients: Clients,
    auth: Auth,
    rates: Option<Rates>,
    style: Style,
    limits: Limits,
    places: Arc<Semaphore>,
    room: Room,
    observer: Arc<Observer>,
    /// When it was looked at whether every MongoDB answers, and whether they did.
    ready: Mutex<Option<(Instant, bool)>>,
}

/// How long it is taken to be as it was seen.
const READY_FOR: Duration = Duration::from_millis(500);

impl Gateway {
    /// Whether every MongoDB answers, as of a moment ago: who asks, asks often.
    async fn is_ready(&self) -> bool {
        let mut seen = self.ready.lock().await;
        if let Some((at, ready)) = *seen
            && at.elapsed() < READY_FOR
        {
            return ready;
        }
        let missing = self.unreachable().await;
        for (name, problem) in &missing {
            self.observer.say("warning", &format!("not ready: the data source {name} cannot be reached: {problem}"));
        }
        *seen = Some((Instant::now(), missing.is_empty()));
        missing.is_empty()
    }

    /// What cannot be reached, and why.
    async fn unreachable(&self) -> Vec<(String, String)> {
        let mut missing = Vec::new();
        for (name, client) in self.clients.all() {
            let ping = run_command(client, "admin".to_owned(), bson::doc! { "ping": 1 }, How::once(None));
            match tokio::time::timeout(PING_TIME, ping).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => missing.push((name.to_owned(), error.message)),
                Err(_) => missing.push((name.to_owned(), "no answer in time".to_owned())),
            }
        }
        missing
    }
}

/// Serves until the process gets SIGTERM or SIGINT, then lets the calls under
/// way end. SIGHUP has it read keys and certificates again. Calls `listening`
/// once with the address, which with port 0 is the one taken.
///
/// # Errors
/// `Configuration` where it cannot listen there.
pub async fn serve(mut options: GatewayOptions, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let (listen, grace, tls) = (options.listen, options.grace, options.tls.take().map(Arc::new));
    let origins = std::mem::take(&mut options.origins);
    let cannot = |error: std::io::Error| {
        Error::new(
            ErrorKind::Configuration,
            format!("cannot listen on {listen} ({error}): choose another address or port"),
        )
    };
    // Before the address is told, so that whoever waits for it may stop us at once.
    let no_signals =
        |error: std::io::Error| Error::new(ErrorKind::Configuration, format!("signals cannot be handled ({error})"));
    let stop = stop_signal().map_err(no_signals)?;
    let hangups = hangups().map_err(no_signals)?;
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let gateway = build(options)?;
    let observer = Arc::clone(&gateway.observer);
    let front = Front { tls: tls.clone(), connections: observer.metrics.connections.clone() };
    let router = http::router(Arc::clone(&gateway), &origins);
    listening(address);
    let reloading = tokio::spawn(reload(Arc::clone(&gateway), tls, hangups));
    let looking = tokio::spawn(tell_of_missing(Arc::clone(&gateway)));
    server::serve_connections(listener, router, &gateway.limits, front, stop, grace).await;
    reloading.abort();
    looking.abort();
    // Each ends within its own bound.
    futures_util::future::join_all(gateway.clients.all().into_iter().map(|(_, client)| client.close())).await;
    observer.end();
    Ok(())
}

/// The gateway's routes, for a server of one's own; within a runtime.
///
/// # Errors
/// `Configuration` where the system gives no thread for the log.
pub fn router(mut options: GatewayOptions) -> Result<axum::Router> {
    let origins = std::mem::take(&mut options.origins);
    let gateway = build(options)?;
    Ok(http::router(gateway, &origins).layer(axum::Extension(server::Peer(SocketAddr::from(([127, 0, 0, 1], 0))))))
}

fn build(options: GatewayOptions) -> Result<Arc<Gateway>> {
    let GatewayOptions { sources, auth, style, access_log, limits, .. } = options;
    let observer = Observer::new(access_log)
        .map_err(|error| Error::new(ErrorKind::Configuration, format!("the log cannot be written ({error})")))?;
    let observer = Arc::new(observer);
    let gateway = Gateway {
        clients: Clients::of(sources, &observer),
        auth,
        rates: limits.per_second.map(|per_second| Rates::new(per_second, limits.burst)),
        style,
        places: Arc::new(Semaphore::new(limits.requests)),
        room: Room::new(&limits),
        limits,
        observer,
        ready: Mutex::default(),
    };
    Ok(Arc::new(gateway))
}

/// Says at the start which MongoDB is not there, so that a wrong address is
/// seen before the first request; it may come later.
async fn tell_of_missing(gateway: Arc<Gateway>) {
    for (name, problem) in gateway.unreachable().await {
        gateway.observer.say("warning", &format!("the data source {name} cannot be reached yet: {problem}"));
    }
}

/// Reads keys and certificates again with each SIGHUP.
async fn reload(gateway: Arc<Gateway>, tls: Option<Arc<Certificates>>, mut hangups: Hangups) {
    while hangups.next().await {
        // All are read before any is taken over.
        let read = gateway.auth.read().and_then(|auth| Ok((auth, tls.as_ref().map(|tls| tls.reread()).transpose()?)));
        match read {
            Ok((auth, certificates)) => {
                gateway.auth.take_over(auth);
                if let (Some(tls), Some(certificates)) = (&tls, certificates) {
                    tls.take_over(certificates);
                }
                gateway.observer.say("info", "keys and certificates were read again");
            }
            Err(error) => {
                let message = format!("SIGHUP: {}; what was read before stays in use", error.message);
                gateway.observer.say("error", &message);
            }
        }
    }
}

#[cfg(unix)]
struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

#[cfg(unix)]
fn hangups() -> std::io::Result<Hangups> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::hangup()).map(Hangups)
}

#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    async fn next(&mut self) -> bool {
        false
    }
}

#[cfg(not(unix))]
fn hangups() -> std::io::Result<Hangups> {
    Ok(Hangups)
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
        f.debug_struct("Gateway").field("auth", &self.auth).finish_non_exhaustive()
    }
}
