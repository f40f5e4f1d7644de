//! A Python client's hold on its pooled client of the core.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::options::{DriverInfo, ServerApi};
use pyo3::prelude::*;
use tokio::runtime::Handle;

use crate::driver::events::Listener;
use crate::driver::time_limit::Deadline;
use crate::python::asyncio::call::Running;
use crate::python::asyncio::mode::Mode;
use crate::python::convert::errors::invalid_operation;
use crate::python::lifecycle::exit;
use crate::python::monitoring::Dispatcher;
use crate::python::oidc::Oidc;
use crate::runtime::process;

/// A client of the core.
pub(crate) trait PooledClient: Send + Sync + Sized + 'static {
    /// What it is made from.
    type Settings: Clone + Send + Sync + 'static;

    /// Makes one, without I/O.
    fn make(
        settings: Self::Settings,
        runtime: Handle,
        listener: Option<Arc<dyn Listener>>,
        extras: &ClientExtras,
    ) -> Self;

    /// The listener for the client's events.
    fn listener(&self) -> Option<&Arc<dyn Listener>>;

    /// When a call that starts now must end.
    fn deadline(py: Python<'_>, settings: &Self::Settings) -> PyResult<Option<Deadline>>;

    /// A call that fails when the client gives up.
    fn until_given_up<T: Send + 'static>(&self, call: Running<T>) -> Running<T>;

    /// Gives up if calls are running and the server does not reply. Called at the interpreter's exit.
    fn give_up_if_silent(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The arguments of a client that are not settings.
#[derive(Default)]
pub(crate) struct ClientExtras {
    /// PyMongo's event listeners.
    pub(crate) listeners: Vec<Py<PyAny>>,
    /// The version of the server's API.
    pub(crate) server_api: Option<ServerApi>,
    /// The OIDC callback, if there is one.
    pub(crate) oidc: Oidc,
    /// What handshakes tell the server about the client.
    pub(crate) metadata: Arc<Mutex<Vec<DriverInfo>>>,
}

/// The settings of a client, and the core's client, which the first call
/// creates. A forked child creates its own; a closed client cannot be used again.
pub(crate) struct Pooled<C: PooledClient> {
    /// What the client is made from.
    pub(crate) settings: C::Settings,
    /// How its calls return their results.
    pub(crate) mode: Mode,
    /// Whether it is shared by `from_config`.
    pub(crate) shared: bool,
    extras: ClientExtras,
    slot: Mutex<Slot<C>>,
}

enum Slot<C> {
    Unmade,
    Made { pid: u32, client: Arc<C> },
    Closed,
}

impl<C: PooledClient> Pooled<C> {
    /// The settings, without a client.
    pub(crate) fn new(settings: C::Settings, mode: Mode, shared: bool) -> Self {
        Self::with_extras(settings, mode, shared, ClientExtras::default())
    }

    /// The settings and other arguments, without a client.
    pub(crate) fn with_extras(settings: C::Settings, mode: Mode, shared: bool, extras: ClientExtras) -> Self {
        Self { settings, mode, shared, extras, slot: Mutex::new(Slot::Unmade) }
    }

    /// The client. The first call in each process creates it.
    pub(crate) fn client(&self, py: Python<'_>, class: &str) -> PyResult<Arc<C>> {
        let process = process();
        // Creating an exception runs Python code and may release the GIL, so the slot is not locked.
        let runtime = self.mode.runtime(py)?;
        {
            let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            match &*slot {
                Slot::Made { pid, client } if *pid == process.pid => return Ok(Arc::clone(client)),
                Slot::Closed => {
                    drop(slot);
                    return Err(invalid_operation(py, format!("Cannot use {class} after close")));
                }
                Slot::Unmade | Slot::Made { .. } => {}
            }
        }
        exit::prepare(py)?;
        let listener = Dispatcher::listener(py, &self.extras.listeners)?;
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have created or closed it meanwhile.
        match &*slot {
            Slot::Made { pid, client } if *pid == process.pid => Ok(Arc::clone(client)),
            Slot::Closed => {
                drop(slot);
                Err(invalid_operation(py, format!("Cannot use {class} after close")))
            }
            Slot::Unmade | Slot::Made { .. } => {
                let client = Arc::new(C::make(self.settings.clone(), runtime.clone(), listener, &self.extras));
                exit::made(&client, runtime);
                let made = Slot::Made { pid: process.pid, client: Arc::clone(&client) };
                leave_to_parent(std::mem::replace(&mut *slot, made));
                Ok(client)
            }
        }
    }

    /// Adds to what handshakes tell the server about the client.
    pub(crate) fn append_metadata(&self, info: DriverInfo) {
        self.extras.metadata.lock().unwrap_or_else(PoisonError::into_inner).push(info);
    }

    /// Closes it for good; returns the client, if there is one, to be shut down.
    pub(crate) fn close(&self) -> Option<Arc<C>> {
        if self.shared {
            return None;
        }
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *slot, Slot::Closed) {
            Slot::Made { pid, client } if pid == process().pid => Some(client),
            other => {
                leave_to_parent(other);
                None
            }
        }
    }
}

/// Leaks a client of the parent process. It depends on threads that a forked child
/// does not have: dropping it could block forever.
fn leave_to_parent<C>(slot: Slot<C>) {
    match slot {
        Slot::Made { pid, client } if pid != process().pid => std::mem::forget(client),
        _ => {}
    }
}

impl<C: PooledClient> Drop for Pooled<C> {
    fn drop(&mut self) {
        let slot = std::mem::replace(self.slot.get_mut().unwrap_or_else(PoisonError::into_inner), Slot::Closed);
        leave_to_parent(slot);
    }
}
