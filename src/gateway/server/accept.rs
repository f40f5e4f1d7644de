//! Accepts connections, limits their number and their idle time, and drains them at the end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::connections::{Close, Connections, OpenConnection, Refusal};
use super::listen::{Listener, Socket};
use super::peer::{Peer, TrustedProxies};
use super::shutdown::RequestCounter;
use super::stream::WatchedStream;
use super::tls::Certificates;
use crate::gateway::http::service::HttpService;
use crate::gateway::limits::Limits;
use crate::gateway::observed_body::observe;
use crate::gateway::telemetry::metrics::ConnectionMetrics;

/// How long a client may take to send its first byte, or to complete the TLS handshake.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(10);
/// The pause after a failed `accept`.
const ACCEPT_RETRY_TIME: Duration = Duration::from_millis(50);
/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Concurrent requests on an HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;

/// What serves the connections of a listener.
#[derive(Clone)]
pub(in crate::gateway) struct Server {
    /// Serves the requests.
    pub(in crate::gateway) http: HttpService,
    /// The certificates; `None` for plain HTTP.
    pub(in crate::gateway) tls: Option<Arc<Certificates>>,
    /// Its connections are not limited by their number.
    pub(in crate::gateway) trusted: TrustedProxies,
    /// Counts open connections.
    pub(in crate::gateway) metrics: ConnectionMetrics,
}

/// Serves connections until `stop`, then completes the requests in progress within `grace`.
pub(in crate::gateway) async fn serve_connections(
    listener: Listener,
    server: Server,
    limits: &Limits,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let connections = Connections::new(limits.connections, limits.connections_per_peer);
    let requests = RequestCounter::default();
    let protocol = http_server(limits);
    let (head, keep_alive, stalled) = (limits.head, limits.keep_alive, limits.stalled);
    let accepting = async {
        loop {
            let (socket, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The connection failed, or there are too many open files.
                    if is_out_of_files(&error) {
                        connections.close_longest_waiting();
                    }
                    sleep(ACCEPT_RETRY_TIME).await;
                    continue;
                }
            };
            let Some(open) = admitted(&connections, &server, peer).await else { continue };
            let connection = Connection {
                protocol: protocol.clone(),
                http: server.http.clone(),
                requests: requests.clone(),
                peer,
                times: Times { head, keep_alive, stalled },
            };
            let (tls, metrics) = (server.tls.clone(), server.metrics.clone());
            tokio::spawn(async move {
                let _counted = metrics.opened();
                connection.serve(socket, tls, open).await;
            });
        }
    };
    tokio::select! {
        () = stop => {}
        () = accepting => {}
    }
    drop(listener);
    let drained = async {
        tokio::select! {
            () = connections.shut_down() => {}
            // Idle connections must not delay the end.
            () = requests.drained() => {}
        }
    };
    drop(timeout(grace, drained).await);
}

/// Waits until a connection is admitted; `None` if its peer has too many.
async fn admitted(connections: &Arc<Connections>, server: &Server, peer: Peer) -> Option<OpenConnection> {
    let network = peer.network().filter(|_| !server.trusted.trusts(peer));
    loop {
        match connections.admit(network) {
            Ok(open) => return Some(open),
            Err(Refusal::Peer) => {
                server.metrics.refused();
                return None;
            }
            Err(Refusal::Full) => connections.room().await,
        }
    }
}

/// Whether the process or the system has too many open files.
fn is_out_of_files(error: &io::Error) -> bool {
    // EMFILE and ENFILE.
    cfg!(unix) && matches!(error.raw_os_error(), Some(24 | 23))
}

/// The time limits of a connection.
#[derive(Clone, Copy)]
struct Times {
    head: Duration,
    keep_alive: Duration,
    stalled: Duration,
}

/// What a connection is served with.
struct Connection {
    protocol: Builder<TokioExecutor>,
    http: HttpService,
    requests: RequestCounter,
    peer: Peer,
    times: Times,
}

impl Connection {
    /// Serves a connection until it ends, or until it has to make room for another one.
    async fn serve(self, socket: Socket, tls: Option<Arc<Certificates>>, mut open: OpenConnection) {
        let time = self.times.head.min(FIRST_BYTE_TIME);
        // Before the first byte no protocol is chosen whose time limits could apply.
        let beginning = async {
            if !timeout(time, socket.has_begun()).await.unwrap_or(false) {
                return None;
            }
            match tls {
                None => Some(Stream::Plain(socket)),
                Some(tls) => {
                    let handshake = TlsAcceptor::from(tls.current()).accept(socket);
                    Some(Stream::Tls(Box::new(timeout(time, handshake).await.ok()?.ok()?)))
                }
            }
        };
        let begun = tokio::select! {
            begun = beginning => begun,
            _ = &mut open.close => return,
        };
        match begun {
            Some(Stream::Plain(stream)) => self.serve_http(stream, open).await,
            Some(Stream::Tls(stream)) => self.serve_http(*stream, open).await,
            None => {}
        }
    }

    async fn serve_http<S>(self, stream: S, mut open: OpenConnection)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { protocol, http, requests, peer, times } = self;
        let activity = &open.activity;
        let stream = WatchedStream::new(stream, Arc::clone(activity), times.stalled);
        let service = service_fn(|request| {
            let in_progress = requests.begin(activity, request.version());
            // Boxed, because an idle connection would keep the memory too.
            let response = Box::pin(http.clone().serve(peer, request));
            async move { response.await.map(|response| response.map(|body| observe(body, in_progress))) }
        });
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service));
        let mut expired = pin!(activity.expired(times.head, times.keep_alive));
        let (mut told, mut is_over) = (false, false);
        loop {
            tokio::select! {
                biased;
                // Errors are the client's: a broken connection or a malformed request.
                _ = connection.as_mut() => return,
                close = &mut open.close, if !told => {
                    // A request may have begun since the connection was chosen.
                    if close != Ok(Close::Gracefully) && activity.waiting().is_some() {
                        return;
                    }
                    told = true;
                    connection.as_mut().graceful_shutdown();
                },
                () = &mut expired, if !is_over => {
                    // HTTP/2 tells the client. Of HTTP/1.1, a head that is not complete has no other end.
                    if !activity.is_http2() {
                        return;
                    }
                    is_over = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// A connection that has begun.
enum Stream {
    Plain(Socket),
    Tls(Box<tokio_rustls::server::TlsStream<Socket>>),
}

fn http_server(limits: &Limits) -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    // The time limits of heads are those of `Activity`, which tell a head from an idle connection.
    server.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
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

    use std::net::SocketAddr;
    use tokio::net::TcpStream;

    use crate::gateway::server::listen::ListenAddress;

    struct Running {
        address: SocketAddr,
        stop: Option<oneshot::Sender<()>>,
        ended: tokio::task::JoinHandle<()>,
    }

    async fn server(limits: Limits) -> Running {
        let listener = Listener::bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into()), 0).unwrap();
        let address = listener.url(false).unwrap().trim_start_matches("http://").parse().unwrap();
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
            let server = Server {
                http: HttpService::of_router(router),
                tls: None,
                trusted: TrustedProxies::default(),
                metrics: ConnectionMetrics::default(),
            };
            serve_connections(listener, server, &limits, stopped, Duration::from_secs(5)).await;
        });
        Running { address, stop: Some(stop), ended }
    }

    /// Limits that are short enough for tests.
    fn short_limits() -> Limits {
        let short = Duration::from_millis(200);
        Limits { connections: 4, head: short, keep_alive: short, body: short, stalled: 2 * short, ..Limits::default() }
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
    async fn a_slow_reader_of_a_large_response_is_not_idle() {
        let server = server(Limits { stalled: Duration::from_secs(20), ..short_limits() }).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let (mut received, mut part) = (0, vec![0; 4 * 1024 * 1024]);
        // Longer than `keep_alive` altogether.
        while received < 64 * 1024 * 1024 {
            sleep(Duration::from_millis(20)).await;
            let read = timeout(Duration::from_secs(20), stream.read(&mut part)).await.unwrap().unwrap();
            assert!(read > 0, "closed after {received} bytes");
            received += read;
        }
    }

    async fn send(server: &Running, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_connection_without_a_request_makes_room_for_another_one() {
        let long = Duration::from_secs(60);
        let server = server(Limits { connections: 2, head: long, keep_alive: long, ..short_limits() }).await;
        let mut slow = send(&server, "GET / HTTP/1.1\r\n").await;
        let mut idle = send(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        idle.read_exact(&mut [0; 16]).await.unwrap();
        let mut third = send(&server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(read_all(&mut third).await.ends_with("here"));
        assert_eq!(read_all(&mut slow).await, "");
        // The idle one is still there.
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(read_all(&mut idle).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_connection_waits_while_all_others_have_requests() {
        let server = server(Limits { connections: 2, ..short_limits() }).await;
        let request = "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(send(&server, request).await);
        }
        for mut stream in streams {
            assert!(read_all(&mut stream).await.ends_with("slow"));
        }
    }

    #[tokio::test]
    async fn an_idle_connection_stays_open_longer_than_a_head_may_take() {
        let (short, long) = (Duration::from_millis(200), Duration::from_secs(60));
        let server = server(Limits { head: short, keep_alive: long, ..short_limits() }).await;
        let mut stream = send(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        stream.read_exact(&mut [0; 16]).await.unwrap();
        sleep(3 * short).await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"slow") {
            assert_ne!(stream.read_buf(&mut response).await.unwrap(), 0);
        }
        // The next head, which is not complete.
        stream.write_all(b"GET / HTTP").await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
    }

    #[tokio::test]
    async fn idle_connections_do_not_delay_shutdown() {
        let long = Duration::from_secs(60);
        let mut server = server(Limits { head: long, keep_alive: long, stalled: long, ..Limits::default() }).await;
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
