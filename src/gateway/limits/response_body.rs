//! The body of an action's response, which keeps its request slot while it is sent, with a limit on how long the
//! client may stop reading.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

/// The body of a response, and the request slot that it holds until it is sent.
pub(in crate::gateway) struct ResponseBody {
    content: Content,
    _slot: Option<OwnedSemaphorePermit>,
}

enum Content {
    /// Bytes that are not sent yet.
    Bytes(Option<Bytes>),
    Stream(Body),
    Watched(WatchedBody),
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self { content: Content::Bytes((!bytes.is_empty()).then_some(bytes)), _slot: None }
    }
}

impl From<Body> for ResponseBody {
    fn from(body: Body) -> Self {
        Self { content: Content::Stream(body), _slot: None }
    }
}

impl ResponseBody {
    /// Holds a request slot until the body is sent.
    ///
    /// Over HTTP/1.1 the connection's write timeout ends a response that the client does not read.
    /// Over HTTP/2 other streams keep the connection active, so this drops the body if nobody polls
    /// it for `stalled`.
    pub(in crate::gateway) fn limited(self, slot: OwnedSemaphorePermit, stalled: Option<Duration>) -> Self {
        match stalled {
            None => Self { _slot: Some(slot), ..self },
            Some(stalled) => {
                Self { content: Content::Watched(WatchedBody::new(Body::new(self), slot, stalled)), _slot: None }
            }
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.content {
            Content::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Stream(body) => Pin::new(body).poll_frame(context),
            Content::Watched(body) => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Bytes(bytes) => bytes.is_none(),
            Content::Stream(body) => body.is_end_stream(),
            Content::Watched(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Stream(body) => body.size_hint(),
            Content::Watched(body) => body.size_hint(),
        }
    }
}

struct State {
    body: Option<Body>,
    _slot: Option<OwnedSemaphorePermit>,
    last_poll: Instant,
    /// Whether the last poll returned `Pending`: then the client is not the one that stalls.
    waits_for_mongodb: bool,
}

struct WatchedBody {
    state: Arc<Mutex<State>>,
    size: SizeHint,
    watchdog: AbortHandle,
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

impl WatchedBody {
    fn new(body: Body, slot: OwnedSemaphorePermit, stalled: Duration) -> Self {
        let size = http_body::Body::size_hint(&body);
        let state = State { body: Some(body), _slot: Some(slot), last_poll: Instant::now(), waits_for_mongodb: false };
        let state = Arc::new(Mutex::new(state));
        let watchdog = tokio::spawn(watch(Arc::clone(&state), stalled)).abort_handle();
        Self { state, size, watchdog }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = lock(&self.state);
        state.last_poll = Instant::now();
        let Some(body) = &mut state.body else {
            return Poll::Ready(Some(Err(axum::Error::new("the client stopped reading the response"))));
        };
        let polled = http_body::Body::poll_frame(Pin::new(body), context);
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

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
}
