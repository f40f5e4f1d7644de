//! What an asynchronous method returns: a coroutine, as far as asyncio and
//! uvloop can tell. Like one it does nothing before it is awaited, and warns
//! if it never is.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;

use super::bridge::LoopBridge;
use super::call::{Call, Pending, PendingCall};
use super::errors::to_py;
use crate::runtime::process;

type Prepare = Box<dyn FnOnce(Python<'_>) -> PyResult<Box<dyn Pending>> + Send>;

enum State {
    /// Not awaited yet.
    Ready(Prepare),
    Running {
        call: Box<dyn Pending>,
        bridge: Py<LoopBridge>,
        token: u64,
        future: Py<PyAny>,
    },
    Ended,
}

/// The result of an asynchronous method; to be awaited once.
#[pyclass(module = "connect.eaas.mongodb._native", frozen, weakref)]
pub struct Awaitable {
    name: &'static str,
    state: Mutex<State>,
}

impl Awaitable {
    /// An awaitable that makes and starts a call when it is first awaited.
    pub fn new<T: Send + 'static>(
        name: &'static str,
        prepare: impl FnOnce(Python<'_>) -> PyResult<Call<T>> + Send + 'static,
    ) -> Self {
        let prepare: Prepare = Box::new(|py| Ok(Box::new(PendingCall::from(prepare(py)?))));
        Self { name, state: Mutex::new(State::Ready(prepare)) }
    }

    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    fn start(&self, py: Python<'_>, prepare: Prepare) -> PyResult<Py<PyAny>> {
        let runtime = process().runtime().map_err(|error| to_py(py, error))?;
        let (bridge, event_loop) = LoopBridge::of_running_loop(py)?;
        let mut call = prepare(py)?;
        let future = event_loop.call_method0(intern!(py, "create_future"))?.unbind();
        let (token, wakeup) = bridge.get().expect(future.clone_ref(py));
        call.start(runtime, wakeup);
        let yielded = future.clone_ref(py);
        self.replace(State::Running { call, bridge, token, future });
        Self::yielded(py, yielded)
    }

    /// A future as a coroutine yields it to the task that drives it.
    fn yielded(py: Python<'_>, future: Py<PyAny>) -> PyResult<Py<PyAny>> {
        future.setattr(py, intern!(py, "_asyncio_future_blocking"), true)?;
        Ok(future)
    }

    fn cancel(&self) {
        if let State::Running { mut call, bridge, token, .. } = self.replace(State::Ended) {
            call.cancel();
            bridge.get().forget(token);
        }
    }
}

#[pymethods]
impl Awaitable {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.replace(State::Ended) {
            State::Ready(prepare) => self.start(py, prepare),
            State::Running { mut call, bridge, token, future } => match call.take(py) {
                Some(result) => {
                    bridge.get().forget(token);
                    Err(PyStopIteration::new_err((result?,)))
                }
                None => {
                    let yielded = future.clone_ref(py);
                    self.replace(State::Running { call, bridge, token, future });
                    Self::yielded(py, yielded)
                }
            },
            State::Ended => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }

    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let _nothing_to_receive = value;
        self.__next__(py)
    }

    #[pyo3(signature = (typ, val = None, tb = None))]
    fn throw(
        &self,
        typ: Bound<'_, PyAny>,
        val: Option<Bound<'_, PyAny>>,
        tb: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _old_form = tb;
        self.cancel();
        Err(PyErr::from_value(val.filter(|val| !val.is_none()).unwrap_or(typ)))
    }

    fn close(&self) {
        self.cancel();
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        self.name
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }

    fn __repr__(&self) -> String {
        format!("<coroutine {}>", self.name)
    }
}

impl Drop for Awaitable {
    fn drop(&mut self) {
        let state = self.replace(State::Ended);
        let name = self.name;
        match state {
            State::Ready(_) => {
                Python::try_attach(|py| {
                    let text = format!("coroutine '{name}' was never awaited");
                    let warned = std::ffi::CString::new(text)
                        .map_or(Ok(()), |text| PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1));
                    if let Err(error) = warned {
                        error.write_unraisable(py, None);
                    }
                });
            }
            State::Running { mut call, .. } => call.cancel(),
            State::Ended => {}
        }
    }
}
