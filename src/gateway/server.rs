//! Connections: how many, for how long, and how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Request;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::tls::Certificates;
use super::watched::{Watch, watched};

/// What clients may hold at most.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; more wait in the system's queue.
    pub connections: usize,
    /// How long the head of a request may take, and so how long an idle
    /// HTTP/1.1 connection is kept.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a client may take nothing of an answer, or give no sign of life.
    pub stalled: Duration,
    /// How long MongoDB may take for the answer of a request, or for its next part.
    pub request: Duration,
    /// Requests that are carried out at once.
    pub requests: usize,
    /// The most documents of an answer, where there is a bound.
    pub documents: Option<u64>,
    /// How many requests a caller may make in a second, where there is a bound.
    pub per_second: Option<f64>,
    /// How many of them may come at once.
    pub burst: f64,
    /// The largest request, in bytes. A document of 16 MiB may take several times that as EJSON.
    pub body_bytes: usize,
    /// The memory of all requests that are read, carried out or answered at once, in bytes.
    pub bytes_in_all: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            stalled: Duration::from_secs(120),
            request: Duration::from_secs(60),
            requests: 1024,
            documents: None,
            per_second: None,
            burst: 1.0,
            body_bytes: 64 * 1024 * 1024,
            bytes_in_all: 384 * 1024 * 1024,
        }
    }
}

/// How long a client may take to say anything at all.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How often it is looked whether requests are under way, after the stop.
const LINGER: Duration = Duration::from_millis(100);
/// The largest head of a request, in bytes.
const HEAD_BYTES: usize = 32 * 1024;

/// Serves connections until `stop`, then lets the requests under way end
/// within `grace`.
pub(super) async fn serve_connections(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    front: Front,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let under_way = Arc::new(AtomicUsize::new(0));
    let router = router.layer(from_fn_with_state(Arc::clone(&under_way), count));
    let server = http_server(limits);
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            // Of the one connection, or of a lack of descriptors, which passes.
            Err(_) => {
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (server, watcher) = (server.clone(), graceful.watcher());
        let router = router.clone().layer(Extension(Peer(peer)));
        let (head, stalled) = (limits.head, limits.stalled);
        let front = front.clone();
        tokio::spawn(async move {
            let _place = place;
            let _open = Open::new(front.connections);
            // Without this an answer may wait 40 ms for an acknowledgement.
            drop(stream.set_nodelay(true));
            // Who says nothing at all has no protocol yet whose timeouts could apply.
            if !matches!(timeout(head.min(FIRST_BYTE), stream.peek(&mut [0])).await, Ok(Ok(1..))) {
                return;
            }
            let mut stream = TimeoutStream::new(stream);
            stream.set_read_timeout(Some(stalled));
            stream.set_write_timeout(Some(stalled));
            let service = TowerToHyperService::new(router);
            // Its errors are the client's: a connection that broke, or a request that is none.
            match front.tls {
                None => {
                    let connection = server.serve_connection(TokioIo::new(Box::pin(stream)), service).into_owned();
                    drop(watcher.watch(connection).await);
                }
                Some(tls) => {
                    let handshake = TlsAcceptor::from(tls.current()).accept(Box::pin(stream));
                    let Ok(Ok(stream)) = timeout(head.min(FIRST_BYTE), handshake).await else { return };
                    let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
                    drop(watcher.watch(connection).await);
                }
            }
        });
    }
    drop(listener);
    let answered = async {
        // Once no request is under way, what is left of their answers is given a moment.
        let mut quiet = 0;
        while quiet < 3 {
            sleep(LINGER).await;
            quiet = if under_way.load(Ordering::Relaxed) == 0 { quiet + 1 } else { 0 };
        }
    };
    let ended = async {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = answered => {}
        }
    };
    drop(timeout(grace, ended).await);
}

/// What is in front of HTTP, and who counts connections.
#[derive(Clone, Default)]
pub(super) struct Front {
    /// TLS, if there is.
    pub(super) tls: Option<Arc<Certificates>>,
    /// How many are open.
    pub(super) connections: Gauge<i64, AtomicI64>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// An open connection.
struct Open(Gauge<i64, AtomicI64>);

impl Open {
    fn new(gauge: Gauge<i64, AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request that has begun and has not been answered whole.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gone when the body has been taken.
impl Watch for UnderWay {}

async fn count(State(count): State<Arc<AtomicUsize>>, request: Request<Body>, next: Next) -> Response {
    let under_way = UnderWay::new(count);
    next.run(request).await.map(|body| watched(body, under_way))
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

fn http_server(limits: &Limits) -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.head)
        .keep_alive_timeout(limits.head)
        .max_concurrent_streams(128)
        .max_header_list_size(HEAD_BYTES as u32);
    server
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use axum::routing::{any, get};
    use std::time::Instant;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    struct Server {
        address: SocketAddr,
        stop: Option<oneshot::Sender<()>>,
        ended: tokio::task::JoinHandle<()>,
    }

    async fn server(limits: Limits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", any(|body: Body| async move { to_bytes(body, 1024).await.map_or("broken", |_| "here") }))
            .route(
                "/slow",
                get(async || {
                    sleep(Duration::from_millis(300)).await;
                    "slow"
                }),
            )
            .route("/large", get(async || vec![b'x'; 64 * 1024 * 1024]));
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve_connections(listener, router, &limits, Front::default(), stopped, Duration::from_secs(5)).await;
        });
        Server { address, stop: Some(stop), ended }
    }

    /// Limits that a test can wait for.
    fn short() -> Limits {
        let short = Duration::from_millis(200);
        Limits { connections: 4, head: short, body: short, stalled: 2 * short, ..Limits::default() }
    }

    async fn all(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        // A reset is an end too.
        drop(timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap());
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn who_says_nothing_or_too_little_is_let_go() {
        let server = server(short()).await;
        for begun in ["", "G", "PRI * HT", "GET / HTTP/1.1\r\nHost: x\r\nA: ", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(begun.as_bytes()).await.unwrap();
            all(&mut stream).await;
        }
    }

    #[tokio::test]
    async fn who_sends_a_head_drop_by_drop_is_let_go() {
        let server = server(short()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let begun = Instant::now();
        while stream.write_all(b"A: b\r\n").await.is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_is_let_go() {
        let server = server(short()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(1500)).await;
        assert!(all(&mut stream).await.len() < 64 * 1024 * 1024);
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_a_place() {
        let server = server(Limits { connections: 2, head: Duration::from_secs(1), ..short() }).await;
        let mut idle = Vec::new();
        for _ in 0..2 {
            idle.push(TcpStream::connect(server.address).await.unwrap());
        }
        sleep(Duration::from_millis(50)).await;
        let mut third = TcpStream::connect(server.address).await.unwrap();
        third.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut one = [0];
        assert!(timeout(Duration::from_millis(200), third.read(&mut one)).await.is_err());
        drop(idle);
        assert!(all(&mut third).await.ends_with("here"));
    }

    #[tokio::test]
    async fn who_says_nothing_does_not_keep_it_from_stopping() {
        let long = Duration::from_secs(60);
        let mut server = server(Limits { head: long, stalled: long, ..Limits::default() }).await;
        let mut half = TcpStream::connect(server.address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        let silent = TcpStream::connect(server.address).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        server.stop.take().unwrap().send(()).unwrap();
        // Less than the grace that requests under way have.
        timeout(Duration::from_secs(4), server.ended).await.unwrap().unwrap();
        drop(silent);
    }

    #[tokio::test]
    async fn a_request_under_way_ends_after_the_stop() {
        let mut server = server(short()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        server.stop.take().unwrap().send(()).unwrap();
        assert!(all(&mut stream).await.ends_with("slow"));
        server.ended.await.unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
