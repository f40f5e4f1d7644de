//! Queues of finished calls, one for each event loop. A runtime thread adds a call's token
//! and, if the queue was empty, raises a signal that the loop watches. This module does not depend
//! on Python.

use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The finished calls of one event loop.
pub struct Mailbox {
    tokens: Mutex<Vec<u64>>,
    arrived: Condvar,
    closed: AtomicBool,
    signal: Option<Signal>,
}

/// Wakes an event loop, which watches its descriptor.
pub struct Signal(Descriptors);

/// On Linux an `eventfd`, which costs half as much as a socket pair.
#[cfg(target_os = "linux")]
type Descriptors = std::fs::File;

#[cfg(all(unix, not(target_os = "linux")))]
type Descriptors = (std::os::unix::net::UnixStream, std::os::unix::net::UnixStream);

/// There is none: no loop of this system watches a descriptor.
#[cfg(not(unix))]
type Descriptors = std::convert::Infallible;

#[cfg(target_os = "linux")]
impl Signal {
    /// Creates a signal.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn new() -> io::Result<Self> {
        use std::os::fd::{FromRawFd as _, OwnedFd};
        // SAFETY: the call takes no pointers, and returns a new descriptor or -1.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just created, and has no other owner.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }.into()))
    }

    /// Returns the file descriptor that the loop watches.
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.0)
    }

    fn raise(&self) {
        // It fails only if the counter is full, and then the descriptor is readable anyway.
        drop((&self.0).write_all(&1_u64.to_ne_bytes()));
    }

    /// Returns how often it was raised.
    fn clear(&self) -> u64 {
        let mut count = [0; 8];
        // An eventfd is read as a whole or not at all.
        match (&self.0).read_exact(&mut count) {
            Ok(()) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
impl Signal {
    /// Creates a signal.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn new() -> io::Result<Self> {
        let (watched, written) = std::os::unix::net::UnixStream::pair()?;
        watched.set_nonblocking(true)?;
        written.set_nonblocking(true)?;
        Ok(Self((watched, written)))
    }

    /// Returns the file descriptor that the loop watches.
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.0.0)
    }

    fn raise(&self) {
        // A full socket is readable anyway; a closed one belongs to a closed loop.
        drop((&self.0.1).write(&[1]));
    }

    /// Returns how often it was raised.
    fn clear(&self) -> u64 {
        let (mut bytes, mut raised) = ([0; 64], 0);
        while let Ok(count) = (&self.0.0).read(&mut bytes) {
            raised += count as u64;
            if count < bytes.len() {
                break;
            }
        }
        raised
    }
}

#[cfg(not(unix))]
impl Signal {
    fn raise(&self) {
        match self.0 {}
    }

    fn clear(&self) -> u64 {
        match self.0 {}
    }
}

impl Mailbox {
    /// Creates a mailbox that wakes the loop by `signal`, or without one only threads in [`Self::wait`].
    pub fn new(signal: Option<Signal>) -> Self {
        Self { tokens: Mutex::default(), arrived: Condvar::new(), closed: AtomicBool::new(false), signal }
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
        match &self.signal {
            Some(signal) => signal.raise(),
            None => self.arrived.notify_one(),
        }
    }

    /// Returns and removes all tokens.
    pub fn take(&self) -> Vec<u64> {
        if let Some(signal) = &self.signal {
            signal.clear();
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
        let boxes = [(); 2].map(|()| Arc::new(Mailbox::new(Some(Signal::new().unwrap()))));
        let wakeups = (0..10).map(|token| Wakeup::new(Arc::clone(&boxes[token as usize % 2]), token)).collect();
        Wakeup::fire_all(wakeups);
        for (index, mailbox) in boxes.iter().enumerate() {
            assert_eq!(mailbox.signal.as_ref().unwrap().clear(), 1);
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
