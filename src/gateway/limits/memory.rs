//! The memory budget of all requests and responses in progress.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Limits;
use crate::gateway::api_error::{ApiError, ApiResult};

/// A budget that requests reserve memory from, in KiB.
#[derive(Clone)]
pub(in crate::gateway) struct MemoryBudget {
    available: Arc<Semaphore>,
    total: u32,
}

/// The memory that a request has reserved. Dropping it returns the memory to the budget.
pub(in crate::gateway) struct Reservation(OwnedSemaphorePermit);

impl MemoryBudget {
    /// A budget of `limits.memory_bytes`.
    pub(in crate::gateway) fn new(limits: &Limits) -> Self {
        let total = u32::try_from(limits.memory_bytes / 1024).unwrap_or(u32::MAX);
        Self { available: Arc::new(Semaphore::new(total as usize)), total }
    }

    fn kib(bytes: usize) -> u32 {
        u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
    }

    fn reserve(&self, bytes: usize) -> ApiResult<OwnedSemaphorePermit> {
        let kib = Self::kib(bytes);
        if kib > self.total {
            return Err(ApiError::too_large("the request needs more memory than the gateway has for all requests"));
        }
        Arc::clone(&self.available)
            .try_acquire_many_owned(kib)
            .map_err(|_| ApiError::too_many_requests("the gateway's memory limit is reached: try again later"))
    }

    /// Rejects what [`Self::reserve`] would reject now.
    fn check(&self, bytes: usize) -> ApiResult<()> {
        if Self::kib(bytes) as usize <= self.available.available_permits() {
            return Ok(());
        }
        self.reserve(bytes).map(drop)
    }

    /// Reads a request body and reserves memory for it and for its decoded copies.
    pub(in crate::gateway) async fn read_body<B>(&self, limits: &Limits, body: B) -> ApiResult<(Bytes, Reservation)>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        // The text, its BSON, and the part of the BSON that is sent to MongoDB.
        const COPIES: usize = 3;
        let too_large = || ApiError::too_large(format!("the body is larger than {} bytes", limits.body_bytes));
        if body.size_hint().lower() > limits.body_bytes as u64 {
            return Err(too_large());
        }
        // A body that can never fit is rejected before it is read.
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        self.check(announced.saturating_mul(COPIES))?;
        let reading = async {
            let mut body = body;
            let mut first = Bytes::new();
            let mut read = Vec::new();
            let mut reserved: Option<OwnedSemaphorePermit> = None;
            while let Some(frame) = body.frame().await {
                let incomplete = |_| ApiError::invalid("the connection closed before the whole body arrived");
                let Ok(part) = frame.map_err(incomplete)?.into_data() else { continue };
                if first.len() + read.len() + part.len() > limits.body_bytes {
                    return Err(too_large());
                }
                let permit = self.reserve(part.len() * COPIES)?;
                match &mut reserved {
                    // A body in one part is not copied.
                    None => (reserved, first) = (Some(permit), part),
                    Some(reserved) => {
                        reserved.merge(permit);
                        read.extend_from_slice(&std::mem::take(&mut first));
                        read.extend_from_slice(&part);
                    }
                }
            }
            let reserved = match reserved {
                Some(reserved) => reserved,
                None => self.reserve(0)?,
            };
            Ok((if read.is_empty() { first } else { Bytes::from(read) }, Reservation(reserved)))
        };
        let late = |_| {
            let message = "timed out while reading the request body";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "InvalidParameter", message)
        };
        timeout(limits.body, reading).await.map_err(late)?
    }

    /// Reserves memory for a response, until the client has received it.
    pub(in crate::gateway) fn hold(&self, response: Vec<u8>) -> ApiResult<Bytes> {
        Ok(with_permit(self.reserve(response.len())?, response))
    }

    /// As [`Self::hold`], but waits for memory: the response has begun and cannot be rejected.
    pub(in crate::gateway) async fn hold_when_available(&self, part: Vec<u8>) -> Bytes {
        match Arc::clone(&self.available).acquire_many_owned(Self::kib(part.len()).min(self.total)).await {
            Ok(permit) => with_permit(permit, part),
            // The semaphore is never closed.
            Err(_) => part.into(),
        }
    }
}

/// Bytes that return their memory to the budget when they are dropped.
fn with_permit(permit: OwnedSemaphorePermit, bytes: Vec<u8>) -> Bytes {
    struct Held(Vec<u8>, #[allow(dead_code)] OwnedSemaphorePermit);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Held(bytes, permit))
}

impl Reservation {
    /// Passes the request's reservation on to its response.
    pub(in crate::gateway) fn hold(self, response: Vec<u8>) -> Bytes {
        with_permit(self.0, response)
    }

    /// Reserves more memory, for the request's decoded form.
    pub(in crate::gateway) fn grow(&mut self, budget: &MemoryBudget, bytes: usize) -> ApiResult<()> {
        if bytes > 0 {
            self.0.merge(budget.reserve(bytes)?);
        }
        Ok(())
    }
}
