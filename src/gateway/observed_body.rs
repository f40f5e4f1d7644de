//! A response body with an observer, which sees each part and is dropped with the body.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};

/// The result of polling a body for its next part.
pub(super) type PolledFrame = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

/// Observes a body. The body drops it when it has been sent or abandoned.
pub(super) trait BodyObserver: Send + Unpin + 'static {
    /// Called after each poll; `end_of_body` tells whether this part was the last one.
    fn polled(&mut self, _frame: &PolledFrame, _end_of_body: bool) {}
}

/// Attaches an observer to a body.
pub(super) fn observe(body: Body, observer: impl BodyObserver) -> Body {
    Body::new(ObservedBody { body, observer })
}

struct ObservedBody<O> {
    body: Body,
    observer: O,
}

impl<O: BodyObserver> http_body::Body for ObservedBody<O> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> PolledFrame {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let end_of_body = self.body.is_end_stream();
        self.observer.polled(&frame, end_of_body);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
