//! What lives as long as a process: pools, shared clients, cached objects, and what happens at the interpreter's exit.

pub mod exit;
pub mod once;
pub mod pooled;
pub mod shared;
