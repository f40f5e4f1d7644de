//! Awaited or blocking: how the methods of a class return their results.

use std::fmt;

use pyo3::prelude::*;
use tokio::runtime::Handle;

use super::awaitable::{Awaitable, Backpressure};
use super::call::{Call, Startable, raised, wait};
use crate::blocking::BlockingRuntime;
use crate::runtime::process;

/// How the methods of an object return their results. Classes named `Async…`
/// are awaited; the others block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A method returns an awaitable, which starts the call when it is first awaited.
    Awaited,
    /// A method runs the call in the calling thread, with the GIL released.
    Blocking,
}

/// A method's name, as an awaitable and its warnings show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MethodName {
    /// The class that users see.
    pub(crate) class: &'static str,
    /// The method.
    pub(crate) method: &'static str,
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.class, self.method)
    }
}

impl Mode {
    /// Makes and starts a call.
    pub(crate) fn run<C: Startable>(
        self,
        py: Python<'_>,
        name: MethodName,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        self.run_behind(py, name, None, prepare)
    }

    /// Makes and starts a call as soon as `backpressure` allows it.
    pub(crate) fn run_behind<C: Startable>(
        self,
        py: Python<'_>,
        name: MethodName,
        backpressure: Option<Backpressure>,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        match self {
            Self::Awaited => Ok(Py::new(py, Awaitable::new(name, backpressure, prepare))?.into_any()),
            Self::Blocking => {
                let runtime = self.waiting(py)?;
                if let Some(backpressure) = backpressure {
                    while let Some(opening) = backpressure(py)? {
                        raised(py, wait(py, runtime, opening)?)?;
                    }
                }
                prepare(py)?.wait(py, runtime)
            }
        }
    }

    /// Starts a call at once, whether its result is awaited or not.
    pub(crate) fn run_now<T: Send + 'static>(
        self,
        py: Python<'_>,
        name: MethodName,
        call: Call<T>,
    ) -> PyResult<Py<PyAny>> {
        match self {
            Self::Awaited => Ok(Py::new(py, Awaitable::begun(name, call.begun(self.runtime(py)?)))?.into_any()),
            Self::Blocking => call.wait(py, self.waiting(py)?),
        }
    }

    /// The runtime of the tasks of a client's calls.
    pub(crate) fn runtime(self, py: Python<'_>) -> PyResult<&'static Handle> {
        self.waiting(py).map(BlockingRuntime::handle)
    }

    /// The same, to wait in this thread.
    pub(crate) fn waiting(self, py: Python<'_>) -> PyResult<BlockingRuntime> {
        let process = process();
        raised(
            py,
            match self {
                Self::Awaited => process.runtime().map(BlockingRuntime::OfThreads),
                Self::Blocking => process.blocking_runtime(),
            },
        )
    }
}
