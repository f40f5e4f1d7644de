//! systemd: the sockets that it passes on, and the messages on the state of the process that it expects.

use std::io;
use std::time::Duration;

use crate::gateway::server::listen::Listener;

/// The sockets that the service manager has passed on to this process.
#[derive(Default)]
pub(in crate::gateway) struct PassedSockets {
    /// The one of the public listener.
    pub(in crate::gateway) http: Option<Listener>,
    /// The one of `admin_listen`.
    pub(in crate::gateway) admin: Option<Listener>,
}

/// Tells the service manager about the process; does nothing without one.
#[derive(Clone)]
pub(in crate::gateway) struct Notifier {
    #[cfg(target_os = "linux")]
    target: Option<std::sync::Arc<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)>>,
    /// How often the service manager expects a message.
    pub(in crate::gateway) watchdog: Option<Duration>,
}

/// Reads a number from the environment.
#[cfg(target_os = "linux")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

    use super::*;

    /// The first descriptor that is passed on.
    const FIRST: RawFd = 3;
    /// More descriptors than this are a mistake.
    const MOST: u64 = 64;

    impl PassedSockets {
        /// Takes the sockets of this process: `LISTEN_FDNAMES` has their names, `http` and `admin`. A single one needs no
        /// name.
        ///
        /// # Errors
        /// A descriptor is not a listening socket, or its name is unknown.
        pub(in crate::gateway) fn take() -> io::Result<Self> {
            let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidInput, problem);
            let mut passed = Self::default();
            if number("LISTEN_PID") != Some(u64::from(std::process::id())) {
                return Ok(passed);
            }
            let count = number("LISTEN_FDS").unwrap_or(0);
            if count > MOST {
                return Err(invalid(format!("LISTEN_FDS is more than {MOST}")));
            }
            let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
            let names: Vec<&str> = names.split(':').collect();
            for (index, descriptor) in (FIRST..).take(usize::try_from(count).unwrap_or(0)).enumerate() {
                let name = match names.get(index).copied() {
                    Some(name @ ("http" | "admin")) => name,
                    _ if count == 1 => "http",
                    _ => return Err(invalid("LISTEN_FDNAMES must name each socket 'http' or 'admin'".to_owned())),
                };
                let listener = Listener::inherited(owned(descriptor)?)
                    .map_err(|error| invalid(format!("the passed socket '{name}': {error}")))?;
                let place = if name == "http" { &mut passed.http } else { &mut passed.admin };
                if place.replace(listener).is_some() {
                    return Err(invalid(format!("there are two passed sockets '{name}'")));
                }
            }
            Ok(passed)
        }
    }

    /// Takes a descriptor, which child processes do not inherit.
    fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
        // SAFETY: the call reads no memory, and fails if there is no such descriptor.
        if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, and by the protocol it belongs to this process, which takes it once.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    impl Notifier {
        /// The service manager of the environment: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` for this process.
        ///
        /// # Errors
        /// The address of the socket is invalid.
        pub(in crate::gateway) fn from_environment() -> io::Result<Self> {
            use std::os::linux::net::SocketAddrExt as _;
            use std::os::unix::net::{SocketAddr, UnixDatagram};
            let Some(name) = std::env::var("NOTIFY_SOCKET").ok().filter(|name| !name.is_empty()) else {
                return Ok(Self { target: None, watchdog: None });
            };
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(&name)?,
            };
            let socket = UnixDatagram::unbound()?;
            // A message that does not fit is lost; the process must not wait.
            socket.set_nonblocking(true)?;
            let is_own = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
            let watchdog = number("WATCHDOG_USEC").filter(|time| is_own && *time > 0).map(Duration::from_micros);
            Ok(Self { target: Some(std::sync::Arc::new((socket, address))), watchdog })
        }

        pub(super) fn send(&self, message: &str) {
            if let Some(target) = &self.target {
                // The service manager may have gone.
                drop(target.0.send_to_addr(message.as_bytes(), &target.1));
            }
        }
    }

    /// The monotonic clock in microseconds.
    pub(super) fn monotonic_microseconds() -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for a write.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
        seconds.unwrap_or(0) * 1_000_000 + nanoseconds.unwrap_or(0) / 1000
    }
}

#[cfg(not(target_os = "linux"))]
impl PassedSockets {
    /// This platform passes no sockets on.
    pub(in crate::gateway) fn take() -> io::Result<Self> {
        Ok(Self::default())
    }
}

#[cfg(not(target_os = "linux"))]
impl Notifier {
    /// This platform has no such service manager.
    pub(in crate::gateway) fn from_environment() -> io::Result<Self> {
        Ok(Self { watchdog: None })
    }

    fn send(&self, _message: &str) {}
}

impl Notifier {
    /// The gateway serves requests.
    pub(in crate::gateway) fn ready(&self, url: &str) {
        self.send(&format!("READY=1\nSTATUS=Listening on {url}"));
    }

    /// The gateway has served requests, and reloads its files.
    pub(in crate::gateway) fn reloading(&self) {
        #[cfg(target_os = "linux")]
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", linux::monotonic_microseconds()));
    }

    /// The gateway has reloaded its files.
    pub(in crate::gateway) fn reloaded(&self) {
        self.send("READY=1");
    }

    /// The gateway completes the requests in progress, and ends.
    pub(in crate::gateway) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Sends what the watchdog expects, twice as often as it expects it.
    pub(in crate::gateway) async fn keep_alive(self) {
        let Some(interval) = self.watchdog else { return };
        loop {
            self.send("WATCHDOG=1");
            tokio::time::sleep((interval / 2).max(Duration::from_millis(1))).await;
        }
    }
}
