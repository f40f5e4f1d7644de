//! From a method's arguments to a call of the core, and from its result to Python's.

pub mod target;
