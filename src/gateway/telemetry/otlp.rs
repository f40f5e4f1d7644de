//! Sends a span for each request to an OpenTelemetry collector: OTLP over HTTP, as JSON.
//!
//! Requests do not wait for the collector: spans are queued, sent together, and dropped and counted if it is too slow.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{in_share, share};
use crate::error::Result;
use crate::gateway::config_error::config_error;
use crate::tls;

/// How many spans wait to be sent. Further ones are dropped and counted.
const QUEUED_SPANS: usize = 4096;
/// How many spans one request to the collector has.
const SPANS_PER_REQUEST: usize = 512;
/// How long spans wait for others.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// How long the collector may take.
const SEND_TIME: Duration = Duration::from_secs(10);
/// How long to wait before spans are sent again that the collector did not take.
const RETRY_TIME: Duration = Duration::from_secs(1);
/// How long [`SpanExporter::shut_down`] waits for queued spans.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);
/// The path of traces at a collector.
const TRACES_PATH: &str = "/v1/traces";

/// The `[otlp]` table of the configuration.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct OtlpConfig {
    /// The URL of the collector.
    endpoint: String,
    /// Headers that the collector requires. Their values are secret.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    service_name: Option<String>,
    /// The share of the requests without a trace of their own that get one.
    sample: Option<f64>,
}

/// The validated settings.
#[derive(Clone)]
pub(in crate::gateway) struct OtlpSettings {
    url: Url,
    headers: HeaderMap,
    service_name: String,
    sample: f64,
}

impl std::fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpSettings").field("sample", &self.sample).finish_non_exhaustive()
    }
}

impl OtlpConfig {
    /// Validates the settings.
    ///
    /// # Errors
    /// `Configuration`, with the setting.
    pub(in crate::gateway) fn settings(self) -> Result<OtlpSettings> {
        let Some(mut url) = Url::parse(&self.endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
        else {
            return config_error("otlp.endpoint must be the URL of a collector, such as http://127.0.0.1:4318");
        };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return config_error("otlp.endpoint must have neither a user nor a query: set otlp.headers");
        }
        if !url.path().ends_with(TRACES_PATH) {
            let path = format!("{}{TRACES_PATH}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return config_error("otlp.headers must have names and values of HTTP headers");
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let sample = share("otlp.sample", self.sample)?;
        let service_name = self.service_name.unwrap_or_else(|| "connect-mongodb-gateway".to_owned());
        Ok(OtlpSettings { url, headers, service_name, sample })
    }
}

/// A request, for its span. Nothing in it comes from a document or a key.
pub(super) struct Span {
    pub(super) trace_id: String,
    pub(super) span_id: u64,
    pub(super) parent_id: Option<String>,
    pub(super) trace_state: Option<String>,
    pub(super) action: &'static str,
    pub(super) elapsed: Duration,
    pub(super) ended: SystemTime,
    pub(super) status: u16,
    pub(super) error_code: Option<String>,
    pub(super) peer: String,
    pub(super) target: Option<(String, String)>,
    pub(super) received: usize,
    pub(super) sent: u64,
}

/// Queues spans for the collector.
pub(super) struct SpanExporter {
    spans: Mutex<Option<Sender<Span>>>,
    sending: Mutex<Option<JoinHandle<()>>>,
    sample: f64,
    lost: Counter,
}

impl SpanExporter {
    /// Starts to send spans; must be called within a tokio runtime. `lost` counts those that could not be sent.
    ///
    /// # Errors
    /// `Configuration` if the HTTP client cannot be set up.
    pub(super) fn start(settings: OtlpSettings, process_id: u64, lost: Counter) -> Result<Self> {
        tls::install_provider();
        let client = Client::builder()
            .default_headers(settings.headers)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .timeout(SEND_TIME)
            .redirect(redirect::Policy::none())
            .build()
            .or_else(|_| {
                config_error("otlp: the HTTP client cannot be set up: check SSL_CERT_FILE and the proxy variables")
            })?;
        let collector = Collector {
            client,
            url: settings.url,
            resource: json!({ "attributes": [
                text("service.name", &settings.service_name),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", &format!("{process_id:016x}")),
            ] }),
            lost: lost.clone(),
        };
        let (spans, queue) = channel(QUEUED_SPANS);
        let sending = tokio::spawn(collector.run(queue));
        let sample = settings.sample;
        Ok(Self { spans: Mutex::new(Some(spans)), sending: Mutex::new(Some(sending)), sample, lost })
    }

    /// Whether a request that has no trace gets one.
    pub(super) fn samples(&self, number: u64) -> bool {
        in_share(number, self.sample)
    }

    /// Queues a span.
    pub(super) fn export(&self, span: Span) {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.as_ref().is_none_or(|spans| spans.try_send(span).is_err()) {
            self.lost.inc();
        }
    }

    /// Sends the queued spans, as far as there is time.
    pub(super) async fn shut_down(&self) {
        drop(self.spans.lock().unwrap_or_else(PoisonError::into_inner).take());
        let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut sending) = sending
            && timeout(SHUTDOWN_TIME, &mut sending).await.is_err()
        {
            sending.abort();
        }
    }
}

/// Where spans are sent.
struct Collector {
    client: Client,
    url: Url,
    resource: Value,
    lost: Counter,
}

impl Collector {
    async fn run(self, mut queue: Receiver<Span>) {
        let mut batch = Vec::new();
        loop {
            if queue.recv_many(&mut batch, SPANS_PER_REQUEST).await == 0 {
                return;
            }
            let more = async {
                loop {
                    let room = SPANS_PER_REQUEST.saturating_sub(batch.len());
                    if room == 0 || queue.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            drop(timeout(BATCH_TIME, more).await);
            let count = batch.len() as u64;
            let spans: Vec<Value> = batch.drain(..).map(|span| span.to_json()).collect();
            if !self.send(spans).await {
                self.lost.inc_by(count);
            }
        }
    }

    /// Sends spans, a second time if the collector does not take them. Returns whether it did.
    async fn send(&self, spans: Vec<Value>) -> bool {
        let scope = json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") });
        let scoped = json!([{ "scope": scope, "spans": spans }]);
        let body = json!({ "resourceSpans": [{ "resource": self.resource, "scopeSpans": scoped }] }).to_string();
        for retries in [true, false] {
            let sent = self.client.post(self.url.clone()).body(body.clone()).send().await;
            let again = match sent {
                Ok(response) if response.status().is_success() => return true,
                Ok(response) => matches!(response.status().as_u16(), 429 | 502 | 503 | 504),
                Err(_) => true,
            };
            if !(again && retries) {
                return false;
            }
            sleep(RETRY_TIME).await;
        }
        false
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// An integer, which is a string in OTLP's JSON.
fn integer(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

impl Span {
    /// The span by OpenTelemetry's semantic conventions.
    fn to_json(&self) -> Value {
        let end = self.ended.duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = end.saturating_sub(self.elapsed);
        let route = format!("/action/{}", self.action);
        let mut attributes = vec![
            text("http.request.method", "POST"),
            text("http.route", &route),
            integer("http.response.status_code", self.status.into()),
            integer("http.request.body.size", self.received as u64),
            integer("http.response.body.size", self.sent),
            text("client.address", &self.peer),
            text("db.system.name", "mongodb"),
            text("db.operation.name", self.action),
        ];
        if let Some((database, collection)) = &self.target {
            attributes.push(text("db.namespace", database));
            attributes.push(text("db.collection.name", collection));
        }
        if let Some(error_code) = &self.error_code {
            attributes.push(text("error.type", error_code));
        }
        // 2 is an error. Those of the client are none of the server.
        let failed = self.status >= 500 || (self.status < 400 && self.error_code.is_some());
        let mut span = json!({
            "traceId": self.trace_id,
            "spanId": format!("{:016x}", self.span_id),
            "name": format!("POST {route}"),
            // A server's.
            "kind": 2,
            "startTimeUnixNano": start.as_nanos().to_string(),
            "endTimeUnixNano": end.as_nanos().to_string(),
            "attributes": attributes,
            "status": if failed { json!({ "code": 2 }) } else { json!({}) },
        });
        if let Some(fields) = span.as_object_mut() {
            fields.extend(self.parent_id.as_ref().map(|parent| ("parentSpanId".to_owned(), json!(parent))));
            fields.extend(self.trace_state.as_ref().map(|state| ("traceState".to_owned(), json!(state))));
        }
        span
    }
}
