//! Time limits of commands and calls, which the driver does not have: `socketTimeoutMS`,
//! `waitQueueTimeoutMS`, and PyMongo's client-side operation timeout (`timeoutMS`, `pymongo.timeout`).
//!
//! [`DriverClient::limited`] runs one of the driver's actions. It learns from the events of the
//! connection pool, which the driver emits in the action's own task, whether the action waits for a
//! server, for a connection, or for a reply. When the limit of that stage has passed, it drops the
//! action. The driver closes a connection whose reply was not read, so it is not reused.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bson::raw::{CStr, cstr};
use bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use mongodb::event::cmap::CmapEvent;
use mongodb::event::command::CommandEvent;
use mongodb::options::ServerAddress;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{DriverClient, events};
use crate::config::TimeLimits;
use crate::error::{Error, ErrorKind, Result};

tokio::task_local! {
    static DEADLINE: Deadline;
    static PROGRESS: Arc<Progress>;
}

/// The end of a call's time, including its retries.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    /// The whole time of the call, for messages.
    timeout: Duration,
}

impl Deadline {
    /// A deadline after `remaining` of a call's whole `timeout`.
    pub fn after(remaining: Duration, timeout: Duration) -> Self {
        let now = Instant::now();
        // Further away than any call lasts.
        const DISTANT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
        Self { at: now + remaining.min(DISTANT), timeout }
    }

    /// The deadline of the current call.
    pub(super) fn current() -> Option<Self> {
        DEADLINE.try_with(|deadline| *deadline).ok()
    }

    /// Runs a call that fails at the deadline.
    ///
    /// # Errors
    /// Those of the call; `NetworkTimeout` at the deadline.
    pub async fn scope<T>(deadline: Option<Self>, call: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(deadline) = deadline else { return call.await };
        // Usually the action that the call waits for fails first, with a more precise error.
        match timeout_at(deadline.at, DEADLINE.scope(deadline, call)).await {
            Ok(result) => result,
            Err(_) => Err(deadline.exceeded()),
        }
    }

    /// Waits for something that another task does, until the deadline.
    ///
    /// # Errors
    /// Those of `wait`; `NetworkTimeout` at the deadline.
    pub async fn bound<T>(deadline: Option<Self>, wait: impl Future<Output = Result<T>>) -> Result<T> {
        match deadline {
            None => wait.await,
            Some(deadline) => timeout_at(deadline.at, wait).await.unwrap_or_else(|_| Err(deadline.exceeded())),
        }
    }

    /// Returns whether the call's time is over.
    pub(super) fn is_over(self) -> bool {
        self.at <= Instant::now()
    }

    fn exceeded(self) -> Error {
        let configured = configured(&TimeLimits::default(), Some(self));
        Error::new(ErrorKind::NetworkTimeout, format!("timed out {configured}"))
    }

    /// The server's time limit for a command that is sent now.
    pub(super) fn max_time(self) -> Duration {
        // A limit of 0 would be no limit.
        self.at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }
}

/// The server's time limit for a command that is sent now: that of the current call, or else `given`.
pub(super) fn max_time(given: Option<Duration>) -> Option<Duration> {
    Deadline::current().map(Deadline::max_time).or(given)
}

/// A command with the time limit of the current call as `maxTimeMS`.
pub(super) fn timed(mut command: RawDocumentBuf) -> RawDocumentBuf {
    const NAME: &CStr = cstr!("maxTimeMS");
    let Some(deadline) = Deadline::current() else { return command };
    if command.get(NAME).is_ok_and(|given| given.is_some()) {
        let mut rest = RawDocumentBuf::new();
        for (name, value) in command.iter().flatten().filter(|(name, _)| *name != NAME) {
            rest.append(name, value);
        }
        command = rest;
    }
    command.append(NAME, i64::try_from(deadline.max_time().as_millis()).unwrap_or(i64::MAX));
    command
}

/// A write concern for a command that is sent now: a call's deadline replaces `wtimeout`.
pub(super) fn without_wtimeout(mut concern: Document) -> Option<Document> {
    if Deadline::current().is_some() {
        concern.remove("wtimeout");
    }
    (!concern.is_empty()).then_some(concern)
}

/// What an action waits for.
#[derive(Debug, Clone)]
enum Stage {
    Server,
    Connection(ServerAddress),
    Reply,
}

/// How far an action has got.
struct Progress {
    stage: Mutex<(Stage, Instant)>,
    /// How often a connection was taken, so how many commands were sent at most.
    sent: Mutex<u32>,
    /// The command in progress, if a listener receives its events.
    command: Mutex<Option<(Document, Instant)>>,
}

impl Progress {
    fn new(stage: Stage) -> Self {
        Self { stage: Mutex::new((stage, Instant::now())), sent: Mutex::new(0), command: Mutex::default() }
    }

    fn stage(&self) -> MutexGuard<'_, (Stage, Instant)> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stage: Stage) {
        *self.stage() = (stage, Instant::now());
    }

    fn command(&self) -> MutexGuard<'_, Option<(Document, Instant)>> {
        self.command.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> MutexGuard<'_, u32> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes an event of a connection pool for the action of the current task.
pub(super) fn note(event: &CmapEvent) {
    // Without limits there is no action to note it for.
    let _ = PROGRESS.try_with(|progress| match event {
        CmapEvent::ConnectionCheckoutStarted(event) => progress.enter(Stage::Connection(event.address.clone())),
        CmapEvent::ConnectionCheckedOut(_) => {
            *progress.sent() += 1;
            progress.enter(Stage::Reply);
        }
        CmapEvent::ConnectionCheckoutFailed(_) | CmapEvent::ConnectionCheckedIn(_) => progress.enter(Stage::Server),
        _ => {}
    });
}

/// Notes an event of a command for the action of the current task.
pub(super) fn note_command(event: &CommandEvent) {
    // Without limits there is no action to note it for.
    let _ = PROGRESS.try_with(|progress| {
        *progress.command() = match event {
            CommandEvent::Started(event) => Some((events::started(event), Instant::now())),
            _ => None,
        };
    });
}

/// Why an action was dropped.
#[derive(Debug)]
pub(super) struct TimedOut {
    /// The class of the error.
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    /// Whether the reply to the first command was waited for, so that another attempt is left.
    first_reply: bool,
    /// Whether the call's own time is over.
    pub(super) at_deadline: bool,
    in_transaction: bool,
}

impl TimedOut {
    /// Returns the reason of an error of [`DriverClient::limited`].
    pub(super) fn of(error: &DriverError) -> Option<&Self> {
        error.get_custom()
    }

    /// Returns whether the reply to a first attempt did not come in time. The driver's own retry is
    /// then lost.
    pub(super) fn was_first_reply(error: &DriverError) -> bool {
        Self::of(error).is_some_and(|timed_out| timed_out.first_reply)
    }

    /// The error labels, as of the driver's own network errors.
    pub(super) fn labels(&self) -> Vec<String> {
        let transient = self.in_transaction && self.kind != ErrorKind::ExecutionTimeout;
        transient.then(|| "TransientTransactionError".to_owned()).into_iter().collect()
    }

    /// MongoDB's code and document of the error.
    pub(super) fn details(&self) -> Option<(i32, Document)> {
        let code = 50;
        (self.kind == ErrorKind::ExecutionTimeout)
            .then(|| (code, doc! { "ok": 0, "errmsg": &self.message, "code": code }))
    }
}

/// The limits in an error message, as PyMongo writes them.
fn configured(limits: &TimeLimits, deadline: Option<Deadline>) -> String {
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let times = [
        ("timeoutMS", deadline.map(|deadline| deadline.timeout)),
        ("socketTimeoutMS", limits.socket),
        ("waitQueueTimeoutMS", limits.wait_queue),
    ];
    let given = times.into_iter().filter_map(|(name, time)| Some(format!("{name}: {:?}ms", millis(time?))));
    format!("(configured timeouts: {})", given.collect::<Vec<_>>().join(", "))
}

impl DriverClient {
    /// Runs one of the driver's actions within the limits of the client and the current call.
    /// In a transaction, its timeouts are transient errors.
    ///
    /// # Errors
    /// Those of the action, and one with [`TimedOut`].
    pub(super) async fn limited<T>(
        &self,
        in_transaction: bool,
        action: impl IntoFuture<Output = mongodb::error::Result<T>, IntoFuture: Send>,
    ) -> mongodb::error::Result<T> {
        let deadline = Deadline::current();
        let limits = &self.settings().time_limits;
        if deadline.is_none() && limits.is_unlimited_per_command() {
            return action.await;
        }
        let failed = |timed_out| DriverError::custom(TimedOut { in_transaction, ..timed_out });
        if let Some(deadline) = deadline
            && deadline.is_over()
        {
            return Err(failed(self.not_sent(limits, deadline)));
        }
        // With a load balancer, a cursor or a transaction keeps its connection, which emits no events.
        let pinned = self.client.get().is_some_and(|connected| connected.load_balanced);
        let progress = Arc::new(Progress::new(if pinned { Stage::Reply } else { Stage::Server }));
        let mut action = Box::pin(PROGRESS.scope(Arc::clone(&progress), action.into_future()));
        let mut wakeup = Box::pin(sleep_until(Instant::now()));
        poll_fn(|context| {
            if let Poll::Ready(result) = action.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            loop {
                let Some(due) = due(&progress, limits, deadline) else { return Poll::Pending };
                if wakeup.deadline() != due {
                    wakeup.as_mut().reset(due);
                }
                if wakeup.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                if let Some(timed_out) = self.timed_out(&progress, limits, deadline) {
                    self.report(&progress, &timed_out);
                    return Poll::Ready(Err(failed(timed_out)));
                }
            }
        })
        .await
    }

    /// Tells the listener that the command in progress has failed.
    fn report(&self, progress: &Progress, timed_out: &TimedOut) {
        let command = progress.command().take();
        if let (Some((fields, begun)), Some(listener)) = (command, self.listener()) {
            listener.notify(events::timed_out(fields, begun.elapsed(), &timed_out.message));
        }
    }

    /// The error of an action whose time is over before it starts.
    fn not_sent(&self, limits: &TimeLimits, deadline: Deadline) -> TimedOut {
        let configured = configured(limits, Some(deadline));
        let (kind, what) = match self.has_known_server() {
            true => (ErrorKind::ExecutionTimeout, "operation would exceed time limit"),
            false => (ErrorKind::ServerSelectionTimeout, "no suitable server was found in time"),
        };
        TimedOut {
            kind,
            message: format!("{what} {configured}"),
            first_reply: false,
            at_deadline: true,
            in_transaction: false,
        }
    }

    /// The error of the stage whose time is over. `None` if the stage may last longer.
    fn timed_out(&self, progress: &Progress, limits: &TimeLimits, deadline: Option<Deadline>) -> Option<TimedOut> {
        let configured = configured(limits, deadline);
        let stage = progress.stage().0.clone();
        let (kind, message) = match stage {
            Stage::Server => {
                (ErrorKind::ServerSelectionTimeout, format!("no suitable server was found in time {configured}"))
            }
            Stage::Connection(address) => {
                let most = self.client.get().map_or(0, |connected| connected.max_pool_size);
                // PyMongo's limit is on waiting for a connection in use, not on opening a new one.
                if deadline.is_none() && self.connections.open_to(&address) < most {
                    progress.enter(Stage::Connection(address));
                    return None;
                }
                let message = format!(
                    "Timed out while checking out a connection from connection pool. maxPoolSize: {most} {configured}"
                );
                (ErrorKind::WaitQueueTimeout, message)
            }
            Stage::Reply => (ErrorKind::NetworkTimeout, format!("timed out {configured}")),
        };
        let first_reply = kind == ErrorKind::NetworkTimeout && deadline.is_none() && *progress.sent() <= 1;
        Some(TimedOut { kind, message, first_reply, at_deadline: deadline.is_some(), in_transaction: false })
    }
}

/// When the time of the current stage is over. A call's deadline replaces the limits of its commands.
fn due(progress: &Progress, limits: &TimeLimits, deadline: Option<Deadline>) -> Option<Instant> {
    if let Some(deadline) = deadline {
        return Some(deadline.at);
    }
    let stage = progress.stage();
    let limit = match stage.0 {
        Stage::Server => None,
        Stage::Connection(_) => limits.wait_queue,
        Stage::Reply => limits.socket,
    };
    stage.1.checked_add(limit?)
}
