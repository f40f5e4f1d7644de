//! What is made once in a process, and outlives a fork.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// A value that is made when it is first needed. It is made without a lock: a
/// child that is forked meanwhile would wait for that lock for ever. Two
/// threads may therefore both make it; the first one's is kept.
pub struct Once<T>(PyOnceLock<T>);

impl<T: Send + Sync> Once<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(PyOnceLock::new())
    }

    /// The value.
    pub fn get(&self, py: Python<'_>, make: impl FnOnce() -> PyResult<T>) -> PyResult<&T> {
        if let Some(value) = self.0.get(py) {
            return Ok(value);
        }
        let made = make()?;
        drop(self.0.set(py, made));
        self.0.get(py).ok_or_else(|| PyRuntimeError::new_err("a value was made and is not there"))
    }
}

impl Once<Py<PyAny>> {
    /// A name of a Python module.
    pub fn import<'py>(&self, py: Python<'py>, module: &str, name: &str) -> PyResult<&Bound<'py, PyAny>> {
        Ok(self.get(py, || Ok(py.import(module)?.getattr(name)?.unbind()))?.bind(py))
    }
}

/// An interned string. Not pyo3's, which lets go of the GIL while it makes
/// one, so that a child may be forked in the middle.
pub struct Name {
    text: &'static str,
    made: PyOnceLock<Py<PyString>>,
}

impl Name {
    /// The string of this text.
    pub const fn new(text: &'static str) -> Self {
        Self { text, made: PyOnceLock::new() }
    }

    /// The string as Python has it.
    pub fn get<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        if self.made.get(py).is_none() {
            drop(self.made.set(py, PyString::intern(py, self.text).unbind()));
        }
        self.made.get_or_init(py, || PyString::intern(py, self.text).unbind()).bind(py)
    }
}

/// An interned string, made at most once for each place in the code.
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static NAME: $crate::python::once::Name = $crate::python::once::Name::new($text);
        NAME.get($py)
    }};
}
pub(crate) use intern;
