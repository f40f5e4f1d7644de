//! What lives as long as a process: pools, shared clients, cached objects, and what happens at the interpreter's exit.

pub(crate) mod exit;
pub(crate) mod once;
pub(crate) mod pooled;
pub(crate) mod shared;
