//! Watching sockets that the driver owns, with an epoll of our own.
//!
//! The driver hands its sockets to nobody, so they are looked for among the
//! process's descriptors when a connection is ready. A descriptor may be closed
//! by the driver at any time, and its number given to another file. A socket is
//! therefore known by its cookie, and is only touched through a duplicate whose
//! cookie was checked.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// How long the driver leaves a socket idle before the system probes it: how a
/// socket of its own is told from others to the same port.
const DRIVERS_KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(120);

/// The sockets that are watched.
pub(super) struct Watched {
    sockets: Arc<Sockets>,
    task: AbortHandle,
}

struct Sockets {
    epoll: OwnedFd,
    /// The descriptor that a socket had when it was added, by its cookie.
    descriptors: Mutex<HashMap<u64, RawFd>>,
    closed: Arc<AtomicBool>,
}

impl Watched {
    /// Sets `closed` when a server has closed a connection.
    pub(super) fn new(runtime: &Handle, closed: Arc<AtomicBool>) -> io::Result<Self> {
        // SAFETY: the call takes no pointers, and gives a descriptor of ours or -1.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just made, and nobody else has it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let _context = runtime.enter();
        let readable = epoll.try_clone()?;
        // SAFETY: the descriptor stays open, and the same, for as long as its owner is in there.
        let readable = unsafe { AsyncFd::register_with_interest(readable, Interest::READABLE) }?;
        let sockets = Arc::new(Sockets { epoll, descriptors: Mutex::default(), closed });
        let looking = Arc::clone(&sockets);
        let task = runtime.spawn(async move {
            while let Ok(mut ready) = readable.readable().await {
                ready.clear_ready();
                looking.look();
            }
        });
        Ok(Self { sockets, task: task.abort_handle() })
    }

    /// Watches the driver's sockets to servers at this port.
    pub(super) fn add(&self, port: u16) {
        self.sockets.add(port);
    }

    /// Shuts down sockets whose servers have closed them.
    pub(super) fn look(&self) {
        self.sockets.look();
    }
}

impl Drop for Watched {
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
            // SAFETY: the pointer is to a value that outlives the call. Should the number be
            // another file's by now, that is watched, and left alone by `shut_down`.
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
        }
    }

    fn look(&self) {
        const AT_ONCE: usize = 32;
        loop {
            let mut events = [MaybeUninit::<libc::epoll_event>::uninit(); AT_ONCE];
            let (epoll, first) = (self.epoll.as_raw_fd(), events.as_mut_ptr().cast::<libc::epoll_event>());
            // SAFETY: there is room for as many events as it is told.
            let count = unsafe { libc::epoll_wait(epoll, first, AT_ONCE as libc::c_int, 0) };
            let count = usize::try_from(count).unwrap_or(0);
            for event in &events[..count] {
                // SAFETY: the call has written so many.
                self.shut_down(unsafe { event.assume_init_ref() }.u64);
            }
            if count < AT_ONCE {
                return;
            }
        }
    }

    fn shut_down(&self, known: u64) {
        let descriptor = self.descriptors.lock().unwrap_or_else(PoisonError::into_inner).remove(&known);
        let Some(descriptor) = descriptor.filter(|descriptor| cookie(*descriptor) == Some(known)) else { return };
        // SAFETY: the call takes no pointers, and gives a descriptor of ours or -1.
        let own = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
        if own < 0 {
            return;
        }
        // SAFETY: it was just made, and nobody else has it.
        let own = unsafe { OwnedFd::from_raw_fd(own) };
        let socket = SockRef::from(&own);
        if socket.cookie().ok() == Some(known) {
            // An error that waits would be given to the next send in place of `BrokenPipe`.
            drop(socket.take_error());
            // Answers that came before the end can still be read.
            drop(socket.shutdown(Shutdown::Write));
            self.closed.store(true, Ordering::Release);
        }
    }
}

/// The cookie of a socket.
fn cookie(descriptor: RawFd) -> Option<u64> {
    // SAFETY: it is used for a question alone, which for a number that is no
    // socket's by now is answered with an error.
    let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
    SockRef::from(&socket).cookie().ok()
}

/// The cookie of a socket, if it is one as the driver makes them to this port.
fn drivers_socket(descriptor: RawFd, port: u16) -> Option<u64> {
    // SAFETY: as for `cookie`.
    let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let socket = SockRef::from(&socket);
    // A socket that was reset has no peer any more.
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
    use std::time::Duration;

    /// A socket as the driver makes them, and its other end.
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
        assert!(condition(), "it did not come to be");
    }

    #[test]
    fn a_send_on_a_closed_connection_fails_with_a_broken_pipe() {
        let runtime = runtime();
        for reset in [false, true] {
            let closed: Arc<AtomicBool> = Arc::default();
            let watched = Watched::new(runtime.handle(), Arc::clone(&closed)).unwrap();
            let (mut socket, mut other, port) = pair();
            watched.add(port);
            watched.look();
            assert!(!closed.load(Ordering::Acquire));
            socket.write_all(b"x").unwrap();
            other.read_exact(&mut [0]).unwrap();
            if reset {
                SockRef::from(&other).set_linger(Some(Duration::ZERO)).unwrap();
            } else {
                other.write_all(b"the last").unwrap();
            }
            drop(other);
            // The task sees it by itself.
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
    fn sockets_that_are_not_the_drivers_are_left_alone() {
        let runtime = runtime();
        let closed: Arc<AtomicBool> = Arc::default();
        let watched = Watched::new(runtime.handle(), Arc::clone(&closed)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut foreign = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut other = listener.accept().unwrap().0;
        watched.add(listener.local_addr().unwrap().port());
        other.shutdown(Shutdown::Write).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        watched.look();
        assert!(!closed.load(Ordering::Acquire));
        foreign.write_all(b"x").unwrap();
        other.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn a_number_that_another_socket_has_by_now_is_left_alone() {
        let runtime = runtime();
        let closed: Arc<AtomicBool> = Arc::default();
        let watched = Watched::new(runtime.handle(), Arc::clone(&closed)).unwrap();
        let (mut socket, other, _) = pair();
        let descriptor = socket.as_raw_fd();
        let before = cookie(descriptor).unwrap() + 1_000_000;
        watched.sockets.descriptors.lock().unwrap().insert(before, descriptor);
        watched.sockets.shut_down(before);
        socket.write_all(b"x").unwrap();
        assert!(!closed.load(Ordering::Acquire));
        drop(other);
    }
}
