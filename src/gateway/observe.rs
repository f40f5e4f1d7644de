//! What an operator sees: metrics, a log line for each request, and ids that
//! tie both to the caller's own.
//!
//! No key, password or document gets here, and no label of a metric comes from
//! a request.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bson::{Bson, DateTime, doc};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::actions::Place;
use super::watched::{Polled, Watch, watched};
use crate::codec::ejson::write_text;
use crate::data_api::protocol::Action;
use crate::driver::events::{Listener, Told, Wanted};

/// Seconds, from what a null MongoDB takes to the default time of a request.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// The lines that wait for a slow reader of the log; more are counted and let go.
const WAITING_LINES: usize = 8192;
/// The status that logs and metrics have where nobody waited for one, as nginx has it.
const CLIENT_GONE: u16 = 499;
const REQUEST_ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    action: &'static str,
    status: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    error_code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SourceLabels {
    data_source: String,
}

/// What is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<ActionLabels, Histogram, fn() -> Histogram>,
    errors: Family<ErrorLabels, Counter>,
    under_way: Gauge<i64, AtomicI64>,
    /// Connections of clients.
    pub connections: Gauge<i64, AtomicI64>,
    received: Counter,
    sent: Counter,
    unlogged: Counter,
    pool: Family<SourceLabels, Gauge>,
    pool_in_use: Family<SourceLabels, Gauge>,
}

impl Metrics {
    fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("connect_mongodb_gateway"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            errors: Family::default(),
            under_way: Gauge::default(),
            connections: Gauge::default(),
            received: Counter::default(),
            sent: Counter::default(),
            unlogged: Counter::default(),
            pool: Family::default(),
            pool_in_use: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "requests",
            "Requests that were answered, by action and HTTP status",
            metrics.requests.clone(),
        );
        registry.register(
            "request_seconds",
            "Time from a request's head to the end of its answer, by action, in seconds",
            metrics.seconds.clone(),
        );
        registry.register("errors", "Requests that were refused or failed, by error_code", metrics.errors.clone());
        registry.register("requests_under_way", "Requests that are not answered yet", metrics.under_way.clone());
        registry.register("connections", "Connections of clients", metrics.connections.clone());
        registry.register("received_bytes", "Bytes of requests' bodies", metrics.received.clone());
        registry.register("sent_bytes", "Bytes of answers' bodies", metrics.sent.clone());
        registry.register("log_lines_lost", "Log lines that nobody took in time", metrics.unlogged.clone());
        registry.register("mongodb_connections", "Connections to MongoDB, by data source", metrics.pool.clone());
        registry.register(
            "mongodb_connections_in_use",
            "Connections to MongoDB that carry a command, by data source",
            metrics.pool_in_use.clone(),
        );
        metrics
    }

    /// In the text format of OpenMetrics, which Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a text does not fail.
            Err(_) => String::new(),
        }
    }

    /// Who counts the connections of a data source's pool.
    pub fn pool(&self, data_source: &str) -> Arc<dyn Listener> {
        let labels = SourceLabels { data_source: data_source.to_owned() };
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
        Wanted { pools: true, ..Wanted::default() }
    }

    fn told(&self, told: Told) {
        match told.name {
            "connection_created" => drop(self.open.inc()),
            "connection_closed" => drop(self.open.dec()),
            "connection_checked_out" => drop(self.in_use.inc()),
            "connection_checked_in" => drop(self.in_use.dec()),
            _ => {}
        }
    }

    fn settle(&self) {}
}

/// Counts and logs.
pub struct Observer {
    /// What is counted.
    pub metrics: Metrics,
    access_log: bool,
    log: Log,
    /// What ids begin with that are made here.
    process: u64,
    next: AtomicU64,
    begun: Instant,
    /// The second in which something was said that may come often.
    said: AtomicU64,
}

/// A thread that writes lines to stderr, so that no request waits for who reads them.
struct Log {
    lines: Mutex<Option<SyncSender<Vec<u8>>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Log {
    fn start() -> std::io::Result<Self> {
        let (lines, come) = sync_channel::<Vec<u8>>(WAITING_LINES);
        let thread = std::thread::Builder::new().name("connect-mongodb-log".to_owned()).spawn(move || {
            let mut out = std::io::stderr().lock();
            while let Ok(line) = come.recv() {
                // Whatever waits goes in one write.
                let mut together = line;
                while let Some(next) = (together.len() < 64 * 1024).then(|| come.try_recv().ok()).flatten() {
                    together.extend_from_slice(&next);
                }
                if out.write_all(&together).is_err() {
                    // Nobody reads it any more.
                    continue;
                }
            }
        })?;
        Ok(Self { lines: Mutex::new(Some(lines)), thread: Mutex::new(Some(thread)) })
    }

    /// Whether the line will be written.
    fn write(&self, line: Vec<u8>) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok())
    }

    /// Writes what is left, as long as somebody takes it.
    fn end(&self) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let until = Instant::now() + std::time::Duration::from_secs(1);
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// A line of the log: an object of JSON.
struct Line(Vec<u8>);

impl Line {
    fn new(level: &str) -> Self {
        let mut line = Self(Vec::with_capacity(384));
        line.text("time", &DateTime::now().try_to_rfc3339_string().unwrap_or_default());
        line.text("level", level);
        line
    }

    fn text(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        write_text(&mut self.0, name);
        self.0.push(b':');
        write_text(&mut self.0, value);
    }

    fn whole(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

/// What is known of a request. One whose client goes away before it has an
/// answer is told of when this goes.
pub struct Facts {
    observer: Option<Arc<Observer>>,
    begun: Instant,
    action: Option<Action>,
    request_id: HeaderValue,
    trace: Option<Trace>,
    peer: SocketAddr,
    /// The caller's name.
    pub caller: Option<Arc<str>>,
    /// Data source, database and collection, once they are known to be names.
    pub place: Option<Arc<Place>>,
    /// The body's length.
    pub received: usize,
    /// Why it was refused or failed.
    pub error_code: Option<String>,
    /// More of that, for the log alone.
    pub reason: Option<&'static str>,
}

/// A W3C trace context, with a span of ours.
struct Trace {
    id: String,
    flags: String,
    span: u64,
    state: Option<String>,
}

impl Trace {
    fn of(headers: &HeaderMap, span: u64) -> Option<Self> {
        let text = headers.get(TRACEPARENT)?.to_str().ok()?;
        let mut parts = text.split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
        let more = parts.next().is_some();
        let usable = hex(version, 2)
            && version != "ff"
            && !(version == "00" && more)
            && hex(id, 32)
            && !zero(id)
            && hex(parent, 16)
            && !zero(parent)
            && hex(flags, 2);
        let state = headers.get(TRACESTATE).and_then(|state| state.to_str().ok()).filter(|state| state.len() <= 512);
        usable.then(|| Self { id: id.to_owned(), flags: flags.to_owned(), span, state: state.map(str::to_owned) })
    }

    fn parent(&self) -> String {
        format!("00-{}-{:016x}-{}", self.id, self.span, self.flags)
    }
}

impl Facts {
    /// What MongoDB's log and profiler show of it; nothing without a trace.
    pub fn comment(&self) -> Option<Bson> {
        let trace = self.trace.as_ref()?;
        let mut comment = doc! { "traceparent": trace.parent() };
        if let Some(state) = &trace.state {
            comment.insert("tracestate", state);
        }
        Some(Bson::Document(comment))
    }
}

impl Observer {
    /// An observer that logs requests too, if `access_log`.
    ///
    /// # Errors
    /// No thread, or no random numbers.
    pub fn new(access_log: bool) -> std::io::Result<Self> {
        let mut process = [0; 8];
        getrandom::fill(&mut process).map_err(std::io::Error::other)?;
        let process = u64::from_le_bytes(process);
        Ok(Self {
            metrics: Metrics::new(),
            access_log,
            log: Log::start()?,
            process,
            next: AtomicU64::new(1),
            begun: Instant::now(),
            said: AtomicU64::new(0),
        })
    }

    /// A request has come.
    pub fn begin(self: &Arc<Self>, action: Option<Action>, headers: &HeaderMap, peer: SocketAddr) -> Facts {
        self.metrics.under_way.inc();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let usable =
            |id: &&HeaderValue| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
        let given = headers.get(REQUEST_ID).filter(usable).cloned();
        let made = || {
            let id = format!("{:016x}{number:08x}", self.process);
            HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
        };
        Facts {
            observer: Some(Arc::clone(self)),
            begun: Instant::now(),
            action,
            request_id: given.unwrap_or_else(made),
            trace: Trace::of(headers, self.process.wrapping_add(number) | 1),
            peer,
            caller: None,
            place: None,
            received: 0,
            error_code: None,
            reason: None,
        }
    }

    /// It has an answer: what is known of it is told when that has been taken.
    pub fn answered(&self, facts: Facts, mut response: Response) -> Response {
        response.headers_mut().insert(REQUEST_ID, facts.request_id.clone());
        if let Some(parent) = facts.trace.as_ref().and_then(|trace| HeaderValue::try_from(trace.parent()).ok()) {
            response.headers_mut().insert(TRACEPARENT, parent);
        }
        let status = response.status().as_u16();
        response.map(|body| {
            let ended = http_body::Body::size_hint(&body).exact() == Some(0);
            watched(body, Outcome { facts, status, sent: 0, ended })
        })
    }

    fn ended(&self, facts: &Facts, status: u16, sent: u64, whole: bool) {
        let took = facts.begun.elapsed();
        let action = facts.action.map_or("other", Action::name);
        let metrics = &self.metrics;
        metrics.under_way.dec();
        metrics.requests.get_or_create(&RequestLabels { action, status: status.into() }).inc();
        metrics.seconds.get_or_create(&ActionLabels { action }).observe(took.as_secs_f64());
        metrics.received.inc_by(facts.received as u64);
        metrics.sent.inc_by(sent);
        let code = facts.error_code.as_deref().or((!whole).then_some("AnswerBrokeOff"));
        if let Some(error_code) = code {
            metrics.errors.get_or_create(&ErrorLabels { error_code: error_code.to_owned() }).inc();
        }
        if !self.access_log {
            return;
        }
        let mut line = Line::new("info");
        line.text("request_id", facts.request_id.to_str().unwrap_or_default());
        if let Some(trace) = &facts.trace {
            line.text("trace_id", &trace.id);
        }
        line.text("peer", &facts.peer.ip().to_string());
        if let Some(caller) = &facts.caller {
            line.text("caller", caller);
        }
        line.text("action", action);
        if let Some(place) = &facts.place {
            line.text("data_source", &place.data_source);
            line.text("database", &place.namespace.database);
            line.text("collection", &place.namespace.collection);
        }
        if let Some(code) = code {
            line.text("error_code", code);
        }
        if let Some(reason) = facts.reason {
            line.text("reason", reason);
        }
        let figures = format!(
            ",\"status\":{status},\"ms\":{:.3},\"received\":{},\"sent\":{sent}",
            took.as_secs_f64() * 1e3,
            facts.received,
        );
        line.0.extend_from_slice(figures.as_bytes());
        self.write(line);
    }

    /// Something that its operator should know, and that may come with each
    /// request: it is said once a second at most.
    pub fn say_seldom(&self, level: &'static str, message: &str) {
        let second = self.begun.elapsed().as_secs() + 1;
        if self.said.swap(second, Ordering::Relaxed) != second {
            self.say(level, message);
        }
    }

    /// Something that its operator should know.
    pub fn say(&self, level: &'static str, message: &str) {
        let mut line = Line::new(level);
        line.text("message", message);
        self.write(line);
    }

    fn write(&self, line: Line) {
        if !self.log.write(line.whole()) {
            self.metrics.unlogged.inc();
        }
    }

    /// Writes what is left of the log.
    pub fn end(&self) {
        self.log.end();
    }
}

/// What came of an answer; told when its body goes.
struct Outcome {
    facts: Facts,
    status: u16,
    sent: u64,
    ended: bool,
}

impl Watch for Outcome {
    fn polled(&mut self, polled: &Polled, over: bool) {
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.ended = over;
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if let Some(observer) = self.facts.observer.take() {
            observer.ended(&self.facts, self.status, self.sent, self.ended);
        }
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        if let Some(observer) = self.observer.take() {
            let (status, reason) = match std::thread::panicking() {
                true => (500, "a fault of the gateway"),
                false => (CLIENT_GONE, "the client went away, or the gateway ended"),
            };
            self.reason = Some(reason);
            observer.ended(self, status, 0, false);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn traced(parent: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(TRACEPARENT.parse().unwrap(), HeaderValue::from_static(parent))]);
        Trace::of(&headers, 1).map(|trace| trace.parent())
    }

    #[test]
    fn a_trace_is_handed_on_with_a_span_of_ours() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(
            traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            Some(format!("00-{id}-0000000000000001-01"))
        );
        assert!(traced("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later").is_some());
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(traced(wrong), None, "{wrong}");
        }
    }
}
