//! The object that an awaited method returns. asyncio and uvloop treat it as
//! a coroutine: it does nothing before it is awaited, and warns if it never is.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::python::asyncio::bridge::LoopBridge;
use crate::python::asyncio::call::{Call, Pending, Running, Startable};
use crate::python::asyncio::mode::MethodName;
use crate::python::convert::errors::to_py;
use crate::python::lifecycle::once::intern;
use crate::runtime::process;

type Prepare = Box<dyn FnOnce(Python<'_>) -> PyResult<Box<dyn Pending>> + Send>;

/// Returns what a call must wait for before it is made; `None` if it can be made now.
pub(crate) type Backpressure = Box<dyn Fn(Python<'_>) -> PyResult<Option<Running<()>>> + Send>;

/// A call that has not been made.
struct Unmade {
    backpressure: Option<Backpressure>,
    prepare: Prepare,
}

enum State {
    /// Not awaited yet.
    Ready(Unmade),
    /// It waits until the call can be made.
    Queued {
        backpressure: Started,
        unmade: Unmade,
    },
    Running(Started),
    /// Its result is available and has not been returned.
    Done(Py<PyAny>),
    Ended,
}

/// A running call, and the future that its event loop resolves when the call ends.
struct Started {
    call: Box<dyn Pending>,
    bridge: Py<LoopBridge>,
    token: u64,
    future: Py<PyAny>,
}

impl Started {
    fn new(py: Python<'_>, mut call: Box<dyn Pending>) -> PyResult<Self> {
        let runtime = process().runtime().map_err(|error| to_py(py, error))?;
        let (bridge, event_loop) = LoopBridge::of_running_loop(py)?;
        let (token, wakeup) = bridge.get().next_call();
        let flush = call.start(runtime, wakeup, bridge.get().submission());
        // The runtime begins meanwhile. The call cannot end before this thread takes its result.
        let future = event_loop.call_method0(intern!(py, "create_future")).inspect_err(|_| call.cancel())?.unbind();
        bridge.get().expect(token, future.clone_ref(py));
        if let Some(flush) = flush {
            LoopBridge::flush_after_turn(&bridge, &event_loop, flush)?;
        }
        Ok(Self { call, bridge, token, future })
    }

    /// The future, as a coroutine yields it to the task that drives it.
    fn yielded(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.future.setattr(py, intern!(py, "_asyncio_future_blocking"), true)?;
        Ok(self.future.clone_ref(py))
    }

    fn take(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let result = self.call.take(py)?;
        self.bridge.get().forget(self.token);
        Some(result)
    }

    fn cancel(mut self) {
        self.call.cancel();
        self.bridge.get().forget(self.token);
    }
}

/// The result of an awaited method. It can be awaited once.
#[pyclass(module = "connect.eaas.mongodb._native", frozen, weakref)]
pub(crate) struct Awaitable {
    name: MethodName,
    /// Whether the call is already running, so that awaiting it is optional.
    begun: bool,
    state: Mutex<State>,
}

impl Awaitable {
    /// An awaitable that makes and starts a call when it is first awaited, once
    /// `backpressure` allows it.
    pub(crate) fn new<C: Startable>(
        name: MethodName,
        backpressure: Option<Backpressure>,
        prepare: impl FnOnce(Python<'_>) -> PyResult<C> + Send + 'static,
    ) -> Self {
        let prepare: Prepare = Box::new(|py| Ok(prepare(py)?.pending()));
        Self { name, begun: false, state: Mutex::new(State::Ready(Unmade { backpressure, prepare })) }
    }

    /// An awaitable of a call that is already running. Awaiting it is optional.
    pub(crate) fn begun<C: Startable>(name: MethodName, call: C) -> Self {
        let mut awaitable = Self::new(name, None, move |_| Ok(call));
        awaitable.begun = true;
        awaitable
    }

    /// An awaitable whose result is available.
    pub(crate) fn ready(name: MethodName, result: Py<PyAny>) -> Self {
        Self { name, begun: false, state: Mutex::new(State::Done(result)) }
    }

    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    fn start(&self, py: Python<'_>, unmade: Unmade) -> PyResult<Py<PyAny>> {
        if let Some(backpressure) = &unmade.backpressure
            && let Some(opening) = backpressure(py)?
        {
            let opening = Call::new(opening, |py, _| Ok(py.None()));
            let backpressure = Started::new(py, opening.pending())?;
            let yielded = backpressure.yielded(py)?;
            self.replace(State::Queued { backpressure, unmade });
            return Ok(yielded);
        }
        let mut call = (unmade.prepare)(py)?;
        if let Some(result) = call.immediate() {
            return Err(PyStopIteration::new_err((result,)));
        }
        let call = Started::new(py, call)?;
        let yielded = call.yielded(py)?;
        self.replace(State::Running(call));
        Ok(yielded)
    }

    fn cancel(&self) {
        if let State::Running(started) | State::Queued { backpressure: started, .. } = self.replace(State::Ended) {
            started.cancel();
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
            State::Ready(unmade) => self.start(py, unmade),
            State::Queued { mut backpressure, unmade } => match backpressure.take(py) {
                Some(_) => self.start(py, unmade),
                None => {
                    let yielded = backpressure.yielded(py)?;
                    self.replace(State::Queued { backpressure, unmade });
                    Ok(yielded)
                }
            },
            State::Running(mut started) => match started.take(py) {
                Some(result) => Err(PyStopIteration::new_err((result?,))),
                None => {
                    let yielded = started.yielded(py)?;
                    self.replace(State::Running(started));
                    Ok(yielded)
                }
            },
            State::Done(result) => Err(PyStopIteration::new_err((result,))),
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

    // A task references its coroutine, the coroutine this object, this object the
    // future, and the future the task: the garbage collector must see this cycle.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(state) = self.state.try_lock() {
            match &*state {
                State::Running(started) | State::Queued { backpressure: started, .. } => {
                    visit.call(&started.future)?;
                    visit.call(&started.bridge)?;
                }
                State::Done(result) => visit.call(result)?,
                State::Ready(_) | State::Ended => {}
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.cancel();
    }

    #[getter]
    fn __name__(&self) -> String {
        self.name.to_string()
    }

    #[getter]
    fn __qualname__(&self) -> String {
        self.name.to_string()
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
            State::Ready(_) if self.begun => {}
            State::Ready(_) => {
                Python::try_attach(|py| {
                    // This may run while another exception propagates.
                    let raised = PyErr::take(py);
                    let text = format!("coroutine '{name}' was never awaited");
                    let warned = std::ffi::CString::new(text)
                        .map_or(Ok(()), |text| PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1));
                    if let Err(error) = warned {
                        error.write_unraisable(py, None);
                    }
                    if let Some(raised) = raised {
                        raised.restore(py);
                    }
                });
            }
            State::Running(started) | State::Queued { backpressure: started, .. } => started.cancel(),
            State::Done(_) | State::Ended => {}
        }
    }
}
