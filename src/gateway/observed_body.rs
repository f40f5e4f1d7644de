//! A response body with an observer, which sees what is sent and is dropped with the body.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Observes a body. The body drops it when it has been sent or abandoned.
pub(super) trait BodyObserver: Send + Unpin + 'static {
    /// Called after each part, with its size, and at the end of the body. `complete` tells whether nothing follows.
    fn sent(&mut self, _bytes: usize, _complete: bool) {}

    /// Called when the body fails, with its error.
    fn failed(&mut self, _error: &dyn Any) {}
}

/// A body with its observer.
pub(super) struct ObservedBody<B, O> {
    body: B,
    observer: O,
}

/// Attaches an observer to a body.
pub(super) fn observe<B, O>(body: B, observer: O) -> ObservedBody<B, O> {
    ObservedBody { body, observer }
}

impl<B: Body<Data = Bytes, Error: 'static> + Unpin, O: BodyObserver> Body for ObservedBody<B, O> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(part))) => {
                let (bytes, complete) = (part.data_ref().map_or(0, Bytes::len), self.body.is_end_stream());
                self.observer.sent(bytes, complete);
            }
            Poll::Ready(None) => self.observer.sent(0, true),
            Poll::Ready(Some(Err(error))) => self.observer.failed(error),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
