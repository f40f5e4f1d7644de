//! The benchmark's clients without Python: the Rust driver and reqwest. Like the Python clients, it
//! reads one JSON order per line from standard input, and writes a line of results for each.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bson::RawDocumentBuf;
use bson::oid::ObjectId;
use mongodb::{Client, Collection};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
enum Peer {
    InsertOne(Collection<RawDocumentBuf>),
    InsertMany(Collection<RawDocumentBuf>),
    Http { client: reqwest::Client, url: String },
}

impl Peer {
    async fn make(name: &str, order: &Value) -> Result<Self, Failure> {
        let mongodb = order["mongodb"].as_str().unwrap_or_default();
        Ok(match name {
            "reqwest" => {
                drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
                let url = format!("{}/action/insertOne", order["http"].as_str().unwrap_or_default());
                Self::Http { client: reqwest::Client::new(), url }
            }
            "rust insert_many" => {
                Self::InsertMany(Client::with_uri_str(mongodb).await?.database("db").collection("coll"))
            }
            _ => Self::InsertOne(Client::with_uri_str(mongodb).await?.database("db").collection("coll")),
        })
    }

    /// Makes one call and returns the number of documents that it stored.
    async fn call(&self, document: &RawDocumentBuf, text: &str) -> Result<u64, Failure> {
        match self {
            Self::InsertOne(collection) => {
                collection.insert_one(with_id(document)).await?;
                Ok(1)
            }
            Self::InsertMany(collection) => {
                let batch: Vec<_> = (0..64).map(|_| with_id(document)).collect();
                collection.insert_many(batch).await?;
                Ok(64)
            }
            Self::Http { client, url } => {
                let body = format!(
                    r#"{{"dataSource":"Cluster0","database":"db","collection":"coll","document":{{"_id":{{"$oid":"{}"}},{}}}"#,
                    ObjectId::new().to_hex(),
                    &text[1..]
                );
                let response = client
                    .post(url)
                    .header("api-key", "key")
                    .header("content-type", "application/ejson")
                    .body(body)
                    .send()
                    .await?
                    .error_for_status()?;
                response.bytes().await?;
                Ok(1)
            }
        }
    }
}

fn with_id(document: &RawDocumentBuf) -> RawDocumentBuf {
    let mut whole = bson::rawdoc! { "_id": ObjectId::new() }.into_bytes();
    whole.pop();
    whole.extend_from_slice(&document.as_bytes()[4..]);
    let length = (whole.len() as u32).to_le_bytes();
    whole[..4].copy_from_slice(&length);
    RawDocumentBuf::from_bytes(whole).unwrap_or_default()
}

fn cpu() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

async fn run(peer: &Peer, order: &Value) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(order["json"].as_str().unwrap_or_default())?;
    let document = RawDocumentBuf::from_bytes(std::fs::read(order["bson"].as_str().unwrap_or_default())?)?;
    let concurrency = order["concurrency"].as_u64().unwrap_or(1);
    let seconds = Duration::from_secs_f64(order["seconds"].as_f64().unwrap_or(1.0));
    let shared = Arc::new((document, text));
    let tasks_of = |until: Instant, counted: Arc<AtomicU64>| {
        (0..concurrency)
            .map(|_| {
                let (peer, shared, counted) = (peer.clone(), Arc::clone(&shared), Arc::clone(&counted));
                tokio::spawn(async move {
                    let mut durations = Vec::new();
                    while Instant::now() < until {
                        let started = Instant::now();
                        let stored = peer.call(&shared.0, &shared.1).await?;
                        durations.push(started.elapsed().as_secs_f64());
                        counted.fetch_add(stored, Ordering::Relaxed);
                    }
                    Ok::<_, Failure>(durations)
                })
            })
            .collect::<Vec<_>>()
    };
    for task in tasks_of(Instant::now() + Duration::from_millis(150), Arc::default()) {
        task.await??;
    }
    let counted = Arc::new(AtomicU64::new(0));
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut durations = Vec::new();
    for task in tasks_of(started + seconds, Arc::clone(&counted)) {
        durations.extend(task.await??);
    }
    let (elapsed, used) = (started.elapsed().as_secs_f64(), cpu() - cpu_before);
    durations.sort_by(f64::total_cmp);
    let at = |share: f64| {
        durations.get(((durations.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(f64::NAN) * 1e3
    };
    let calls = counted.load(Ordering::Relaxed);
    Ok(json!({
        "calls": calls,
        "per_second": calls as f64 / elapsed,
        "cpu_us": used * 1e6 / calls.max(1) as f64,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "p999_ms": at(0.999),
    }))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let mut peer = None;
    let mut known = String::new();
    for line in std::io::stdin().lock().lines() {
        let order: Value = serde_json::from_str(&line?)?;
        let servers = format!("{}{}", order["mongodb"], order["http"]);
        if servers != known {
            peer = Some(Peer::make(&name, &order).await?);
            known = servers;
        }
        if let Some(peer) = &peer {
            println!("{}", run(peer, &order).await?);
        }
    }
    Ok(())
}
