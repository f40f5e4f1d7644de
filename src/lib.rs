//! Fast, safe MongoDB storage for CloudBlue Connect extensions: the Rust core.
//!
//! Only the `python` module depends on Python. All other modules compile and are tested without it.
//!
//! Only what the fuzz targets use is public. So the compiler finds dead code, but only in the build
//! with Python, which uses everything.
#![cfg_attr(not(feature = "python"), allow(dead_code, unused_imports))]

mod allocator;
mod batch_stream;
mod blocking;
pub mod codec;
mod concern;
mod config;
mod data_api;
mod driver;
mod error;
mod events;
pub mod gateway;
mod giving_up;
mod insert_queue;
mod limits;
mod listener;
mod mailbox;
mod namespace;
#[cfg(feature = "python")]
mod python;
mod redact;
mod runtime;
mod secret;
mod store;
mod tls;

#[cfg(all(unix, not(target_env = "musl")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
