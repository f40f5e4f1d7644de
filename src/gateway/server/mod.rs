//! Connections, below HTTP.

pub(super) mod accept;
pub(super) mod shutdown;
mod stalled;
pub(super) mod tls;
