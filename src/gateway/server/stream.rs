//! A connection's stream: notes when bytes arrive, and fails if a write has to wait too long.
//!
//! The timer is not touched by each write: it may be due too early, and is then set again. A timer that is set and
//! cancelled for each request costs locks, a wake-up of the thread that waits for timers, and one of the task.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connections::Activity;

/// A stream whose reads are noted, with a time limit for each write that has to wait.
pub(super) struct WatchedStream<S> {
    stream: S,
    activity: Arc<Activity>,
    limit: Duration,
    /// Since when a write has been waiting.
    waiting: Option<Instant>,
    /// Never due later than the limit.
    timer: Pin<Box<Sleep>>,
}

impl<S> WatchedStream<S> {
    /// Notes the reads of a stream, and limits how long its writes may wait.
    pub(super) fn new(stream: S, activity: Arc<Activity>, limit: Duration) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + limit));
        Self { stream, activity, limit, waiting: None, timer }
    }

    /// Notes the result of a write. If it has to wait, it fails once it has waited for too long.
    fn note<T>(&mut self, result: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if self.waiting.take().is_some() {
                self.activity.unblocked();
            }
            return result;
        }
        let since = match self.waiting {
            Some(since) => since,
            None => {
                self.activity.blocked();
                *self.waiting.insert(Instant::now())
            }
        };
        loop {
            ready!(self.timer.as_mut().poll(context));
            if since + self.limit <= Instant::now() {
                self.waiting = None;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(since + self.limit);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.note(result, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.note(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.note(result, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.note(result, context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::sleep;

    use crate::gateway::server::connections::Connections;

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn each_write_may_wait_for_the_limit() {
        let connection = Connections::new(1, 1).admit(None).unwrap();
        let (stream, mut other) = duplex(64);
        let mut stream = WatchedStream::new(stream, Arc::clone(&connection.activity), LIMIT);
        let reading = async {
            sleep(LIMIT / 2).await;
            other.read_exact(&mut [0; 64]).await.unwrap();
        };
        let (written, ()) = tokio::join!(stream.write_all(&[0; 128]), reading);
        written.unwrap();
        // The timer of the first write is due during this one.
        let begun = Instant::now();
        assert_eq!(stream.write_all(&[0; 128]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LIMIT);
    }
}
