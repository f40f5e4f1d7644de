//! Queues of finished calls, one for each event loop. A runtime thread adds a call's token
//! and, if the queue was empty, writes a byte to a socket that the loop watches. This module
//! does not depend on Python.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The finished calls of one event loop.
pub struct Mailbox {
    tokens: Mutex<Vec<u64>>,
    arrived: Condvar,
    closed: AtomicBool,
    socket: Option<Sockets>,
}

#[cfg(unix)]
type Socket = std::os::unix::net::UnixStream;
#[cfg(not(unix))]
type Socket = std::net::TcpStream;

/// The socket pair that wakes an event loop.
pub struct Sockets {
    watched: Socket,
    written: Socket,
}

impl Sockets {
    /// Creates a non-blocking socket pair.
    ///
    /// # Errors
    /// The operating system's error.
    #[cfg(unix)]
    pub fn new() -> std::io::Result<Self> {
        let (watched, written) = Socket::pair()?;
        watched.set_nonblocking(true)?;
        written.set_nonblocking(true)?;
        Ok(Self { watched, written })
    }

    /// Returns the file descriptor that the loop watches.
    #[cfg(unix)]
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsRawFd as _;
        self.watched.as_raw_fd()
    }
}

impl Mailbox {
    /// Creates a mailbox that wakes the loop through `socket`, or without one only threads in [`Self::wait`].
    pub fn new(socket: Option<Sockets>) -> Self {
        Self { tokens: Mutex::default(), arrived: Condvar::new(), closed: AtomicBool::new(false), socket }
    }

    fn put(&self, added: impl Iterator<Item = u64>) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = tokens.is_empty();
        tokens.extend(added);
        if !was_empty || tokens.is_empty() {
            // The loop was already woken and has not taken the tokens yet.
            return;
        }
        drop(tokens);
        match &self.socket {
            // A full socket is readable anyway; a closed one belongs to a closed loop.
            Some(Sockets { written, .. }) => drop((&*written).write(&[1])),
            None => self.arrived.notify_one(),
        }
    }

    /// Returns and removes all tokens.
    pub fn take(&self) -> Vec<u64> {
        if let Some(Sockets { watched, .. }) = &self.socket {
            let mut bytes = [0; 64];
            while matches!((&*watched).read(&mut bytes), Ok(count) if count == bytes.len()) {}
        }
        std::mem::take(&mut *self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a token. Returns `false` once the mailbox is closed.
    pub fn wait(&self) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        while tokens.is_empty() && !self.closed.load(Ordering::Acquire) {
            tokens = self.arrived.wait(tokens).unwrap_or_else(PoisonError::into_inner);
        }
        !self.closed.load(Ordering::Acquire)
    }

    /// Closes the mailbox and wakes waiting threads.
    pub fn close(&self) {
        let _tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        self.arrived.notify_all();
    }
}

/// Notifies an event loop that a call has finished.
pub struct Wakeup {
    mailbox: Arc<Mailbox>,
    token: u64,
}

impl Wakeup {
    /// Creates the notification for the call with this token.
    pub fn new(mailbox: Arc<Mailbox>, token: u64) -> Self {
        Self { mailbox, token }
    }

    /// Notifies the loop. If the loop was already woken, this costs only a lock.
    pub fn fire(self) {
        self.mailbox.put(std::iter::once(self.token));
    }

    /// Notifies the loops of many calls, each loop once.
    pub fn fire_all(mut wakeups: Vec<Self>) {
        while let Some(first) = wakeups.first() {
            let mailbox = Arc::clone(&first.mailbox);
            let (here, elsewhere): (Vec<Self>, Vec<Self>) =
                wakeups.into_iter().partition(|wakeup| Arc::ptr_eq(&wakeup.mailbox, &mailbox));
            mailbox.put(here.iter().map(|wakeup| wakeup.token));
            wakeups = elsewhere;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn many_calls_wake_each_loop_once() {
        let boxes = [(); 2].map(|()| Arc::new(Mailbox::new(Some(Sockets::new().unwrap()))));
        let wakeups = (0..10).map(|token| Wakeup::new(Arc::clone(&boxes[token as usize % 2]), token)).collect();
        Wakeup::fire_all(wakeups);
        for (index, mailbox) in boxes.iter().enumerate() {
            let mut bytes = [0; 64];
            let count = (&mailbox.socket.as_ref().unwrap().watched).read(&mut bytes).unwrap();
            assert_eq!(count, 1);
            assert_eq!(mailbox.take(), (0..5).map(|n| 2 * n + index as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn close_wakes_waiting_threads() {
        let mailbox = Arc::new(Mailbox::new(None));
        let waiting = std::thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.wait()
        });
        mailbox.close();
        assert!(!waiting.join().unwrap());
    }
}
