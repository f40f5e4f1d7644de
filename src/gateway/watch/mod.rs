//! Change streams as server-sent events.

mod events;
mod request;

pub(super) use events::{EventStream, StreamContext};
pub(super) use request::{WatchRequest, parse_query};

use std::sync::Arc;
use std::time::Duration;

use super::limits::caller_slots::CallerSlots;

/// The limits of change streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamLimits {
    /// The open streams.
    pub(super) total: usize,
    /// The open streams of a caller.
    pub(super) per_caller: usize,
    /// How long a stream lasts.
    pub(super) lifetime: Duration,
    /// How often a stream without changes sends something, and how often the caller's permissions are checked.
    pub(super) heartbeat: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { total: 200, per_caller: 20, lifetime: Duration::from_secs(3600), heartbeat: Duration::from_secs(15) }
    }
}

/// The change streams of a gateway.
pub(super) struct Streams {
    pub(super) limits: StreamLimits,
    pub(super) slots: Arc<CallerSlots>,
    /// Whether the gateway is about to stop.
    pub(super) stopping: tokio::sync::watch::Sender<bool>,
}

impl Streams {
    pub(super) fn new(limits: StreamLimits) -> Self {
        let slots = CallerSlots::new(limits.total, limits.per_caller);
        Self { limits, slots, stopping: tokio::sync::watch::Sender::new(false) }
    }
}
