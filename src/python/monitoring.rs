//! Event listeners. The driver's events are queued; a dedicated thread
//! calls PyMongo's listeners. The runtime's threads never
//! wait for Python.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::driver::events::{Caller, DriverEvent, EventContext, Listener, Wanted};
use crate::python::codec::DEFAULT;
use crate::python::convert::scope::CodecRef;
use crate::python::lifecycle::once::{Once, intern};

/// Delivers events to PyMongo's listeners.
pub(crate) struct Dispatcher {
    /// `publish` of the client's `connect.eaas.mongodb.monitoring.Publisher`.
    publish: Py<PyAny>,
    wanted: Wanted,
    lenient: CodecRef,
    queue: Arc<Queue>,
    /// Held while listeners are called, so that they receive events in order.
    delivering: tokio::sync::Mutex<()>,
}

/// A command or a reply. It is converted when a listener reads it, which many never do.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub(crate) struct EventBody {
    document: bson::Document,
    lenient: CodecRef,
}

#[pymethods]
impl EventBody {
    /// Return the document, as a new dict.
    fn decode(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        decode(py, &self.document, &self.lenient)
    }
}

/// Decodes a document, or as much of it as can be shown.
fn decode(py: Python<'_>, document: &bson::Document, lenient: &CodecRef) -> PyResult<Py<PyAny>> {
    let bytes =
        bson::serialize_to_vec(document).map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
    DEFAULT.decode(py, &bytes).or_else(|_| lenient.decode(py, &bytes))
}

#[derive(Default)]
struct Queue {
    event: Mutex<VecDeque<DriverEvent>>,
    come: Condvar,
}

impl Queue {
    fn pending(&self) -> MutexGuard<'_, VecDeque<DriverEvent>> {
        self.event.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// Whether this thread calls listeners: one of them may make calls itself.
    static DELIVERS: Cell<bool> = const { Cell::new(false) };
}

impl Dispatcher {
    /// A dispatcher to `listeners`, and to those registered for all clients; `None` if there are none.
    pub(crate) fn listener(py: Python<'_>, listeners: &[Py<PyAny>]) -> PyResult<Option<Arc<dyn Listener>>> {
        // Registering a listener imports PyMongo's module.
        let registered = py.import("sys")?.getattr("modules")?.contains("pymongo.monitoring")?;
        if listeners.is_empty() && !registered {
            return Ok(None);
        }
        let listeners = PyList::new(py, listeners)?;
        let module = py.import("connect.eaas.mongodb.monitoring")?;
        let publisher = module.getattr("Publisher")?.call1((listeners,))?;
        let wants = |name: &str| publisher.getattr(name)?.extract::<bool>();
        let wanted = Wanted {
            commands: wants("commands")?,
            pools: wants("pools")?,
            servers: wants("servers")?,
            ..Wanted::default()
        };
        if !(wanted.commands || wanted.pools || wanted.servers) {
            return Ok(None);
        }
        let dispatcher = Arc::new(Self {
            publish: publisher.getattr("publish")?.unbind(),
            wanted,
            lenient: CodecRef::new(&module.getattr("LENIENT")?)?,
            queue: Arc::default(),
            delivering: tokio::sync::Mutex::new(()),
        });
        dispatcher.start()?;
        Ok(Some(dispatcher))
    }

    /// Starts the thread, which ends with the dispatcher.
    fn start(self: &Arc<Self>) -> PyResult<()> {
        let (queue, weak) = (Arc::clone(&self.queue), Arc::downgrade(self));
        let name = "connect-mongodb-listeners".to_owned();
        std::thread::Builder::new().name(name).spawn(move || listen(&queue, &weak))?;
        Ok(())
    }

    /// Calls the listeners for all queued events.
    fn deliver(&self, py: Python<'_>) {
        if self.queue.pending().is_empty() && self.delivering.try_lock().is_ok() {
            return;
        }
        // Another thread may be in a listener, which needs the GIL.
        let _turn = py.detach(|| self.delivering.blocking_lock());
        DELIVERS.set(true);
        loop {
            let Some(event) = self.queue.pending().pop_front() else { break };
            if let Err(error) = self.publish(py, event) {
                error.write_unraisable(py, None);
            }
        }
        DELIVERS.set(false);
    }

    fn publish(&self, py: Python<'_>, event: DriverEvent) -> PyResult<()> {
        let fields = decode(py, &event.fields, &self.lenient)?;
        let fields = fields.bind(py).cast::<PyDict>()?;
        if let Some(document) = event.body {
            let body = EventBody { document, lenient: self.lenient.clone() };
            fields.set_item(intern!(py, "body"), Py::new(py, body)?)?;
        }
        let Some(operation) = event.operation else {
            self.publish.call1(py, (event.name, fields))?;
            return Ok(());
        };
        fields.set_item(intern!(py, "operation_id"), operation.id)?;
        let callers = operation.callers.iter().filter_map(|caller| caller.downcast_ref::<Py<PyAny>>());
        let callers = PyTuple::new(py, callers.collect::<Vec<_>>())?;
        fields.set_item(intern!(py, "callers"), &callers)?;
        // In a copy: a context cannot be entered twice, and the callers' own are not changed by a listener.
        let context = callers.get_item(0)?.call_method0(intern!(py, "copy"))?;
        context.call_method1(intern!(py, "run"), (&self.publish, event.name, fields))?;
        Ok(())
    }
}

fn listen(queue: &Queue, dispatcher: &Weak<Dispatcher>) {
    // How often the thread checks whether the client still exists.
    const LOOK: Duration = Duration::from_millis(500);
    while dispatcher.strong_count() > 0 {
        {
            let pending = queue.pending();
            if pending.is_empty() {
                drop(queue.come.wait_timeout(pending, LOOK).unwrap_or_else(PoisonError::into_inner));
                continue;
            }
        }
        let Some(dispatcher) = dispatcher.upgrade() else { return };
        // The interpreter is shutting down.
        if Python::try_attach(|py| dispatcher.deliver(py)).is_none() {
            return;
        }
    }
}

impl Listener for Dispatcher {
    fn wanted(&self) -> Wanted {
        self.wanted
    }

    fn notify(&self, event: DriverEvent) {
        self.queue.pending().push_back(event);
        self.queue.come.notify_one();
    }

    fn drain(&self) {
        if !DELIVERS.get() {
            Python::try_attach(|py| self.deliver(py));
        }
    }
}

/// The listeners' context for a call that is made now.
pub(crate) fn event_context(py: Python<'_>, listener: Option<&Arc<dyn Listener>>) -> PyResult<Option<EventContext>> {
    let Some(listener) = listener else { return Ok(None) };
    static COPY_CONTEXT: Once<Py<PyAny>> = Once::new();
    let caller: Option<Caller> = match listener.wanted().commands {
        true => Some(Arc::new(COPY_CONTEXT.import(py, "contextvars", "copy_context")?.call0()?.unbind())),
        false => None,
    };
    Ok(Some(EventContext { listener: Arc::clone(listener), caller }))
}
