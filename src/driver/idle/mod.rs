//! Connections that the server closed while they were idle in the pool.
//!
//! The driver does not look at a connection before it sends a command on it. A
//! load balancer, a firewall or the server closes idle connections; the next
//! command then fails with an error that does not tell whether the server got
//! it, so that only what may be done twice can be repeated.
//!
//! Here every connection of the pools is watched. As soon as its server has
//! closed it, its sending side is shut down: from then on a send fails with
//! `BrokenPipe`, and that error, which only a send gives, proves that the
//! command was not sent as a whole. [`super::retryable::Repeats`] sends such a command
//! again, whatever it does.

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

use super::events::unheard;
use super::{Connected, DriverClient};
use crate::limits::PURGE_TIME;

/// Where closed connections cannot be watched, none is used that was idle for
/// longer, unless the connection string says otherwise.
#[cfg(not(target_os = "linux"))]
const MAX_IDLE_TIME: std::time::Duration = std::time::Duration::from_secs(60);

/// The connections of a client.
#[derive(Default)]
pub(super) struct Connections {
    /// How many are open, by server.
    open: Mutex<HashMap<ServerAddress, usize>>,
    #[cfg(target_os = "linux")]
    watched: Option<linux::Watched>,
    /// Whether some were closed by their server since the last purge.
    closed: Arc<AtomicBool>,
    purging: AsyncMutex<()>,
}

impl Connections {
    /// No connection yet; watching goes on in `runtime`.
    pub(super) fn new(runtime: &Handle) -> Self {
        let closed: Arc<AtomicBool> = Arc::default();
        #[cfg(target_os = "linux")]
        let watched = linux::Watched::new(runtime, Arc::clone(&closed)).ok();
        #[cfg(not(target_os = "linux"))]
        let _ = runtime;
        Self {
            #[cfg(target_os = "linux")]
            watched,
            closed,
            ..Self::default()
        }
    }

    /// Options for where nothing can be watched.
    pub(super) fn prepare(options: &mut ClientOptions) {
        #[cfg(not(target_os = "linux"))]
        options.max_idle_time.get_or_insert(MAX_IDLE_TIME);
        #[cfg(target_os = "linux")]
        let _ = options;
    }

    /// Takes note of what happens to the pools.
    pub(super) fn note(&self, event: &CmapEvent) {
        match event {
            CmapEvent::ConnectionReady(event) => {
                *self.open().entry(event.address.clone()).or_insert(0) += 1;
                #[cfg(target_os = "linux")]
                if let (Some(watched), ServerAddress::Tcp { port, .. }) = (&self.watched, &event.address) {
                    watched.add(port.unwrap_or(DEFAULT_PORT));
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

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<ServerAddress, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts down what servers have closed until now. One system call, where there is nothing.
    pub(super) fn look(&self) {
        #[cfg(target_os = "linux")]
        if let Some(watched) = &self.watched {
            watched.look();
        }
    }

    /// Has the driver drop connections that were closed, before what cannot be
    /// sent again: the first command of a transaction, the next batch of a cursor.
    ///
    /// A ping on each connection finds the closed ones, and for the first of
    /// them the driver drops the whole pool.
    pub(super) async fn purge(&self, client: &Client) {
        self.look();
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
            async move { drop(unheard(ping).await) }
        });
        // Of a server that does not answer the command itself tells more.
        drop(timeout(PURGE_TIME, futures_util::future::join_all(pings)).await);
    }
}

#[cfg(target_os = "linux")]
const DEFAULT_PORT: u16 = 27017;

impl DriverClient {
    /// Has the driver drop connections that were closed: see [`Connections::purge`].
    pub(super) async fn purge(&self) {
        if let Some(Connected { client, .. }) = self.client.get() {
            self.connections.purge(client).await;
        }
    }
}
