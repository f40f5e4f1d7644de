//! What clients may use: connections, requests, time and memory.

pub(super) mod caller_slots;
pub(super) mod memory;
pub(super) mod response_body;

use std::time::Duration;

use super::response_format::Framing;

/// MongoDB enforces the time limit of a request; the gateway itself gives up this much later.
pub(super) const TIMEOUT_MARGIN: Duration = Duration::from_secs(1);

/// The limits of a gateway.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Concurrent connections. Further ones replace those that wait for a head, or wait in the listen backlog.
    pub connections: usize,
    /// Concurrent connections of one address, or of one IPv6 network. Trusted proxies have no such limit.
    pub connections_per_peer: usize,
    /// How long the head of a request may take.
    pub head: Duration,
    /// How long a connection without requests stays open.
    pub keep_alive: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a client may stop reading a response.
    pub stalled: Duration,
    /// How long a request may take once it has arrived, until the end of its response.
    pub request: Duration,
    /// The same for a response as NDJSON, whose first documents must come within `request`.
    pub export: Duration,
    /// Concurrent requests.
    pub requests: usize,
    /// The maximum number of documents in a response; `None` for no limit.
    pub documents: Option<u64>,
    /// Requests per second and caller; `None` for no limit.
    pub requests_per_second: Option<f64>,
    /// How many requests a caller may send at once before the rate applies.
    pub burst: f64,
    /// How often the authentication of each peer may fail per minute.
    pub failed_logins_per_minute: f64,
    /// The largest request body, in bytes. As EJSON, a document of 16 MiB can take several times
    /// its size.
    pub body_bytes: usize,
    /// The memory of all requests and responses in progress, in bytes.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_peer: 512,
            head: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            body: Duration::from_secs(60),
            stalled: Duration::from_secs(120),
            request: Duration::from_secs(60),
            export: Duration::from_secs(3600),
            requests: 1024,
            documents: None,
            requests_per_second: None,
            burst: 1.0,
            failed_logins_per_minute: 60.0,
            body_bytes: 64 * 1024 * 1024,
            memory_bytes: 384 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// How long a response of this form may take.
    pub(super) fn of_response(&self, framing: Framing) -> Duration {
        match framing {
            Framing::Array => self.request,
            Framing::Lines => self.export,
        }
    }
}
