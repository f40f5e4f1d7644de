//! How much memory the requests may take in all.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::http::{Refused, refused};
use super::server::Limits;

/// The memory for all requests, in KiB.
#[derive(Clone)]
pub(super) struct Room {
    room: Arc<Semaphore>,
    all: u32,
}

/// What a request has of it.
pub(super) struct Taken(OwnedSemaphorePermit);

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        let all = u32::try_from(limits.bytes_in_all / 1024).unwrap_or(u32::MAX);
        Self { room: Arc::new(Semaphore::new(all as usize)), all }
    }

    fn kib(&self, bytes: usize) -> u32 {
        u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
    }

    /// Room for so many bytes.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let kib = self.kib(bytes);
        if kib > self.all {
            let error = "this takes more memory than there is for all requests";
            return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "InvalidParameter", error));
        }
        Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| {
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
        // What is known to come, and can never fit, need not come.
        let known = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        drop(self.take(known.saturating_mul(COPIES))?);
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

    /// The answer, which keeps its room until the client has taken it.
    pub(super) fn hold(&self, answer: Vec<u8>) -> Result<Bytes, Refused> {
        Ok(parted(self.take(answer.len())?, answer))
    }

    /// The same, once there is room: what came before is on its way already.
    pub(super) async fn held(&self, part: Vec<u8>) -> Bytes {
        match Arc::clone(&self.room).acquire_many_owned(self.kib(part.len()).min(self.all)).await {
            Ok(taken) => parted(taken, part),
            // The semaphore is never closed.
            Err(_) => part.into(),
        }
    }
}

/// Bytes that give back their room when they go.
fn parted(taken: OwnedSemaphorePermit, bytes: Vec<u8>) -> Bytes {
    struct Part(Vec<u8>, #[allow(dead_code)] OwnedSemaphorePermit);
    impl AsRef<[u8]> for Part {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Part(bytes, taken))
}

impl Taken {
    /// Gives the room to the answer.
    pub(super) fn into_part(self, answer: Vec<u8>) -> Bytes {
        parted(self.0, answer)
    }

    /// Takes more, for what is made of the request.
    pub(super) fn grow(&mut self, room: &Room, bytes: usize) -> Result<(), Refused> {
        self.0.merge(room.take(bytes)?);
        Ok(())
    }
}
