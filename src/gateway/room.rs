//! How much memory the requests may take in all.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::StatusCode;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::http::{Refused, refused};
use super::server::Limits;

/// An answer is handed to the connection in parts of this size, so that its
/// room is given back when the client has taken it, and not before.
const PART: usize = 64 * 1024;

/// The memory for all requests, in KiB.
pub(super) struct Room(Arc<Semaphore>);

/// What a request has of it.
pub(super) struct Taken(OwnedSemaphorePermit);

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Semaphore::new(limits.bytes_in_all / 1024)))
    }

    /// Room for so many bytes.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(kib).map_err(|_| {
            let error = "as much is being carried out as there is room for: try again later";
            refused(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", error)
        })
    }

    /// Reads a body, as long as there is room for it and what is made of it.
    pub(super) async fn read(&self, limits: &Limits, body: Body) -> Result<(Bytes, Taken), Refused> {
        // The text, what it says as BSON, and what goes to MongoDB of that.
        const COPIES: usize = 3;
        let too_large = || {
            let error = format!("the body is larger than {} bytes", limits.body_bytes);
            refused(StatusCode::PAYLOAD_TOO_LARGE, "InvalidParameter", error)
        };
        if body.size_hint().lower() > limits.body_bytes as u64 {
            return Err(too_large());
        }
        let mut taken = self.take(0)?;
        let reading = async {
            let mut body = body;
            let mut read = Vec::new();
            while let Some(frame) = body.frame().await {
                let broken = |_| refused(StatusCode::BAD_REQUEST, "InvalidParameter", "the body broke off");
                let Ok(part) = frame.map_err(broken)?.into_data() else { continue };
                if read.len() + part.len() > limits.body_bytes {
                    return Err(too_large());
                }
                taken.merge(self.take(part.len() * COPIES)?);
                read.extend_from_slice(&part);
            }
            Ok(Bytes::from(read))
        };
        let late = |_| refused(StatusCode::REQUEST_TIMEOUT, "InvalidParameter", "the body did not come in time");
        let read = timeout(limits.body, reading).await.map_err(late)??;
        Ok((read, Taken(taken)))
    }

    /// The answer as a body that keeps its room until the client has taken it.
    pub(super) fn hold(&self, answer: Vec<u8>) -> Result<Body, Refused> {
        if answer.len() <= PART {
            return Ok(answer.into());
        }
        let taken = self.take(answer.len())?;
        Ok(Body::new(Held { left: answer.into(), _taken: taken }))
    }
}

impl Taken {
    /// Ends with the request.
    pub(super) fn end(self) {
        drop(self.0);
    }
}

struct Held {
    left: Bytes,
    _taken: OwnedSemaphorePermit,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let part = self.left.len().min(PART);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
