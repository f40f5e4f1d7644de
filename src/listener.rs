//! Listeners of events, and the callers that the events are attributed to.

use std::any::Any;
use std::sync::Arc;

use bson::Document;

/// The caller whose call caused an event.
pub type Caller = Arc<dyn Any + Send + Sync>;

tokio::task_local! {
    static CALLER: Caller;
    static UNOBSERVED: ();
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
    /// The caller whose call caused the event.
    pub caller: Option<Caller>,
}

/// The kinds of events that a listener receives.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Events of commands.
    pub commands: bool,
    /// Events of connections and connection pools.
    pub pools: bool,
    /// Events of servers, heartbeats and topologies.
    pub servers: bool,
}

/// Receives events.
pub trait Listener: Send + Sync {
    /// Returns the kinds of events to receive.
    fn wanted(&self) -> Wanted;
    /// Receives an event. It must not block.
    fn notify(&self, event: DriverEvent);
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
    pub async fn scope<F: Future>(heard: Option<Self>, work: F) -> F::Output {
        match heard.and_then(|heard| heard.caller) {
            Some(caller) => CALLER.scope(caller, work).await,
            None => work.await,
        }
    }
}

/// Returns the caller whose call the current task executes.
pub(crate) fn current_caller() -> Option<Caller> {
    CALLER.try_with(Arc::clone).ok()
}

/// Returns whether the current task runs commands that are not reported.
pub(crate) fn is_unobserved() -> bool {
    UNOBSERVED.try_with(|()| ()).is_ok()
}
