//! Accepts connections, limits their number and their idle time, and drains them at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::shutdown::RequestCounter;
use super::stalled::StalledTimeout;
use super::tls::Certificates;
use crate::gateway::http::service::HttpService;
use crate::gateway::limits::Limits;
use crate::gateway::observed_body::observe;
use crate::gateway::telemetry::metrics::ConnectionGauge;

/// How long a client may take to send its first byte, or to complete the TLS handshake.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(10);
/// The pause after a failed `accept`.
const ACCEPT_RETRY_TIME: Duration = Duration::from_millis(50);
/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Concurrent requests on an HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;

/// Serves connections until `stop`, then completes the requests in progress within `grace`.
pub(in crate::gateway) async fn serve_connections(
    listener: TcpListener,
    http: HttpService,
    limits: &Limits,
    transport: Transport,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let requests = RequestCounter::default();
    let server = http_server(limits);
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, peer, slot) = match accepted {
            Ok(accepted) => accepted,
            // The connection failed, or descriptors are temporarily exhausted.
            Err(_) => {
                sleep(ACCEPT_RETRY_TIME).await;
                continue;
            }
        };
        let (server, watcher) = (server.clone(), graceful.watcher());
        let (http, requests) = (http.clone(), requests.clone());
        let (head, stalled) = (limits.head, limits.stalled);
        let transport = transport.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let _open = OpenConnection::new(transport.connections);
            // Without TCP_NODELAY a response may wait 40 ms for an acknowledgement.
            drop(stream.set_nodelay(true));
            // Before the first byte no protocol is chosen whose timeouts could apply.
            if !matches!(timeout(head.min(FIRST_BYTE_TIME), stream.peek(&mut [0])).await, Ok(Ok(1..))) {
                return;
            }
            let of_connection = RequestCounter::default();
            let stream = StalledTimeout::new(stream, stalled, of_connection.count());
            let service = service_fn(move |request| {
                let in_progress = (requests.begin(), of_connection.begin());
                // Boxed, because an idle connection would keep the memory too.
                let response = Box::pin(http.clone().serve(peer, request));
                async move { response.await.map(|response| response.map(|body| observe(body, in_progress))) }
            });
            // Errors are the client's: a broken connection or a malformed request.
            match transport.tls {
                None => {
                    let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
                    drop(watcher.watch(connection).await);
                }
                Some(tls) => {
                    let handshake = TlsAcceptor::from(tls.current()).accept(stream);
                    let Ok(Ok(stream)) = timeout(head.min(FIRST_BYTE_TIME), handshake).await else { return };
                    let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
                    drop(watcher.watch(connection).await);
                }
            }
        });
    }
    drop(listener);
    let drained = async {
        tokio::select! {
            () = graceful.shutdown() => {}
            // Idle connections must not delay the end.
            () = requests.drained() => {}
        }
    };
    drop(timeout(grace, drained).await);
}

/// The layer below HTTP.
#[derive(Clone, Default)]
pub(in crate::gateway) struct Transport {
    /// The certificates; `None` for plain HTTP.
    pub(in crate::gateway) tls: Option<Arc<Certificates>>,
    /// Counts open connections.
    pub(in crate::gateway) connections: ConnectionGauge,
}

/// Counts a connection while it is open.
struct OpenConnection(ConnectionGauge);

impl OpenConnection {
    fn new(gauge: ConnectionGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

fn http_server(limits: &Limits) -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.head)
        .keep_alive_timeout(limits.head)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES as u32);
    server
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::{Body, to_bytes};
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
            let http = HttpService::of_router(router);
            serve_connections(listener, http, &limits, Transport::default(), stopped, Duration::from_secs(5)).await;
        });
        Server { address, stop: Some(stop), ended }
    }

    /// Limits that are short enough for tests.
    fn short_limits() -> Limits {
        let short = Duration::from_millis(200);
        Limits { connections: 4, head: short, body: short, stalled: 2 * short, ..Limits::default() }
    }

    async fn read_all(stream: &mut TcpStream) -> String {
        let mut response = Vec::new();
        // A reset also ends the connection.
        drop(timeout(Duration::from_secs(20), stream.read_to_end(&mut response)).await.unwrap());
        String::from_utf8_lossy(&response).into_owned()
    }

    #[tokio::test]
    async fn idle_and_incomplete_connections_are_closed() {
        let server = server(short_limits()).await;
        for sent in ["", "G", "PRI * HT", "GET / HTTP/1.1\r\nHost: x\r\nA: ", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            read_all(&mut stream).await;
        }
    }

    #[tokio::test]
    async fn a_head_that_arrives_too_slowly_closes_the_connection() {
        let server = server(short_limits()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let begun = Instant::now();
        while stream.write_all(b"A: b\r\n").await.is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected() {
        let server = server(short_limits()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(1500)).await;
        assert!(read_all(&mut stream).await.len() < 64 * 1024 * 1024);
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait() {
        let server = server(Limits { connections: 2, head: Duration::from_secs(1), ..short_limits() }).await;
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
        assert!(read_all(&mut third).await.ends_with("here"));
    }

    #[tokio::test]
    async fn idle_connections_do_not_delay_shutdown() {
        let long = Duration::from_secs(60);
        let mut server = server(Limits { head: long, stalled: long, ..Limits::default() }).await;
        let mut half = TcpStream::connect(server.address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        let silent = TcpStream::connect(server.address).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        server.stop.take().unwrap().send(()).unwrap();
        // Less than the grace period for requests in progress.
        timeout(Duration::from_secs(4), server.ended).await.unwrap().unwrap();
        drop(silent);
    }

    #[tokio::test]
    async fn a_request_in_progress_completes_after_stop() {
        let mut server = server(short_limits()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        server.stop.take().unwrap().send(()).unwrap();
        assert!(read_all(&mut stream).await.ends_with("slow"));
        server.ended.await.unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
