//! A Python client's hold on its pooled client of the core.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::options::ServerApi;
use pyo3::prelude::*;
use tokio::runtime::Handle;

use super::call::{Running, raised};
use super::errors::invalid_operation;
use super::exit;
use super::monitoring::Dispatcher;
use super::oidc::Oidc;
use crate::driver::events::Listener;
use crate::runtime::process;

/// A client of the core.
pub trait PooledClient: Send + Sync + Sized + 'static {
    /// What it is made from.
    type Settings: Clone + Send + Sync + 'static;

    /// Makes one, without I/O.
    fn make(settings: Self::Settings, runtime: Handle, listener: Option<Arc<dyn Listener>>, extras: &Extras) -> Self;

    /// Who is told what happens.
    fn listener(&self) -> Option<&Arc<dyn Listener>>;

    /// A call that fails where the client gives up.
    fn until_given_up<T: Send + 'static>(&self, call: Running<T>) -> Running<T>;

    /// For an interpreter that ends: gives up if calls are under way, and the server answers nothing.
    fn give_up_if_silent(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// What a client may have beyond its settings.
#[derive(Default)]
pub struct Extras {
    /// PyMongo's event listeners.
    pub listeners: Vec<Py<PyAny>>,
    /// The version of the server's API.
    pub server_api: Option<ServerApi>,
    /// What it logs in with, where that is a callback.
    pub oidc: Oidc,
}

/// The settings of a client, and the client once it is needed. A forked child
/// makes its own; a closed one makes none.
pub struct Pooled<C: PooledClient> {
    /// What the client is made from.
    pub settings: C::Settings,
    /// Whether it came from `from_config`, and so may serve others too.
    pub shared: bool,
    extras: Extras,
    slot: Mutex<Slot<C>>,
}

enum Slot<C> {
    Unmade,
    Made { pid: u32, client: Arc<C> },
    Closed,
}

impl<C: PooledClient> Pooled<C> {
    /// A hold on no client yet.
    pub fn new(settings: C::Settings, shared: bool) -> Self {
        Self::with_extras(settings, shared, Extras::default())
    }

    /// The same, with more than settings.
    pub fn with_extras(settings: C::Settings, shared: bool, extras: Extras) -> Self {
        Self { settings, shared, extras, slot: Mutex::new(Slot::Unmade) }
    }

    /// The client; made at the first call in each process.
    pub fn client(&self, py: Python<'_>, class: &str) -> PyResult<Arc<C>> {
        let process = process();
        // Making an exception runs Python, which may let other threads in: not with the slot held.
        let runtime = raised(py, process.runtime())?;
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
        // Another thread may have made it, or closed it, meanwhile.
        match &*slot {
            Slot::Made { pid, client } if *pid == process.pid => Ok(Arc::clone(client)),
            Slot::Closed => {
                drop(slot);
                Err(invalid_operation(py, format!("Cannot use {class} after close")))
            }
            Slot::Unmade | Slot::Made { .. } => {
                let client = Arc::new(C::make(self.settings.clone(), runtime.clone(), listener, &self.extras));
                exit::made(&client);
                let made = Slot::Made { pid: process.pid, client: Arc::clone(&client) };
                leave_to_parent(std::mem::replace(&mut *slot, made));
                Ok(client)
            }
        }
    }

    /// Closes it for good; gives the client, if one was made, to be shut down.
    pub fn close(&self) -> Option<Arc<C>> {
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

/// What a parent process made rests on threads that a child does not have:
/// dropping it there could wait for ever.
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
