//! Detects connections that the server closed while they were idle in the pool.
//!
//! The driver does not check a connection before it sends a command on it. If a load
//! balancer, a firewall or the server has closed the connection, the command fails with an
//! error that does not show whether the server received it, so that only idempotent
//! commands can be retried.
//!
//! This module watches every connection of the pools. When the server closes one, its
//! sending side is shut down. Any further send fails with `BrokenPipe`, and since only a
//! send fails with that error, it proves that the command was not sent completely.
//! [`super::retryable::UnsentRetry`] resends such a command.

#[cfg(target_os = "linux")]
mod linux;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bson::doc;
use mongodb::Client;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::{ClientOptions, SelectionCriteria, ServerAddress};
use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

use super::{Connected, DriverClient};
use crate::limits::PURGE_TIME;
use crate::listener::unobserved;

/// The default of `maxIdleTimeMS` on systems where closed connections cannot be detected.
#[cfg(not(target_os = "linux"))]
const MAX_IDLE_TIME: std::time::Duration = std::time::Duration::from_secs(60);

/// The open connections of a client.
#[derive(Default)]
pub(super) struct Connections {
    /// The number of open connections of each server.
    open: Mutex<HashMap<ServerAddress, usize>>,
    #[cfg(target_os = "linux")]
    watcher: Option<linux::SocketWatcher>,
    /// Whether servers closed connections since the last purge.
    closed: Arc<AtomicBool>,
    purging: AsyncMutex<()>,
}

impl Connections {
    /// Starts watching, in a task of `runtime`.
    pub(super) fn new(runtime: &Handle) -> Self {
        let closed: Arc<AtomicBool> = Arc::default();
        #[cfg(target_os = "linux")]
        let watcher = linux::SocketWatcher::new(runtime, Arc::clone(&closed)).ok();
        #[cfg(not(target_os = "linux"))]
        let _ = runtime;
        Self {
            #[cfg(target_os = "linux")]
            watcher,
            closed,
            ..Self::default()
        }
    }

    /// Sets options for systems where closed connections cannot be detected.
    pub(super) fn prepare(options: &mut ClientOptions) {
        #[cfg(not(target_os = "linux"))]
        options.max_idle_time.get_or_insert(MAX_IDLE_TIME);
        #[cfg(target_os = "linux")]
        let _ = options;
    }

    /// Handles an event of a connection pool.
    pub(super) fn handle_pool_event(&self, event: &CmapEvent) {
        match event {
            CmapEvent::ConnectionReady(event) => {
                *self.open().entry(event.address.clone()).or_insert(0) += 1;
                #[cfg(target_os = "linux")]
                if let (Some(watcher), ServerAddress::Tcp { port, .. }) = (&self.watcher, &event.address) {
                    watcher.add(port.unwrap_or(DEFAULT_PORT));
                }
            }
            CmapEvent::ConnectionClosed(event) => {
                if let Some(open) = self.open().get_mut(&event.address) {
                    *open = open.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    /// Returns the number of open connections to a server.
    pub(super) fn open_to(&self, address: &ServerAddress) -> usize {
        self.open().get(address).copied().unwrap_or(0)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<ServerAddress, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts down connections that servers have closed. Costs at most one system call if there are none.
    pub(super) fn poll(&self) {
        #[cfg(target_os = "linux")]
        if let Some(watcher) = &self.watcher {
            watcher.poll();
        }
    }

    /// Makes the driver discard closed connections. Called before commands that cannot be retried:
    /// the first command of a transaction, and `getMore`.
    ///
    /// It pings on each connection. When a ping fails, the driver clears the whole pool.
    pub(super) async fn purge(&self, client: &Client) {
        #[cfg(target_os = "linux")]
        if let Some(watcher) = &self.watcher {
            watcher.poll_now();
        }
        if !self.closed.load(Ordering::Acquire) {
            return;
        }
        let _purging = self.purging.lock().await;
        if !self.closed.swap(false, Ordering::AcqRel) {
            return;
        }
        let open: Vec<_> = self.open().iter().map(|(address, open)| (address.clone(), *open)).collect();
        let pings = open.into_iter().flat_map(|(address, open)| {
            let criteria = SelectionCriteria::Predicate(Arc::new(move |server| *server.address() == address));
            std::iter::repeat_n(criteria, open)
        });
        let admin = client.database("admin");
        let pings = pings.map(|criteria| {
            let ping = admin.run_command(doc! { "ping": 1 }).selection_criteria(criteria);
            async move { drop(unobserved(ping).await) }
        });
        // If the server does not respond, the command itself fails with a better error.
        drop(timeout(PURGE_TIME, futures_util::future::join_all(pings)).await);
    }
}

#[cfg(target_os = "linux")]
const DEFAULT_PORT: u16 = 27017;

impl DriverClient {
    /// Makes the driver discard closed connections: see [`Connections::purge`].
    pub(super) async fn purge(&self) {
        if let Some(Connected { client, .. }) = self.client.get() {
            self.connections.purge(client).await;
        }
    }
}
