//! Connections, below HTTP.

pub(super) mod accept;
pub(super) mod shutdown;
pub(super) mod tls;
