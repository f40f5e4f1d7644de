//! PyMongo's forms of arguments, results and errors, and the core's.

pub mod errors;
pub mod options;
pub mod results;
pub mod scope;
