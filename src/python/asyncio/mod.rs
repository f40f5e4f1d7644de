//! How calls run, and how their results reach an event loop or a thread.

pub(crate) mod awaitable;
pub(crate) mod bridge;
pub(crate) mod call;
pub(crate) mod mode;
