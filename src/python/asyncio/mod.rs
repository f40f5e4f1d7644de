//! How calls run, and how their results reach an event loop or a thread.

pub mod awaitable;
pub mod bridge;
pub mod call;
pub mod mode;
