//! A stream whose reads and writes fail if they have to wait too long.
//!
//! The timer is not touched by each read and write: it may be due too early, and is then set again. A timer that is
//! set and cancelled for each request costs locks, a wake-up of the thread that waits for timers, and one of the task.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream with a time limit for each read and each write that has to wait.
pub(super) struct StalledTimeout<S> {
    stream: S,
    waits: Waits,
}

/// Since when the stream has been waiting, and the timer, which is never due later than one of the limits.
struct Waits {
    limit: Duration,
    /// The requests in progress. A client that waits for a response need not send anything.
    requests: Arc<AtomicUsize>,
    reading: Option<Instant>,
    writing: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

impl<S> StalledTimeout<S> {
    /// Limits how long the reads and writes of a stream may wait. Reads are not limited while there are `requests`,
    /// whose own limits apply.
    pub(super) fn new(stream: S, limit: Duration, requests: Arc<AtomicUsize>) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + limit));
        Self { stream, waits: Waits { limit, requests, reading: None, writing: None, timer } }
    }
}

impl Waits {
    fn since(&mut self, direction: Direction) -> &mut Option<Instant> {
        match direction {
            Direction::Read => &mut self.reading,
            Direction::Write => &mut self.writing,
        }
    }

    /// Notes the result of a read or a write. If it has to wait, it fails once it has waited for too long.
    fn note<T>(
        &mut self,
        direction: Direction,
        result: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            *self.since(direction) = None;
            return result;
        }
        let since = *self.since(direction).get_or_insert_with(Instant::now);
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            let is_exempt = direction == Direction::Read && self.requests.load(Ordering::Relaxed) > 0;
            let writes_in_time = self.writing.is_none_or(|begun| begun + self.limit > now);
            if is_exempt && writes_in_time {
                // The wait begins again with the end of the last response, or somewhat later.
                self.reading = Some(now);
            } else if is_exempt || since + self.limit <= now {
                *self.since(direction) = None;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            // A wait of the other direction that is over, and that nobody polls, must not make the timer due at once.
            let limit = self.limit;
            let waits = self.reading.into_iter().chain(self.writing).filter(|begun| *begun + limit > now);
            let first = waits.min().unwrap_or(since);
            self.timer.as_mut().reset(first + limit);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StalledTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.waits.note(Direction::Read, result, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StalledTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.waits.note(Direction::Write, result, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.waits.note(Direction::Write, result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.waits.note(Direction::Write, result, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.waits.note(Direction::Write, result, context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::sleep;

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn each_read_may_wait_for_the_limit() {
        let (stream, mut other) = duplex(64);
        let mut stream = StalledTimeout::new(stream, LIMIT, Arc::default());
        let mut byte = [0];
        let sending = async {
            sleep(LIMIT / 2).await;
            other.write_all(b"x").await.unwrap();
        };
        let (read, ()) = tokio::join!(stream.read_exact(&mut byte), sending);
        read.unwrap();
        // The timer of the first read is due during this one.
        let begun = Instant::now();
        assert_eq!(stream.read_exact(&mut byte).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LIMIT);
    }

    #[tokio::test]
    async fn a_read_and_a_write_have_limits_of_their_own() {
        let (stream, _other) = duplex(64);
        let (mut reader, mut writer) = tokio::io::split(StalledTimeout::new(stream, LIMIT, Arc::default()));
        let begun = Instant::now();
        let mut byte = [0];
        let writing = async {
            sleep(LIMIT / 4).await;
            let begun = Instant::now();
            (writer.write_all(&[0; 100]).await, begun.elapsed())
        };
        let (read, (written, waited)) = tokio::join!(reader.read_exact(&mut byte), writing);
        for error in [read.unwrap_err(), written.unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert!(begun.elapsed() >= LIMIT && waited >= LIMIT);
    }

    #[tokio::test]
    async fn reads_are_not_limited_while_a_request_is_in_progress() {
        let (stream, mut other) = duplex(64);
        let requests = Arc::new(AtomicUsize::new(1));
        let limit = LIMIT / 4;
        let mut stream = StalledTimeout::new(stream, limit, Arc::clone(&requests));
        let sending = async {
            sleep(4 * limit).await;
            other.write_all(b"x").await.unwrap();
            requests.store(0, Ordering::Relaxed);
        };
        let mut byte = [0];
        let (read, ()) = tokio::join!(stream.read_exact(&mut byte), sending);
        read.unwrap();
        assert_eq!(stream.read_exact(&mut byte).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
