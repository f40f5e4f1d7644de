//! Where the gateway listens: a TCP address, a Unix socket, or a socket that the service manager passes on.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::peer::Peer;
use crate::error::Result;
use crate::gateway::config_error::config_error;

/// The system shortens it to its own limit, `net.core.somaxconn`.
const BACKLOG: u32 = i32::MAX as u32;
/// What the address of a Unix socket begins with.
const UNIX_PREFIX: &str = "unix:";

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port; port 0 selects a free one.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Parses the value of a setting: `host:port`, where a host name is resolved, or `unix:PATH`, where a relative path
    /// is resolved against `folder`.
    ///
    /// # Errors
    /// `Configuration` if it is neither.
    pub(in crate::gateway) fn parse(setting: &str, text: &str, folder: &Path) -> Result<Self> {
        if cfg!(unix)
            && let Some(path) = text.strip_prefix(UNIX_PREFIX)
        {
            return match path {
                "" => config_error(format!(
                    "{setting}: 'unix:' must be followed by a path, such as unix:/run/gateway.sock"
                )),
                path => Ok(Self::Unix(folder.join(path))),
            };
        }
        let parsed = || {
            let (host, port) = text.rsplit_once(':')?;
            port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
            text.to_socket_addrs().ok()?.next()
        };
        match parsed() {
            Some(address) => Ok(Self::Tcp(address)),
            None => {
                config_error(format!("{setting}: the address must be host:port, such as 127.0.0.1:8080, or unix:PATH"))
            }
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

/// A listening socket.
pub(in crate::gateway) enum Listener {
    /// Of TCP.
    Tcp(TcpListener),
    /// A Unix socket, and its file if the gateway made it.
    #[cfg(unix)]
    Unix(UnixListener, #[allow(dead_code)] Option<SocketFile>),
}

impl Listener {
    /// Listens on an address. `mode` is the mode of a Unix socket's file.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(in crate::gateway) fn bind(address: &ListenAddress, mode: u32) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                // A restarted gateway can use the port of connections that have just ended. Windows has another meaning.
                #[cfg(unix)]
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                socket.listen(BACKLOG).map(Self::Tcp)
            }
            #[cfg(unix)]
            ListenAddress::Unix(path) => {
                use std::os::unix::fs::PermissionsExt as _;
                remove_stale(path)?;
                let socket = UnixSocket::new_stream()?;
                socket.bind(path)?;
                let file = SocketFile::new(path)?;
                // Nobody can connect before `listen`.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
                Ok(Self::Unix(socket.listen(BACKLOG)?, Some(file)))
            }
            #[cfg(not(unix))]
            ListenAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Uses a listening socket that was passed on to this process.
    ///
    /// # Errors
    /// It is not a listening stream socket.
    #[cfg(target_os = "linux")]
    pub(in crate::gateway) fn inherited(descriptor: std::os::fd::OwnedFd) -> io::Result<Self> {
        let socket = socket2::Socket::from(descriptor);
        let listens = socket.r#type()? == socket2::Type::STREAM && socket.is_listener()?;
        if !listens {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a listening stream socket"));
        }
        socket.set_nonblocking(true)?;
        if socket.local_addr()?.is_unix() {
            return UnixListener::from_std(socket.into()).map(|listener| Self::Unix(listener, None));
        }
        TcpListener::from_std(socket.into()).map(Self::Tcp)
    }

    /// Accepts a connection.
    ///
    /// # Errors
    /// The connection failed, or the process has too many open files.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Without TCP_NODELAY a response may wait 40 ms for an acknowledgement.
                drop(stream.set_nodelay(true));
                Ok((Socket::Tcp(stream), peer.into()))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| (Socket::Unix(stream), Peer::Unix)),
        }
    }

    /// The URL of the gateway, or `unix:PATH`.
    ///
    /// # Errors
    /// The system does not tell the address.
    pub(in crate::gateway) fn url(&self, tls: bool) -> io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => format!("{}://{}", if tls { "https" } else { "http" }, listener.local_addr()?),
            #[cfg(unix)]
            Self::Unix(listener, _) => match listener.local_addr()?.as_pathname() {
                Some(path) => format!("{UNIX_PREFIX}{}", path.display()),
                None => format!("{UNIX_PREFIX}(abstract)"),
            },
        })
    }
}

/// Removes the socket of a process that has ended. Everything else stays.
#[cfg(unix)]
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // It serves, or it cannot be told.
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on the socket")),
    }
}

/// The file of a Unix socket, which is removed at the end.
#[cfg(unix)]
pub(in crate::gateway) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

#[cfg(unix)]
impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have put its own there.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// An accepted connection.
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// Waits until a byte can be read; `false` if there will be none.
    pub(super) async fn has_begun(&self) -> bool {
        match self {
            Self::Tcp(stream) => matches!(stream.peek(&mut [0]).await, Ok(1..)),
            #[cfg(unix)]
            Self::Unix(stream) => stream.readable().await.is_ok(),
        }
    }
}

/// Calls a method of the stream in a socket.
macro_rules! of_stream {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            #[cfg(unix)]
            Socket::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_stream!(&mut *self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        of_stream!(&mut *self, stream => Pin::new(stream).poll_write(context, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_stream!(&mut *self, stream => Pin::new(stream).poll_write_vectored(context, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        of_stream!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_stream!(&mut *self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_stream!(&mut *self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_stale_socket_is_replaced() {
        let folder = std::env::temp_dir().join(format!("gateway-listen-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x.sock");
        let address = ListenAddress::Unix(path.clone());
        let bind = || Listener::bind(&address, 0o600);
        let listener = bind().unwrap();
        assert_eq!(listener.url(true).unwrap(), format!("unix:{}", path.display()));
        assert_eq!(bind().err().unwrap().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
        // A process that was killed leaves its socket.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = bind().unwrap();
        // What has replaced the socket is not removed.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        drop(listener);
        assert_eq!(bind().err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
