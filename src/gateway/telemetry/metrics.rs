//! Metrics for Prometheus. No label's value comes from a request.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::driver::events::{ConnectionChange, DriverEvent, Listener, Wanted};

/// The media type of [`Metrics::encode`].
pub(in crate::gateway) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The histogram's buckets in seconds: from the fastest possible request to the default timeout.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Counts client connections.
#[derive(Clone, Default)]
pub(in crate::gateway) struct ConnectionMetrics {
    open: Gauge<i64, AtomicI64>,
    refused: Counter,
}

/// Counts a connection or a change stream while it is open.
pub(in crate::gateway) struct Counted(Gauge<i64, AtomicI64>);

impl Counted {
    fn of(gauge: &Gauge<i64, AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl ConnectionMetrics {
    /// Counts a connection until the result is dropped.
    pub(in crate::gateway) fn opened(&self) -> Counted {
        Counted::of(&self.open)
    }

    /// Counts a connection that its peer may not have.
    pub(in crate::gateway) fn refused(&self) {
        self.refused.inc();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) action: &'static str,
    pub(super) status: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ActionLabels {
    pub(super) action: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ErrorLabels {
    pub(super) error_code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DataSourceLabels {
    data_source: String,
}

/// The gateway's metrics.
pub(in crate::gateway) struct Metrics {
    registry: Registry,
    pub(super) requests: Family<RequestLabels, Counter>,
    pub(super) seconds: Family<ActionLabels, Histogram, fn() -> Histogram>,
    pub(super) errors: Family<ErrorLabels, Counter>,
    pub(super) in_progress: Gauge<i64, AtomicI64>,
    /// Client connections.
    pub(in crate::gateway) connections: ConnectionMetrics,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    pub(super) dropped_log_lines: Counter,
    streams: Gauge<i64, AtomicI64>,
    /// Changes that were sent.
    pub(in crate::gateway) stream_events: Counter,
    pub(super) lost_spans: Counter,
    pool: Family<DataSourceLabels, Gauge>,
    pool_in_use: Family<DataSourceLabels, Gauge>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("connect_mongodb_gateway"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            errors: Family::default(),
            in_progress: Gauge::default(),
            connections: ConnectionMetrics::default(),
            received: Counter::default(),
            sent: Counter::default(),
            dropped_log_lines: Counter::default(),
            streams: Gauge::default(),
            stream_events: Counter::default(),
            lost_spans: Counter::default(),
            pool: Family::default(),
            pool_in_use: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Completed requests, by action and HTTP status", metrics.requests.clone());
        registry.register(
            "request_seconds",
            "Time from a request's head to the end of its response, by action, in seconds",
            metrics.seconds.clone(),
        );
        registry.register("errors", "Rejected and failed requests, by error_code", metrics.errors.clone());
        registry.register("requests_under_way", "Requests in progress", metrics.in_progress.clone());
        registry.register("connections", "Open client connections", metrics.connections.open.clone());
        registry.register(
            "connections_refused",
            "Connections closed because their address had limits.connections_per_peer with requests in progress",
            metrics.connections.refused.clone(),
        );
        registry.register("received_bytes", "Bytes of request bodies", metrics.received.clone());
        registry.register("sent_bytes", "Bytes of response bodies", metrics.sent.clone());
        registry.register(
            "log_lines_lost",
            "Log lines dropped because stderr was not read in time",
            metrics.dropped_log_lines.clone(),
        );
        registry.register("streams", "Open change streams", metrics.streams.clone());
        registry.register("stream_events", "Changes sent on change streams", metrics.stream_events.clone());
        registry.register(
            "trace_spans_lost",
            "Spans that the OpenTelemetry collector did not take in time",
            metrics.lost_spans.clone(),
        );
        registry.register("mongodb_connections", "Connections to MongoDB, by data source", metrics.pool.clone());
        registry.register(
            "mongodb_connections_in_use",
            "Connections to MongoDB that are running a command, by data source",
            metrics.pool_in_use.clone(),
        );
        metrics
    }

    /// Registers the number of password hashes that were computed.
    pub(in crate::gateway) fn register_password_hashes(&mut self, hashes: &Counter) {
        self.registry.register("password_hashes", "Password hashes that logins computed", hashes.clone());
    }

    /// The metrics as text, in the [`OPENMETRICS`] format.
    pub(in crate::gateway) fn encode(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string does not fail.
            Err(_) => String::new(),
        }
    }

    /// Counts a change stream until the result is dropped.
    pub(in crate::gateway) fn open_stream(&self) -> Counted {
        Counted::of(&self.streams)
    }

    /// A listener that counts the connections of a data source's pool.
    pub(in crate::gateway) fn pool_listener(&self, data_source: &str) -> Arc<dyn Listener> {
        let labels = DataSourceLabels { data_source: data_source.to_owned() };
        Arc::new(PoolGauges {
            open: self.pool.get_or_create_owned(&labels),
            in_use: self.pool_in_use.get_or_create_owned(&labels),
        })
    }
}

struct PoolGauges {
    open: Gauge,
    in_use: Gauge,
}

impl Listener for PoolGauges {
    fn wanted(&self) -> Wanted {
        Wanted { connections: true, ..Wanted::default() }
    }

    fn notify(&self, _event: DriverEvent) {}

    fn connection_changed(&self, change: ConnectionChange) {
        match change {
            ConnectionChange::Created => drop(self.open.inc()),
            ConnectionChange::Closed => drop(self.open.dec()),
            ConnectionChange::CheckedOut => drop(self.in_use.inc()),
            ConnectionChange::CheckedIn => drop(self.in_use.dec()),
        }
    }

    fn drain(&self) {}
}
