//! The open connections, and which of them are closed to make room for others.
//!
//! A connection with a request in progress is never closed. All others wait for a head: of their first request, which
//! may never come, or of the next one, as long as `keep_alive`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::peer::Network;

/// How often [`Connections::room`] looks for a connection that has become idle.
const ROOM_INTERVAL: Duration = Duration::from_millis(20);

/// The open connections of a listener.
pub(super) struct Connections {
    table: Mutex<Table>,
    limit: usize,
    /// The limit for each network that is not a trusted proxy's.
    limit_per_network: usize,
    ended: Notify,
    started: Instant,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Entry>,
    networks: HashMap<Network, usize>,
    next: u64,
}

struct Entry {
    activity: Arc<Activity>,
    network: Option<Network>,
    /// `None` once the connection was told to end.
    close: Option<oneshot::Sender<Close>>,
}

/// How a connection must end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// At once: another connection needs its place.
    Now,
    /// After the requests in progress.
    Gracefully,
}

/// Why a connection is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All connections have requests in progress.
    Full,
    /// All connections of the peer's network, which are too many, have requests in progress.
    Peer,
}

/// An open connection, until it is dropped.
pub(super) struct OpenConnection {
    connections: Arc<Connections>,
    id: u64,
    pub(super) activity: Arc<Activity>,
    pub(super) close: oneshot::Receiver<Close>,
}

/// What a connection does. Times are milliseconds since the listener's start.
pub(super) struct Activity {
    started: Instant,
    requests: AtomicUsize,
    /// When the connection began to wait for a head.
    waiting_since: AtomicU64,
    /// When the first byte of the next head arrived, plus 1; 0 if none has.
    head_since: AtomicU64,
    served: AtomicBool,
    http2: AtomicBool,
    /// Whether a write waits for the client, which still receives a response.
    blocked: AtomicBool,
}

impl Connections {
    /// A table for so many connections, and for so many of each network.
    pub(super) fn new(limit: usize, limit_per_network: usize) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            limit,
            limit_per_network,
            ended: Notify::new(),
            started: Instant::now(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection. If there are too many, the one that has waited longest for a head is closed. `network` is
    /// `None` for peers without a limit of their own.
    ///
    /// # Errors
    /// None of those that are too many waits.
    pub(super) fn admit(self: &Arc<Self>, network: Option<Network>) -> Result<OpenConnection, Refusal> {
        let mut table = self.table();
        if let Some(network) = network
            && table.networks.get(&network).is_some_and(|open| *open >= self.limit_per_network)
            && !table.close_longest_waiting(Some(network))
        {
            return Err(Refusal::Peer);
        }
        if table.open.len() >= self.limit && !table.close_longest_waiting(None) {
            return Err(Refusal::Full);
        }
        let activity = Arc::new(Activity::new(self.started));
        let (close, closed) = oneshot::channel();
        let id = table.next;
        table.next += 1;
        table.open.insert(id, Entry { activity: Arc::clone(&activity), network, close: Some(close) });
        if let Some(network) = network {
            *table.networks.entry(network).or_default() += 1;
        }
        Ok(OpenConnection { connections: Arc::clone(self), id, activity, close: closed })
    }

    /// Waits until [`Self::admit`] may succeed.
    pub(super) async fn room(&self) {
        drop(timeout(ROOM_INTERVAL, self.ended.notified()).await);
    }

    /// Closes the connection that has waited longest for a head, if there is one.
    pub(super) fn close_longest_waiting(&self) -> bool {
        self.table().close_longest_waiting(None)
    }

    /// Tells all connections to end after their requests in progress, and waits for their end.
    pub(super) async fn shut_down(&self) {
        // The entries stay: a connection is open until it is dropped.
        for close in self.table().open.values_mut().filter_map(|entry| entry.close.take()) {
            drop(close.send(Close::Gracefully));
        }
        while !self.table().open.is_empty() {
            self.room().await;
        }
    }
}

impl Table {
    /// Closes the connection that has waited longest for a head: first those that have never sent one.
    fn close_longest_waiting(&mut self, network: Option<Network>) -> bool {
        let candidates = self.open.iter().filter(|(_, entry)| network.is_none() || entry.network == network);
        let waiting = candidates.filter_map(|(id, entry)| Some((entry.activity.waiting()?, *id)));
        let Some((_, id)) = waiting.min() else { return false };
        if let Some(close) = self.remove(id).and_then(|entry| entry.close) {
            drop(close.send(Close::Now));
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.open.remove(&id)?;
        if let Some(network) = entry.network
            && let Some(open) = self.networks.get_mut(&network)
        {
            *open -= 1;
            if *open == 0 {
                self.networks.remove(&network);
            }
        }
        Some(entry)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.table().remove(self.id);
        self.connections.ended.notify_one();
    }
}

impl Activity {
    fn new(started: Instant) -> Self {
        let activity = Self {
            started,
            requests: AtomicUsize::new(0),
            waiting_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            served: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
        };
        activity.waiting_since.store(activity.now(), Ordering::Relaxed);
        activity
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes that bytes have arrived.
    pub(super) fn received(&self) {
        if self.requests.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// Notes that a head is complete.
    pub(super) fn begin(&self, http2: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        if !self.served.load(Ordering::Relaxed) {
            self.http2.store(http2, Ordering::Relaxed);
            self.served.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that a write has to wait.
    pub(super) fn blocked(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    /// Notes that no write waits any longer.
    pub(super) fn unblocked(&self) {
        self.waiting_since.store(self.now(), Ordering::Relaxed);
        self.blocked.store(false, Ordering::Relaxed);
    }

    /// Notes that a response is handed over to be sent.
    pub(super) fn end(&self) {
        self.waiting_since.store(self.now(), Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the connection's requests are of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Whether the connection has ever had a request, and since when it waits for a head; `None` if it does not wait.
    pub(super) fn waiting(&self) -> Option<(bool, u64)> {
        let waits = self.requests.load(Ordering::Relaxed) == 0 && !self.blocked.load(Ordering::Relaxed);
        waits.then(|| (self.served.load(Ordering::Relaxed), self.waiting_since.load(Ordering::Relaxed)))
    }

    /// When the connection must end unless a head arrives; `None` while it has requests.
    fn deadline(&self, head: Duration, keep_alive: Duration) -> Option<Instant> {
        let (served, since) = self.waiting()?;
        let (since, limit) = match self.head_since.load(Ordering::Relaxed) {
            _ if !served => (since, head),
            // An HTTP/2 connection also has frames that belong to no request.
            0 => (since, keep_alive),
            _ if self.is_http2() => (since, keep_alive),
            begun => (begun - 1, head),
        };
        Some(self.started + Duration::from_millis(since) + limit)
    }

    /// Completes when a head takes longer than `head`, or the connection is idle for longer than `keep_alive`.
    pub(super) async fn expired(&self, head: Duration, keep_alive: Duration) {
        // A clock that has not begun yet is not due earlier than this.
        let shortest = head.min(keep_alive);
        loop {
            let wait = match self.deadline(head, keep_alive) {
                None => shortest,
                Some(deadline) => match deadline.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return,
                    remaining => remaining.min(shortest),
                },
            };
            sleep(wait.max(Duration::from_millis(1))).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::gateway::server::peer::Peer;

    fn network(number: u8) -> Option<Network> {
        Peer::Ip([192, 0, 2, number].into()).network()
    }

    fn closed(connection: &mut OpenConnection) -> bool {
        connection.close.try_recv() == Ok(Close::Now)
    }

    /// Pretends that a connection has waited since this moment.
    fn waits_since(connection: &OpenConnection, moment: u64) {
        connection.activity.waiting_since.store(moment, Ordering::Relaxed);
    }

    #[tokio::test]
    async fn the_connection_that_waits_longest_makes_room() {
        let connections = Connections::new(3, 3);
        let [mut served, mut first, mut second] = std::array::from_fn(|_| connections.admit(network(1)).unwrap());
        served.activity.begin(false);
        served.activity.end();
        waits_since(&served, 1);
        waits_since(&first, 2);
        waits_since(&second, 3);
        let mut third = connections.admit(network(2)).unwrap();
        waits_since(&third, 4);
        assert!(closed(&mut first) && !closed(&mut second) && !closed(&mut served));
        drop(first);
        let fourth = connections.admit(network(2)).unwrap();
        assert!(closed(&mut second) && !closed(&mut third));
        third.activity.begin(false);
        fourth.activity.begin(false);
        // Only now the idle connection, which has had a request.
        let fifth = connections.admit(network(2)).unwrap();
        assert!(closed(&mut served));
        fifth.activity.begin(false);
        assert_eq!(connections.admit(network(3)).err(), Some(Refusal::Full));
        drop(third);
        assert!(connections.admit(network(3)).is_ok());
    }

    #[tokio::test]
    async fn each_network_has_a_limit() {
        let connections = Connections::new(100, 2);
        let busy: Vec<_> = (0..2).map(|_| connections.admit(network(1)).unwrap()).collect();
        let mut other = connections.admit(network(2)).unwrap();
        busy.iter().for_each(|connection| connection.activity.begin(false));
        assert_eq!(connections.admit(network(1)).err(), Some(Refusal::Peer));
        assert!(!closed(&mut other));
        // Peers without a limit of their own.
        let _unlimited: Vec<_> = (0..5).map(|_| connections.admit(None).unwrap()).collect();
        busy[0].activity.end();
        assert!(connections.admit(network(1)).is_ok());
    }

    #[tokio::test]
    async fn a_head_and_an_idle_connection_have_limits_of_their_own() {
        let (head, keep_alive) = (Duration::from_secs(30), Duration::from_secs(75));
        let activity = Activity::new(Instant::now());
        let seconds = |activity: &Activity| {
            let deadline = activity.deadline(head, keep_alive)?;
            Some(deadline.duration_since(activity.started).as_secs())
        };
        let waits_since = |activity: &Activity, second: u64| {
            activity.waiting_since.store(second * 1000, Ordering::Relaxed);
        };
        // The first head, whether it has begun or not.
        assert_eq!(seconds(&activity), Some(30));
        activity.head_since.store(20_001, Ordering::Relaxed);
        assert_eq!(seconds(&activity), Some(30));
        activity.begin(false);
        assert_eq!(seconds(&activity), None);
        activity.end();
        waits_since(&activity, 100);
        assert_eq!(seconds(&activity), Some(175));
        activity.head_since.store(170_001, Ordering::Relaxed);
        activity.received();
        assert_eq!(seconds(&activity), Some(200));
        // Frames without a request do not keep an HTTP/2 connection open, and do not close it early.
        let activity = Activity::new(Instant::now());
        activity.begin(true);
        activity.end();
        waits_since(&activity, 100);
        activity.head_since.store(101_001, Ordering::Relaxed);
        assert_eq!(seconds(&activity), Some(175));
    }
}
