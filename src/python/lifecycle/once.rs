//! Objects that are created once in a process, safely with respect to `fork`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// A value that is created when it is first needed. No lock is held meanwhile,
/// because a forked child would wait for it forever. Two threads may
/// therefore both create the value; the first one is kept.
pub(crate) struct Once<T>(PyOnceLock<T>);

impl<T: Send + Sync> Once<T> {
    /// No value yet.
    pub(crate) const fn new() -> Self {
        Self(PyOnceLock::new())
    }

    /// The value, if it was created.
    pub(crate) fn made(&self, py: Python<'_>) -> Option<&T> {
        self.0.get(py)
    }

    /// The value.
    pub(crate) fn get(&self, py: Python<'_>, make: impl FnOnce() -> PyResult<T>) -> PyResult<&T> {
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
    pub(crate) fn import<'py>(&self, py: Python<'py>, module: &str, name: &str) -> PyResult<&Bound<'py, PyAny>> {
        Ok(self.get(py, || Ok(py.import(module)?.getattr(name)?.unbind()))?.bind(py))
    }
}

/// An interned string. Unlike pyo3's, it does not release the GIL while it is
/// created, so that no child is forked meanwhile.
pub(crate) struct Name {
    text: &'static str,
    made: PyOnceLock<Py<PyString>>,
}

impl Name {
    /// The string of this text.
    pub(crate) const fn new(text: &'static str) -> Self {
        Self { text, made: PyOnceLock::new() }
    }

    /// The Python string.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        if self.made.get(py).is_none() {
            drop(self.made.set(py, PyString::intern(py, self.text).unbind()));
        }
        self.made.get_or_init(py, || PyString::intern(py, self.text).unbind()).bind(py)
    }
}

/// An interned string, created at most once for each place in the code.
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static NAME: $crate::python::lifecycle::once::Name = $crate::python::lifecycle::once::Name::new($text);
        NAME.get($py)
    }};
}
pub(crate) use intern;
