//! PyMongo's forms of arguments, results and errors, and the core's.

pub(crate) mod classes;
pub(crate) mod client_options;
pub(crate) mod errors;
pub(crate) mod options;
pub(crate) mod results;
pub(crate) mod scope;
