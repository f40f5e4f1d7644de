//! A response body that keeps its request slot while it is sent, with a limit on how long the
//! client may stop reading.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

/// Wraps a body so that it holds its request slot until it is sent.
///
/// Over HTTP/1.1 the connection's write timeout ends a response that the client does not read.
/// Over HTTP/2 other streams keep the connection active, so this drops the body if nobody polls
/// it for `stalled`.
pub(in crate::gateway) fn limited(body: Body, slot: OwnedSemaphorePermit, stalled: Option<Duration>) -> Body {
    let size = http_body::Body::size_hint(&body);
    let state = State { body: Some(body), _slot: Some(slot), last_poll: Instant::now(), waits_for_mongodb: false };
    let state = Arc::new(Mutex::new(state));
    let watchdog = stalled.map(|stalled| tokio::spawn(watch(Arc::clone(&state), stalled)).abort_handle());
    Body::new(LimitedBody { state, size, watchdog })
}

struct State {
    body: Option<Body>,
    _slot: Option<OwnedSemaphorePermit>,
    last_poll: Instant,
    /// Whether the last poll returned `Pending`: then the client is not the one that stalls.
    waits_for_mongodb: bool,
}

struct LimitedBody {
    state: Arc<Mutex<State>>,
    size: SizeHint,
    watchdog: Option<AbortHandle>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops the body and its slot once the client has not read for `stalled`.
async fn watch(state: Arc<Mutex<State>>, stalled: Duration) {
    let mut remaining = stalled;
    loop {
        tokio::time::sleep(remaining).await;
        let mut state = lock(&state);
        let idle = if state.waits_for_mongodb { Duration::ZERO } else { state.last_poll.elapsed() };
        if idle >= stalled {
            state.body = None;
            state._slot = None;
            return;
        }
        remaining = stalled - idle;
    }
}

impl http_body::Body for LimitedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut state = lock(&self.state);
        state.last_poll = Instant::now();
        let Some(body) = &mut state.body else {
            return Poll::Ready(Some(Err(axum::Error::new("the client stopped reading the response"))));
        };
        let polled = Pin::new(body).poll_frame(context);
        state.waits_for_mongodb = polled.is_pending();
        polled
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.state).body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &lock(&self.state).body {
            Some(body) => http_body::Body::size_hint(body),
            None => self.size,
        }
    }
}

impl Drop for LimitedBody {
    fn drop(&mut self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
        }
    }
}
