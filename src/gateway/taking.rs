//! An answer on its way: what it holds until its client has taken it, and for
//! how long that may take.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

/// The body, which keeps its request's seat. Over HTTP/1.1 the connection sees
/// to a client that takes nothing; over HTTP/2, where other streams go on, this
/// lets the body go when nobody has asked for its next part for `stalled`.
pub(super) fn body(body: Body, seat: OwnedSemaphorePermit, stalled: Option<Duration>) -> Body {
    let size = http_body::Body::size_hint(&body);
    let left = Arc::new(Mutex::new(Left { body: Some(body), _seat: Some(seat), asked: Instant::now(), waits: false }));
    let watch = stalled.map(|stalled| tokio::spawn(watch(Arc::clone(&left), stalled)).abort_handle());
    Body::new(Taking { left, size, watch })
}

struct Left {
    body: Option<Body>,
    _seat: Option<OwnedSemaphorePermit>,
    /// When its next part was last asked for.
    asked: Instant,
    /// Whether it is MongoDB that is waited for.
    waits: bool,
}

struct Taking {
    left: Arc<Mutex<Left>>,
    size: SizeHint,
    watch: Option<AbortHandle>,
}

fn lock(left: &Mutex<Left>) -> MutexGuard<'_, Left> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch(left: Arc<Mutex<Left>>, stalled: Duration) {
    let mut patience = stalled;
    loop {
        tokio::time::sleep(patience).await;
        let mut left = lock(&left);
        let idle = if left.waits { Duration::ZERO } else { left.asked.elapsed() };
        if idle >= stalled {
            left.body = None;
            left._seat = None;
            return;
        }
        patience = stalled - idle;
    }
}

impl http_body::Body for Taking {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut left = lock(&self.left);
        left.asked = Instant::now();
        let Some(body) = &mut left.body else {
            return Poll::Ready(Some(Err(axum::Error::new("the client took nothing of the answer for too long"))));
        };
        let polled = Pin::new(body).poll_frame(context);
        left.waits = polled.is_pending();
        polled
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.left).body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &lock(&self.left).body {
            Some(body) => http_body::Body::size_hint(body),
            None => self.size,
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}
