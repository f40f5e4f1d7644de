//! Where finished calls wait for their event loop. Knows nothing of Python:
//! a thread of the runtime puts a call's token in and, where the mailbox was
//! empty, writes a byte to a socket that the loop watches.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A mailbox of one event loop.
pub struct Mailbox {
    tokens: Mutex<Vec<u64>>,
    came_in: Condvar,
    closed: AtomicBool,
    socket: Option<Sockets>,
}

#[cfg(unix)]
type Socket = std::os::unix::net::UnixStream;
#[cfg(not(unix))]
type Socket = std::net::TcpStream;

/// The two ends of what tells a loop that something came in.
pub struct Sockets {
    watched: Socket,
    written: Socket,
}

impl Sockets {
    /// A pair of sockets.
    ///
    /// # Errors
    /// The system's, where it gives none.
    #[cfg(unix)]
    pub fn new() -> std::io::Result<Self> {
        let (watched, written) = Socket::pair()?;
        watched.set_nonblocking(true)?;
        written.set_nonblocking(true)?;
        Ok(Self { watched, written })
    }

    /// The descriptor to watch.
    #[cfg(unix)]
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsRawFd as _;
        self.watched.as_raw_fd()
    }
}

impl Mailbox {
    /// A mailbox that tells through `socket`, or, without one, only whoever [`waits`](Self::wait).
    pub fn new(socket: Option<Sockets>) -> Self {
        Self { tokens: Mutex::default(), came_in: Condvar::new(), closed: AtomicBool::new(false), socket }
    }

    fn put(&self, come: impl Iterator<Item = u64>) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = tokens.is_empty();
        tokens.extend(come);
        if !was_empty || tokens.is_empty() {
            // The loop has been told, and has not come yet.
            return;
        }
        drop(tokens);
        match &self.socket {
            // A full socket is readable already; a closed one belongs to a loop that is gone.
            Some(Sockets { written, .. }) => drop((&*written).write(&[1])),
            None => self.came_in.notify_one(),
        }
    }

    /// Takes all that has come in.
    pub fn take(&self) -> Vec<u64> {
        if let Some(Sockets { watched, .. }) = &self.socket {
            let mut bytes = [0; 64];
            while matches!((&*watched).read(&mut bytes), Ok(count) if count == bytes.len()) {}
        }
        std::mem::take(&mut *self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something came in; `false` once the mailbox is closed.
    pub fn wait(&self) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        while tokens.is_empty() && !self.closed.load(Ordering::Acquire) {
            tokens = self.came_in.wait(tokens).unwrap_or_else(PoisonError::into_inner);
        }
        !self.closed.load(Ordering::Acquire)
    }

    /// Ends the waiting.
    pub fn close(&self) {
        let _tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        self.came_in.notify_all();
    }
}

/// Tells a loop that a call has ended.
pub struct Wakeup {
    mailbox: Arc<Mailbox>,
    token: u64,
}

impl Wakeup {
    /// A wake-up for the call of that token.
    pub fn new(mailbox: Arc<Mailbox>, token: u64) -> Self {
        Self { mailbox, token }
    }

    /// Tells it; costs no more than a lock where the loop has been told already.
    pub fn fire(self) {
        self.mailbox.put(std::iter::once(self.token));
    }

    /// Tells of many calls at once, each loop once.
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
    fn many_calls_tell_each_loop_once() {
        let boxes = [(); 2].map(|()| Arc::new(Mailbox::new(Some(Sockets::new().unwrap()))));
        let wakeups = (0..10).map(|token| Wakeup::new(Arc::clone(&boxes[token as usize % 2]), token)).collect();
        Wakeup::fire_all(wakeups);
        for (place, mailbox) in boxes.iter().enumerate() {
            let mut bytes = [0; 64];
            let told = (&mailbox.socket.as_ref().unwrap().watched).read(&mut bytes).unwrap();
            assert_eq!(told, 1);
            assert_eq!(mailbox.take(), (0..5).map(|n| 2 * n + place as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn closing_ends_the_waiting() {
        let mailbox = Arc::new(Mailbox::new(None));
        let waiting = std::thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.wait()
        });
        mailbox.close();
        assert!(!waiting.join().unwrap());
    }
}
