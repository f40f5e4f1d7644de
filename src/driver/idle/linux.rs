//! Watches the driver's sockets with a separate epoll instance.
//!
//! The driver does not expose its sockets, so this module searches the process's file
//! descriptors when a connection is ready. The driver may close a descriptor at any time,
//! and its number may be reused. A socket is therefore identified by its cookie, and is
//! modified only through a duplicate whose cookie was checked.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// The driver's TCP keepalive time, which distinguishes its sockets from other sockets to the same
/// port.
const DRIVERS_KEEPALIVE: Duration = Duration::from_secs(120);

/// How long a result of `epoll_wait` is used for other calls. The task handles what happens in between.
const FRESH: Duration = Duration::from_millis(1);

/// Watches sockets until it is dropped.
pub(super) struct SocketWatcher {
    sockets: Arc<Sockets>,
    task: AbortHandle,
    started: Instant,
    /// When `poll` last called `epoll_wait`, in microseconds after `started`.
    polled: AtomicU64,
}

struct Sockets {
    epoll: OwnedFd,
    /// The file descriptors of the sockets when they were added, by cookie.
    descriptors: Mutex<HashMap<u64, RawFd>>,
    closed: Arc<AtomicBool>,
}

impl SocketWatcher {
    /// Starts a watcher that sets `closed` when a server has closed a connection.
    pub(super) fn new(runtime: &Handle, closed: Arc<AtomicBool>) -> io::Result<Self> {
        // SAFETY: the call takes no pointers, and returns a new descriptor or -1.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just created, and has no other owner.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let _context = runtime.enter();
        let readable = epoll.try_clone()?;
        // SAFETY: the descriptor stays open and unchanged as long as the `AsyncFd` owns it.
        let readable = unsafe { AsyncFd::register_with_interest(readable, Interest::READABLE) }?;
        let sockets = Arc::new(Sockets { epoll, descriptors: Mutex::default(), closed });
        let polled = Arc::clone(&sockets);
        let task = runtime.spawn(async move {
            while let Ok(mut ready) = readable.readable().await {
                ready.clear_ready();
                polled.poll();
            }
        });
        Ok(Self { sockets, task: task.abort_handle(), started: Instant::now(), polled: AtomicU64::new(0) })
    }

    /// Adds the driver's sockets to this port.
    pub(super) fn add(&self, port: u16) {
        self.sockets.add(port);
    }

    /// Shuts down sockets that servers have closed, unless it did so less than [`FRESH`] ago.
    pub(super) fn poll(&self) {
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let polled = self.polled.load(Ordering::Relaxed);
        if polled == 0 || u128::from(now.saturating_sub(polled)) >= FRESH.as_micros() {
            self.polled.store(now, Ordering::Relaxed);
            self.sockets.poll();
        }
    }

    /// Shuts down sockets that servers have closed.
    pub(super) fn poll_now(&self) {
        self.sockets.poll();
    }
}

impl Drop for SocketWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sockets {
    fn add(&self, port: u16) {
        let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return };
        let mut known = self.descriptors.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known, descriptor| cookie(*descriptor) == Some(*known));
        for descriptor in descriptors.flatten() {
            let number = descriptor.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
            let Some(descriptor) = number else { continue };
            let Some(cookie) = drivers_socket(descriptor, port) else { continue };
            if known.insert(cookie, descriptor) == Some(descriptor) {
                continue;
            }
            let events = libc::EPOLLRDHUP | libc::EPOLLET | libc::EPOLLONESHOT;
            let mut event = libc::epoll_event { events: events as u32, u64: cookie };
            // SAFETY: the pointer is to a value that outlives the call. If the number has been reused
            // for another file, that file is watcher, but `shut_down` ignores it.
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
        }
    }

    fn poll(&self) {
        const MAX_EVENTS: usize = 32;
        loop {
            let mut events = [MaybeUninit::<libc::epoll_event>::uninit(); MAX_EVENTS];
            let (epoll, first) = (self.epoll.as_raw_fd(), events.as_mut_ptr().cast::<libc::epoll_event>());
            // SAFETY: the buffer has room for the given number of events.
            let count = unsafe { libc::epoll_wait(epoll, first, MAX_EVENTS as libc::c_int, 0) };
            let count = usize::try_from(count).unwrap_or(0);
            for event in &events[..count] {
                // SAFETY: the call has initialized this number of events.
                self.shut_down(unsafe { event.assume_init_ref() }.u64);
            }
            if count < MAX_EVENTS {
                return;
            }
        }
    }

    fn shut_down(&self, known: u64) {
        let descriptor = self.descriptors.lock().unwrap_or_else(PoisonError::into_inner).remove(&known);
        let Some(descriptor) = descriptor.filter(|descriptor| cookie(*descriptor) == Some(known)) else { return };
        // SAFETY: the call takes no pointers, and returns a new descriptor or -1.
        let own = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
        if own < 0 {
            return;
        }
        // SAFETY: the descriptor was just created, and has no other owner.
        let own = unsafe { OwnedFd::from_raw_fd(own) };
        let socket = SockRef::from(&own);
        if socket.cookie().ok() == Some(known) {
            // A pending error would be returned by the next send instead of `BrokenPipe`.
            drop(socket.take_error());
            // Replies that arrived before the end can still be read.
            drop(socket.shutdown(Shutdown::Write));
            self.closed.store(true, Ordering::Release);
        }
    }
}

/// Returns the cookie of a socket.
fn cookie(descriptor: RawFd) -> Option<u64> {
    // SAFETY: it is used only for `getsockopt`, which fails if the descriptor is no longer a
    // socket.
    let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
    SockRef::from(&socket).cookie().ok()
}

/// Returns the cookie of a socket if the driver created it, and it is connected to this port.
fn drivers_socket(descriptor: RawFd, port: u16) -> Option<u64> {
    // SAFETY: as for `cookie`.
    let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let socket = SockRef::from(&socket);
    // A socket that was reset no longer has a peer.
    let peer = socket.peer_addr().ok()?.as_socket()?;
    let drivers = peer.port() == port
        && socket.tcp_nodelay().ok()?
        && socket.keepalive().ok()?
        && socket.tcp_keepalive_time().ok()? == DRIVERS_KEEPALIVE;
    if drivers { socket.cookie().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    /// Creates a socket with the driver's options, and its peer.
    fn pair() -> (TcpStream, TcpStream, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        let keepalive = socket2::TcpKeepalive::new().with_time(DRIVERS_KEEPALIVE);
        SockRef::from(&socket).set_tcp_keepalive(&keepalive).unwrap();
        (socket, listener.accept().unwrap().0, address.port())
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    fn until(condition: impl Fn() -> bool) {
        for _ in 0..2_000 {
            if condition() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(condition(), "the condition was not met in time");
    }

    #[test]
    fn a_send_on_a_closed_connection_fails_with_a_broken_pipe() {
        let runtime = runtime();
        for reset in [false, true] {
            let closed: Arc<AtomicBool> = Arc::default();
            let watcher = SocketWatcher::new(runtime.handle(), Arc::clone(&closed)).unwrap();
            let (mut socket, mut other, port) = pair();
            watcher.add(port);
            watcher.poll();
            assert!(!closed.load(Ordering::Acquire));
            socket.write_all(b"x").unwrap();
            other.read_exact(&mut [0]).unwrap();
            if reset {
                SockRef::from(&other).set_linger(Some(Duration::ZERO)).unwrap();
            } else {
                other.write_all(b"the last").unwrap();
            }
            drop(other);
            // The task detects it without a call of `poll`.
            until(|| closed.load(Ordering::Acquire));
            assert_eq!(socket.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            if !reset {
                let mut last = String::new();
                socket.read_to_string(&mut last).unwrap();
                assert_eq!(last, "the last");
            }
        }
    }

    #[test]
    fn sockets_of_others_are_ignored() {
        let runtime = runtime();
        let closed: Arc<AtomicBool> = Arc::default();
        let watcher = SocketWatcher::new(runtime.handle(), Arc::clone(&closed)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut foreign = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut other = listener.accept().unwrap().0;
        watcher.add(listener.local_addr().unwrap().port());
        other.shutdown(Shutdown::Write).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        watcher.poll();
        assert!(!closed.load(Ordering::Acquire));
        foreign.write_all(b"x").unwrap();
        other.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn a_reused_descriptor_is_ignored() {
        let runtime = runtime();
        let closed: Arc<AtomicBool> = Arc::default();
        let watcher = SocketWatcher::new(runtime.handle(), Arc::clone(&closed)).unwrap();
        let (mut socket, other, _) = pair();
        let descriptor = socket.as_raw_fd();
        let before = cookie(descriptor).unwrap() + 1_000_000;
        watcher.sockets.descriptors.lock().unwrap().insert(before, descriptor);
        watcher.sockets.shut_down(before);
        socket.write_all(b"x").unwrap();
        assert!(!closed.load(Ordering::Acquire));
        drop(other);
    }
}
