//! The signals of the process, and the requests that are in progress when it stops.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Version;
use tokio::time::sleep;

use super::connections::Activity;
use crate::gateway::observed_body::BodyObserver;

/// How often [`RequestCounter::drained`] checks.
const DRAIN_INTERVAL: Duration = Duration::from_millis(100);
/// How many checks in a row must find no request, so that sockets can send the last responses.
const QUIET_CHECKS: u32 = 3;

/// Counts requests until their responses are sent.
#[derive(Clone, Default)]
pub(super) struct RequestCounter(Arc<AtomicUsize>);

impl RequestCounter {
    /// Counts a request of a connection until the result is dropped.
    pub(super) fn begin(&self, connection: &Arc<Activity>, version: Version) -> InProgress {
        self.0.fetch_add(1, Ordering::Relaxed);
        connection.begin(version == Version::HTTP_2);
        InProgress { requests: Arc::clone(&self.0), connection: Arc::clone(connection) }
    }

    /// Completes when no request is in progress.
    pub(super) async fn drained(&self) {
        let mut quiet = 0;
        while quiet < QUIET_CHECKS {
            sleep(DRAIN_INTERVAL).await;
            quiet = if self.0.load(Ordering::Relaxed) == 0 { quiet + 1 } else { 0 };
        }
    }
}

/// A request in progress; dropped when its response is sent.
pub(super) struct InProgress {
    requests: Arc<AtomicUsize>,
    connection: Arc<Activity>,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.connection.end();
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl BodyObserver for InProgress {}

/// Completes on SIGTERM or SIGINT. The handlers are installed when this returns.
///
/// # Errors
/// The system cannot handle signals.
#[cfg(unix)]
pub(in crate::gateway) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Completes on Ctrl+C.
///
/// # Errors
/// None on this platform.
#[cfg(not(unix))]
pub(in crate::gateway) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

/// SIGHUP signals.
#[cfg(unix)]
pub(in crate::gateway) struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    /// Installs the handler.
    ///
    /// # Errors
    /// The system cannot handle signals.
    pub(in crate::gateway) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next signal; `false` if there will be none.
    pub(in crate::gateway) async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// This platform has no SIGHUP.
#[cfg(not(unix))]
pub(in crate::gateway) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    /// Never fails on this platform.
    pub(in crate::gateway) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// There is never a signal.
    pub(in crate::gateway) async fn next(&mut self) -> bool {
        false
    }
}
