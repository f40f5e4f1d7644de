//! An answer's body, with somebody who sees what becomes of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};

/// What a body gave when it was asked for its next part.
pub(super) type Polled = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

/// Who sees it; dropped with the body, which is when it has been taken or given up.
pub(super) trait Watch: Send + Unpin + 'static {
    /// Sees a part, and whether the body is over with it.
    fn polled(&mut self, _polled: &Polled, _over: bool) {}
}

/// The body, watched.
pub(super) fn watched(body: Body, watch: impl Watch) -> Body {
    Body::new(Watched { body, watch })
}

struct Watched<W> {
    body: Body,
    watch: W,
}

impl<W: Watch> http_body::Body for Watched<W> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let over = self.body.is_end_stream();
        self.watch.polled(&polled, over);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
