//! Connections, below HTTP.

pub(super) mod accept;
mod connections;
pub(super) mod files;
pub(super) mod listen;
pub(super) mod peer;
pub(super) mod service_manager;
pub(super) mod shutdown;
mod stream;
pub(super) mod tls;
