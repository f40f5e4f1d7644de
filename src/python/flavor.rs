//! Awaited or blocking: what tells the classes with `Async` from those without.

use pyo3::prelude::*;

use super::awaitable::{Awaitable, Gate};
use super::call::{Call, Startable, raised, wait};
use crate::runtime::process;

/// How a method gives its result: to be awaited, or at once.
pub trait Flavor {
    /// Whether a method gives its result at once.
    const BLOCKS: bool;

    /// Makes and starts a call, once its gate lets it.
    fn run_behind<C: Startable>(
        py: Python<'_>,
        name: &'static str,
        gate: Option<Gate>,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>>;

    /// Starts a call at once, whether its result is awaited or not.
    fn run_now<T: Send + 'static>(py: Python<'_>, name: &'static str, call: Call<T>) -> PyResult<Py<PyAny>>;

    /// Makes and starts a call.
    fn run<C: Startable>(
        py: Python<'_>,
        name: &'static str,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        Self::run_behind(py, name, None, prepare)
    }
}

/// To be awaited.
pub struct Awaited;

impl Flavor for Awaited {
    const BLOCKS: bool = false;

    fn run_behind<C: Startable>(
        py: Python<'_>,
        name: &'static str,
        gate: Option<Gate>,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, Awaitable::new(name, gate, prepare))?.into_any())
    }

    fn run_now<T: Send + 'static>(py: Python<'_>, name: &'static str, call: Call<T>) -> PyResult<Py<PyAny>> {
        let runtime = raised(py, process().runtime())?;
        Ok(Py::new(py, Awaitable::begun(name, call.begun(runtime)))?.into_any())
    }
}

/// At once, with the GIL released meanwhile.
pub struct Blocking;

impl Flavor for Blocking {
    const BLOCKS: bool = true;

    fn run_behind<C: Startable>(
        py: Python<'_>,
        _name: &'static str,
        gate: Option<Gate>,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let runtime = raised(py, process().runtime())?;
        if let Some(gate) = gate {
            while let Some(opening) = gate(py)? {
                raised(py, wait(py, runtime, opening)?)?;
            }
        }
        prepare(py)?.wait(py, runtime)
    }

    fn run_now<T: Send + 'static>(py: Python<'_>, _name: &'static str, call: Call<T>) -> PyResult<Py<PyAny>> {
        call.wait(py, raised(py, process().runtime())?)
    }
}
