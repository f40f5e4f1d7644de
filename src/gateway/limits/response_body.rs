//! The body of an action's response, which keeps its request slot while it is sent, with a limit on how long the
//! client may stop reading, and on the time of the whole request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use crate::gateway::api_error::{Aborted, INCOMPLETE_RESPONSE, TIME_LIMIT_EXCEEDED};

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

/// When the body of a response is dropped although it is not sent completely.
#[derive(Clone, Copy, Default)]
pub(in crate::gateway) struct BodyLimits {
    /// How long the client may stop reading.
    pub(in crate::gateway) stalled: Option<Duration>,
    /// When the time of the request is over.
    pub(in crate::gateway) deadline: Option<Instant>,
}

impl ResponseBody {
    /// Holds a request slot until the body is sent.
    ///
    /// Over HTTP/1.1 the connection's write timeout ends a response that the client does not read.
    /// Over HTTP/2 other streams keep the connection active, so a limit drops the body if nobody
    /// polls it. At its deadline a body is dropped with all it holds, read or not.
    pub(in crate::gateway) fn limited(self, slot: Option<OwnedSemaphorePermit>, limits: BodyLimits) -> Self {
        match limits {
            BodyLimits { stalled: None, deadline: None } => Self { _slot: slot, ..self },
            limits => Self { content: Content::Watched(WatchedBody::new(Body::new(self), slot, limits)), _slot: None },
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
    /// The task that waits for MongoDB, if the last poll returned `Pending`: then the client is not the one that
    /// stalls.
    waiting: Option<Waker>,
    /// Why the body was dropped.
    aborted: Option<Aborted>,
}

impl State {
    fn abort(&mut self, aborted: Aborted) {
        (self.body, self._slot, self.aborted) = (None, None, Some(aborted));
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

struct WatchedBody {
    state: Arc<Mutex<State>>,
    size: SizeHint,
    watchdog: AbortHandle,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops the body and its slot once a limit is reached.
async fn watch(state: Arc<Mutex<State>>, limits: BodyLimits) {
    let mut last_poll = Some(Instant::now());
    loop {
        let now = Instant::now();
        let stalled = limits.stalled.map(|stalled| last_poll.unwrap_or(now) + stalled);
        let Some(due) = stalled.into_iter().chain(limits.deadline).min() else { return };
        sleep_until(due.into()).await;
        let mut state = lock(&state);
        last_poll = state.waiting.is_none().then_some(state.last_poll);
        let is_over = |limit: Option<Instant>| limit.is_some_and(|limit| limit <= Instant::now());
        if is_over(limits.deadline) {
            return state.abort(Aborted::new(TIME_LIMIT_EXCEEDED, "the time limit of the request is exceeded"));
        }
        if is_over(limits.stalled.zip(last_poll).map(|(stalled, last_poll)| last_poll + stalled)) {
            return state.abort(Aborted::new(INCOMPLETE_RESPONSE, "the client stopped reading the response"));
        }
    }
}

impl WatchedBody {
    fn new(body: Body, slot: Option<OwnedSemaphorePermit>, limits: BodyLimits) -> Self {
        let size = http_body::Body::size_hint(&body);
        let state = State { body: Some(body), _slot: slot, last_poll: Instant::now(), waiting: None, aborted: None };
        let state = Arc::new(Mutex::new(state));
        let watchdog = tokio::spawn(watch(Arc::clone(&state), limits)).abort_handle();
        Self { state, size, watchdog }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = lock(&self.state);
        state.last_poll = Instant::now();
        let Some(body) = &mut state.body else {
            return Poll::Ready(state.aborted.take().map(|aborted| Err(axum::Error::new(aborted))));
        };
        let polled = http_body::Body::poll_frame(Pin::new(body), context);
        state.waiting = polled.is_pending().then(|| context.waker().clone());
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
