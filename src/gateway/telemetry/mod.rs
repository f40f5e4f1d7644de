//! Telemetry: metrics, a log line for each request, and IDs that link both to the caller's own.
//!
//! Nothing here contains a key, a password or a document.

mod access_log;
pub(super) mod metrics;
mod otlp;
mod repeats;
mod trace;

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderValue, Response};
use bson::Bson;

use super::api_error::{Aborted, INCOMPLETE_RESPONSE};
use super::config_error::config_error;
use super::limits::response_body::ResponseBody;
use super::observed_body::{BodyObserver, ObservedBody, observe};
use super::server::peer::Peer;
use super::target::RequestTarget;
use crate::data_api::protocol::Action;
use crate::error::{Error, ErrorKind, Result};
use access_log::{LogLine, LogWriter};
use metrics::{ActionLabels, ErrorLabels, Metrics, RequestLabels};
pub(super) use otlp::{OtlpConfig, OtlpSettings};
use otlp::{Span, SpanExporter};
use repeats::{Failure, Repeats};
use trace::{REQUEST_ID, TRACEPARENT, TraceContext};

/// The status of requests whose client disconnected before the response, as in nginx's log.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// How often lines of repeated failures that were left out are reported, and counted anew.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Reads a share from 0 to 1, by default 1.
pub(super) fn share(name: &str, value: Option<f64>) -> Result<f64> {
    match value.unwrap_or(1.0) {
        share if (0.0..=1.0).contains(&share) => Ok(share),
        _ => config_error(format!("{name} must be a number from 0 to 1")),
    }
}

/// Which requests are logged.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccessLog {
    /// Whether any is.
    pub(super) enabled: bool,
    /// The share of the successful ones, from 0 to 1.
    pub(super) sample: f64,
    /// The time from which a successful request is always logged.
    pub(super) slow: Duration,
}

/// Counts and logs requests.
pub(super) struct Telemetry {
    pub(super) metrics: Metrics,
    access_log: AccessLog,
    /// How many requests could have been left out by sampling.
    sampled: AtomicU64,
    /// The number of the next request that has no trace.
    next_trace: AtomicU64,
    repeats: Repeats,
    /// Where spans go, if there is a collector.
    spans: Option<SpanExporter>,
    log: LogWriter,
    /// A random number, with which this process's request IDs begin.
    process_id: u64,
    next_request: AtomicU64,
    started: Instant,
    /// The second of the last rate-limited message.
    last_limited_message: AtomicU64,
}

/// The body of a response whose request is counted and logged at its end.
pub(super) type RecordedBody = ObservedBody<ResponseBody, ResponseRecord>;

/// What is known about a request so far. A record that is dropped without a response is counted
/// and logged as [`CLIENT_CLOSED_REQUEST`].
pub(super) struct RequestRecord {
    telemetry: Option<Arc<Telemetry>>,
    started: Instant,
    action: Option<Action>,
    /// The name of a request that is not an action.
    pub(super) route: Option<&'static str>,
    request_id: HeaderValue,
    trace: Option<TraceContext>,
    peer: Peer,
    /// The caller's name.
    pub(super) caller: Option<Arc<str>>,
    /// The collection, once its name is validated.
    pub(super) target: Option<Arc<RequestTarget>>,
    /// The length of the request body, in bytes.
    pub(super) received: usize,
    /// The `error_code` of the response.
    pub(super) error_code: Option<String>,
    /// A reason that only the log shows.
    pub(super) reason: Option<&'static str>,
}

impl RequestRecord {
    /// The address of the client.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The `comment` of the request's command: its trace context, if it has one.
    pub(super) fn comment(&self) -> Option<Bson> {
        self.trace.as_ref().map(TraceContext::comment)
    }
}

impl Telemetry {
    /// Starts the log, and the sending of spans to a collector.
    ///
    /// # Errors
    /// `Configuration` if the system cannot start a thread, has no random numbers, or the collector cannot be used.
    pub(super) fn new(access_log: AccessLog, otlp: Option<OtlpSettings>) -> Result<Self> {
        let no_log = |error: std::io::Error| {
            Error::new(ErrorKind::Configuration, format!("the log cannot be started ({error})"))
        };
        let mut process_id = [0; 8];
        getrandom::fill(&mut process_id).map_err(std::io::Error::other).map_err(no_log)?;
        let process_id = u64::from_le_bytes(process_id);
        let metrics = Metrics::new();
        let spans = otlp.map(|otlp| SpanExporter::start(otlp, process_id, metrics.lost_spans.clone())).transpose()?;
        Ok(Self {
            metrics,
            access_log,
            sampled: AtomicU64::new(0),
            next_trace: AtomicU64::new(1),
            repeats: Repeats::default(),
            spans,
            log: LogWriter::start().map_err(no_log)?,
            process_id,
            next_request: AtomicU64::new(1),
            started: Instant::now(),
            last_limited_message: AtomicU64::new(0),
        })
    }

    /// Begins the record of a request.
    pub(super) fn begin(self: &Arc<Self>, action: Option<Action>, headers: &HeaderMap, peer: Peer) -> RequestRecord {
        self.metrics.in_progress.inc();
        let number = self.next_request.fetch_add(1, Ordering::Relaxed);
        RequestRecord {
            telemetry: Some(Arc::clone(self)),
            started: Instant::now(),
            action,
            route: None,
            request_id: trace::request_id(headers, self.process_id, number),
            trace: TraceContext::from_headers(headers, self.process_id.wrapping_add(number).max(1)),
            peer,
            caller: None,
            target: None,
            received: 0,
            error_code: None,
            reason: None,
        }
    }

    /// Adds the IDs to a response. The request is counted and logged when its body is sent.
    pub(super) fn finish(record: RequestRecord, mut response: Response<ResponseBody>) -> Response<RecordedBody> {
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, record.request_id.clone());
        if let Some(parent) = record.trace.as_ref().and_then(|trace| HeaderValue::try_from(trace.traceparent()).ok()) {
            headers.insert(TRACEPARENT, parent);
        }
        let status = response.status().as_u16();
        response.map(|body| {
            let complete = http_body::Body::size_hint(&body).exact() == Some(0);
            observe(body, ResponseRecord { request: record, status, sent: 0, complete })
        })
    }

    fn record(&self, request: &RequestRecord, status: u16, sent: u64, complete: bool) {
        let elapsed = request.started.elapsed();
        let action = request.action.map_or(request.route.unwrap_or("other"), Action::name);
        let metrics = &self.metrics;
        metrics.in_progress.dec();
        metrics.requests.get_or_create(&RequestLabels { action, status: status.into() }).inc();
        metrics.seconds.get_or_create(&ActionLabels { action }).observe(elapsed.as_secs_f64());
        metrics.received.inc_by(request.received as u64);
        metrics.sent.inc_by(sent);
        let error_code = request.error_code.as_deref().or((!complete).then_some(INCOMPLETE_RESPONSE));
        if let Some(error_code) = error_code {
            metrics.errors.get_or_create(&ErrorLabels { error_code: error_code.to_owned() }).inc();
        }
        if let Some(spans) = &self.spans {
            self.export(spans, request, status, sent, error_code, elapsed);
        }
        if !self.access_log.enabled {
            return;
        }
        let mut sample = None;
        if let Some(error_code) = error_code.or((status >= 400).then_some("other")) {
            let (peer, error_code) = (Some(request.peer), error_code.to_owned());
            if !self.repeats.count(Failure { peer, action, status, error_code }) {
                return;
            }
        } else if self.access_log.sample < 1.0 && elapsed < self.access_log.slow {
            if !self.is_in_sample() {
                return;
            }
            sample = Some(self.access_log.sample);
        }
        let mut line = LogLine::new("info");
        line.string("request_id", request.request_id.to_str().unwrap_or_default());
        if let Some(trace) = &request.trace {
            line.string("trace_id", &trace.trace_id);
        }
        line.string("peer", &request.peer.to_string());
        if let Some(caller) = &request.caller {
            line.string("caller", caller);
        }
        line.string("action", action);
        if let Some(target) = &request.target {
            line.string("data_source", &target.data_source);
            line.string("database", &target.namespace.database);
            line.string("collection", &target.namespace.collection);
        }
        if let Some(error_code) = error_code {
            line.string("error_code", error_code);
        }
        if let Some(reason) = request.reason {
            line.string("reason", reason);
        }
        if let Some(sample) = sample {
            line.number("sample", sample);
        }
        line.figures(status, elapsed, request.received, sent);
        self.write(line);
    }

    /// Whether the next successful request is logged.
    fn is_in_sample(&self) -> bool {
        in_share(self.sampled.fetch_add(1, Ordering::Relaxed), self.access_log.sample)
    }

    /// Exports the span of an action: as a part of the client's trace if the client records it, or of a new one.
    fn export(
        &self,
        spans: &SpanExporter,
        request: &RequestRecord,
        status: u16,
        sent: u64,
        error_code: Option<&str>,
        elapsed: Duration,
    ) {
        let Some(action) = request.action else { return };
        let (trace_id, span_id) = match &request.trace {
            Some(trace) if trace.is_sampled() => (trace.trace_id.clone(), trace.span),
            Some(_) => return,
            None => {
                let number = self.next_trace.fetch_add(1, Ordering::Relaxed);
                if !spans.samples(number) {
                    return;
                }
                let first = self.process_id.wrapping_add(number.wrapping_mul(3));
                let [high, low, span] = [0, 1, 2].map(|part| mixed(first.wrapping_add(part)));
                (format!("{high:016x}{:016x}", low | 1), span | 1)
            }
        };
        let target = request
            .target
            .as_ref()
            .map(|target| (target.namespace.database.to_string(), target.namespace.collection.to_string()));
        spans.export(Span {
            trace_id,
            span_id,
            parent_id: request.trace.as_ref().map(|trace| trace.parent.clone()),
            trace_state: request.trace.as_ref().and_then(|trace| trace.state.clone()),
            action: action.name(),
            elapsed,
            ended: SystemTime::now(),
            status,
            error_code: error_code.map(str::to_owned),
            peer: request.peer.to_string(),
            target,
            received: request.received,
            sent,
        });
    }

    /// Logs regularly how many lines of failures were left out.
    pub(super) async fn keep_reporting(self: Arc<Self>) {
        loop {
            tokio::time::sleep(REPORT_INTERVAL).await;
            self.report_left_out();
        }
    }

    fn report_left_out(&self) {
        for (failure, lines) in self.repeats.left_out() {
            let mut line = LogLine::new("warning");
            line.string("message", &format!("{lines} more requests failed in this way: their lines were left out"));
            if let Some(peer) = failure.peer {
                line.string("peer", &peer.to_string());
                line.string("action", failure.action);
                line.string("error_code", &failure.error_code);
                line.number("status", f64::from(failure.status));
            }
            self.write(line);
        }
    }

    /// Logs a message for the operator.
    pub(super) fn log(&self, level: &'static str, message: &str) {
        let mut line = LogLine::new(level);
        line.string("message", message);
        self.write(line);
    }

    /// Logs a message that each request could cause, at most one per second.
    pub(super) fn log_limited(&self, level: &'static str, message: &str) {
        let second = self.started.elapsed().as_secs() + 1;
        if self.last_limited_message.swap(second, Ordering::Relaxed) != second {
            self.log(level, message);
        }
    }

    fn write(&self, line: LogLine) {
        if !self.log.write(line) {
            self.metrics.dropped_log_lines.inc();
        }
    }

    /// Sends the remaining spans.
    pub(super) async fn send_remaining_spans(&self) {
        if let Some(spans) = &self.spans {
            spans.shut_down().await;
        }
    }

    /// Writes the remaining lines of the log.
    pub(super) fn shutdown(&self) {
        self.report_left_out();
        self.log.shutdown();
    }
}

/// Whether a share from 0 to 1 of all numbers includes this one. The multiples of the golden ratio are spread evenly.
fn in_share(number: u64, share: f64) -> bool {
    let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) as f64 / u64::MAX as f64;
    place < share
}

/// A number that looks random: a step of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A response on its way. It is counted and logged when its body is dropped.
pub(super) struct ResponseRecord {
    request: RequestRecord,
    status: u16,
    sent: u64,
    /// Whether the whole body was sent.
    complete: bool,
}

impl BodyObserver for ResponseRecord {
    fn sent(&mut self, bytes: usize, complete: bool) {
        self.sent += bytes as u64;
        self.complete = complete;
    }

    fn failed(&mut self, error: &dyn Any) {
        let error = error.downcast_ref::<axum::Error>();
        if let Some(aborted) = error.and_then(|error| Aborted::cause_of(error)) {
            self.request.error_code = Some(aborted.error_code.clone().into_owned());
        }
    }
}

impl Drop for ResponseRecord {
    fn drop(&mut self) {
        if let Some(telemetry) = self.request.telemetry.take() {
            telemetry.record(&self.request, self.status, self.sent, self.complete);
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        if let Some(telemetry) = self.telemetry.take() {
            let (status, reason) = match std::thread::panicking() {
                true => (500, "internal error of the gateway"),
                false => (CLIENT_CLOSED_REQUEST, "the client disconnected, or the gateway shut down"),
            };
            self.reason = Some(reason);
            telemetry.record(self, status, 0, false);
        }
    }
}
