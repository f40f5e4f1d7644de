//! Listeners of events, and the callers that the events are attributed to.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bson::Document;

/// The caller whose call caused an event.
pub type Caller = Arc<dyn Any + Send + Sync>;

tokio::task_local! {
    static OPERATION: Operation;
    static UNOBSERVED: ();
}

/// What commands are sent for: one call, or the inserts of many calls in one command. All attempts and
/// all batches of an operation have its id.
#[derive(Clone)]
pub struct Operation {
    /// The id, which the events show.
    pub id: u32,
    /// The callers, in the order of their documents.
    pub callers: Arc<[Caller]>,
}

impl Operation {
    fn new(callers: Arc<[Caller]>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), callers }
    }
}

/// Runs commands that are not reported to listeners, because no caller caused them.
pub(crate) fn unobserved<F: IntoFuture>(work: F) -> impl Future<Output = F::Output> {
    UNOBSERVED.scope((), work.into_future())
}

/// An event, named as in PyMongo's listeners.
pub struct DriverEvent {
    /// The name, such as `command_started`.
    pub name: &'static str,
    /// The fields, with PyMongo's names where PyMongo has them.
    pub fields: Document,
    /// The command or the reply, which a listener may never read.
    pub body: Option<Document>,
    /// The operation that the event is part of.
    pub operation: Option<Operation>,
}

/// The kinds of events that a listener receives.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Events of commands.
    pub commands: bool,
    /// Events of connections and connection pools.
    pub pools: bool,
    /// Changes of the number of connections, without the events' details.
    pub connections: bool,
    /// Events of servers, heartbeats and topologies.
    pub servers: bool,
}

/// A change of a pool's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionChange {
    /// A connection was created.
    Created,
    /// A connection was closed.
    Closed,
    /// A connection was taken for a command.
    CheckedOut,
    /// A connection was returned.
    CheckedIn,
}

/// Receives events.
pub trait Listener: Send + Sync {
    /// Returns the kinds of events to receive.
    fn wanted(&self) -> Wanted;
    /// Receives an event. It must not block.
    fn notify(&self, event: DriverEvent);
    /// Receives a change of a pool's connections. It must not block.
    fn connection_changed(&self, _change: ConnectionChange) {}
    /// Waits until all received events are processed. Called when a call's result is read.
    fn drain(&self);
}

/// A listener, and the caller of the call whose events it receives.
#[derive(Clone)]
pub struct EventContext {
    /// The listener.
    pub listener: Arc<dyn Listener>,
    /// The caller.
    pub caller: Option<Caller>,
}

impl EventContext {
    /// Runs `work` and attributes its events to the caller.
    pub async fn scope<F: Future>(events: Option<&Self>, work: F) -> F::Output {
        match events {
            Some(Self { listener, caller: Some(caller) }) => {
                attributed(listener, Arc::from([Arc::clone(caller)]), work).await
            }
            _ => work.await,
        }
    }
}

/// Runs `work` as one operation and attributes its events to the callers. If it is dropped before it has finished, the
/// listener receives `command_interrupted`, since the driver does not report the end of a dropped command.
pub(crate) async fn attributed<F: Future>(listener: &Arc<dyn Listener>, callers: Arc<[Caller]>, work: F) -> F::Output {
    let operation = Operation::new(callers);
    let mut unfinished = Unfinished { listener, operation: Some(operation.clone()) };
    let output = OPERATION.scope(operation, work).await;
    unfinished.operation = None;
    output
}

struct Unfinished<'a> {
    listener: &'a Arc<dyn Listener>,
    operation: Option<Operation>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            let fields = Document::new();
            let event = DriverEvent { name: "command_interrupted", fields, body: None, operation: Some(operation) };
            self.listener.notify(event);
        }
    }
}

/// Returns the operation that the current task executes.
pub(crate) fn current_operation() -> Option<Operation> {
    OPERATION.try_with(Clone::clone).ok()
}

/// Returns whether the current task runs commands that are not reported.
pub(crate) fn is_unobserved() -> bool {
    UNOBSERVED.try_with(|()| ()).is_ok()
}
