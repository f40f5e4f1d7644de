//! The events of a change stream, as the body of a response.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use bson::{Bson, RawDocument, RawDocumentBuf};
use futures_util::stream;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::request::{WatchRequest, id_of};
use crate::codec::ejson::Style;
use crate::driver::DriverClient;
use crate::driver::watch::{ChangePoll, Level, Position, Watch, Watching, options};
use crate::error::Error;
use crate::gateway::actions;
use crate::gateway::api_error::{Aborted, ApiError, ApiResult};
use crate::gateway::limits::caller_slots::CallerSlot;
use crate::gateway::limits::memory::Reservation;
use crate::gateway::policy::{AuthorizedWatch, Policy};
use crate::gateway::state::Gateway;
use crate::gateway::target::RequestTarget;
use crate::gateway::telemetry::metrics::Counted;

/// How long MongoDB waits for changes before it responds without one.
const AWAIT_TIME: Duration = Duration::from_secs(2);
/// The pause before a stream tries again to reach MongoDB.
const RETRY_TIME: Duration = Duration::from_secs(1);
/// What clients wait before they connect again.
const RECONNECT_MILLIS: u32 = 1000;

/// What a change stream is for, and the credentials that it was opened with.
pub(in crate::gateway) struct StreamContext {
    pub(in crate::gateway) gateway: Arc<Gateway>,
    pub(in crate::gateway) target: Arc<RequestTarget>,
    /// The headers with the caller's credentials, which are checked again while the stream is open.
    pub(in crate::gateway) headers: HeaderMap,
    /// The request.
    pub(in crate::gateway) request: RawDocumentBuf,
    pub(in crate::gateway) caller: Arc<str>,
    pub(in crate::gateway) _slot: CallerSlot,
    /// The memory of the request.
    pub(in crate::gateway) _reservation: Option<Reservation>,
    /// Who sent the request.
    pub(in crate::gateway) peer: IpAddr,
    /// The `comment` of the command.
    pub(in crate::gateway) comment: Option<Bson>,
}

/// An open change stream.
pub(in crate::gateway) struct EventStream {
    context: StreamContext,
    client: Arc<DriverClient>,
    watching: Watching,
    authorized: AuthorizedWatch,
    style: Style,
    /// The position after the last change.
    token: Option<Bson>,
    /// Whether the client has this position.
    is_sent: bool,
    heartbeat: Interval,
    /// When the caller's permissions are checked, however many changes there are.
    check: Interval,
    ends: Instant,
    stopping: Receiver<bool>,
    _open: Counted,
}

/// What a stream sends next.
enum Step {
    Send(Vec<u8>),
    /// The last thing that it sends.
    End(Option<Vec<u8>>),
}

/// What a stream has waited for.
enum Reason {
    End,
    Heartbeat,
    Check,
    Poll(Box<ChangePoll>),
}

impl EventStream {
    /// Opens a change stream, and waits until it is open.
    pub(in crate::gateway) async fn open(
        context: StreamContext,
        client: Arc<DriverClient>,
        authorized: AuthorizedWatch,
        style: Style,
        token: Option<Bson>,
    ) -> ApiResult<Self> {
        let gateway = &context.gateway;
        let mut given = bson::Document::new();
        given.extend(context.comment.clone().map(|comment| ("comment".to_owned(), comment)));
        let limits = gateway.streams.limits;
        let options = options(given, None, Some(AWAIT_TIME.min(limits.heartbeat)))
            .map_err(|error| watch_error(gateway, &client, &error))?;
        let watch = Watch {
            level: Level::Collection,
            namespace: Arc::clone(&context.target.namespace),
            pipeline: authorized.pipeline().to_vec(),
            stage: authorized.stage().clone(),
            // Unlike `resumeAfter`, `startAfter` also continues after the event that ended the last stream.
            start: Position { uses_start_after: token.is_some(), token, ..Position::default() },
            options,
            session: None,
        };
        let watching = Watching::start(&tokio::runtime::Handle::current(), Arc::clone(&client), watch, None, None);
        let ChangePoll { change, token, .. } = watching.opened().await;
        change.map_err(|error| watch_error(gateway, &client, &error))?;
        let now = Instant::now();
        let every_heartbeat = || {
            let mut interval = interval_at(now + limits.heartbeat, limits.heartbeat);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Ok(Self {
            _open: gateway.telemetry.metrics.open_stream(),
            stopping: gateway.streams.stopping.subscribe(),
            ends: now + limits.lifetime,
            heartbeat: every_heartbeat(),
            check: every_heartbeat(),
            watching,
            authorized,
            style,
            token,
            is_sent: false,
            client,
            context,
        })
    }

    /// The body of the response: it ends with the stream.
    pub(in crate::gateway) fn into_body(self) -> Body {
        let memory = self.context.gateway.memory.clone();
        let mut start = format!("retry: {RECONNECT_MILLIS}\n").into_bytes();
        let mut stream = self;
        stream.write_position(&mut start);
        start.push(b'\n');
        let events = stream::unfold(Some((stream, Some(start))), move |state| {
            let memory = memory.clone();
            async move {
                let (mut stream, start) = state?;
                let step = match start {
                    Some(start) => Step::Send(start),
                    None => stream.next().await,
                };
                let (part, rest) = match step {
                    Step::Send(part) => (part, Some((stream, None))),
                    Step::End(part) => (part?, None),
                };
                match memory.hold(part) {
                    Ok(part) => Some((Ok(part), rest)),
                    Err(error) => Some((Err(Aborted::new(error.body.error_code, error.body.error)), None)),
                }
            }
        });
        Body::from_stream(events)
    }

    async fn next(&mut self) -> Step {
        let mut retry_at: Option<Instant> = None;
        loop {
            let poll = async {
                if let Some(retry_at) = retry_at {
                    sleep_until(retry_at).await;
                }
                self.watching.next(true).await
            };
            let reason = tokio::select! {
                biased;
                _ = self.stopping.wait_for(|stopping| *stopping) => Reason::End,
                () = sleep_until(self.ends) => Reason::End,
                _ = self.check.tick() => Reason::Check,
                _ = self.heartbeat.tick() => Reason::Heartbeat,
                poll = poll => Reason::Poll(Box::new(poll)),
            };
            let poll = match reason {
                Reason::End => return Step::End(None),
                Reason::Heartbeat => return Step::Send(self.beat()),
                Reason::Check => match self.check_permission().await {
                    Ok(()) => continue,
                    Err(error) => return Step::End(Some(error_event(&error))),
                },
                Reason::Poll(poll) => *poll,
            };
            if let Some(token) = poll.token
                && self.token.as_ref() != Some(&token)
            {
                (self.token, self.is_sent) = (Some(token), false);
            }
            match poll.change {
                Ok(Some(change)) => return self.event(&change, poll.alive),
                Ok(None) if poll.alive => retry_at = None,
                Ok(None) => return Step::End(None),
                // MongoDB may come back, and the stream then continues after the last change.
                Err(_) if poll.alive => retry_at = Some(Instant::now() + RETRY_TIME),
                Err(error) => {
                    let gateway = &self.context.gateway;
                    let error = watch_error(gateway, &self.client, &error);
                    return Step::End(Some(error_event(&error)));
                }
            }
        }
    }

    /// An event of one change.
    fn event(&mut self, change: &RawDocument, has_more: bool) -> Step {
        let mut out = Vec::with_capacity(change.as_bytes().len() * 5 / 4 + 256);
        self.write_position(&mut out);
        out.extend_from_slice(b"data: ");
        if let Err(error) = actions::write_document(&mut out, change, self.style) {
            let error = watch_error(&self.context.gateway, &self.client, &error);
            return Step::End(Some(error_event(&error)));
        }
        out.extend_from_slice(b"\n\n");
        self.context.gateway.telemetry.metrics.stream_events.inc();
        self.heartbeat.reset();
        if has_more { Step::Send(out) } else { Step::End(Some(out)) }
    }

    /// Writes the position as the `id` of an event. Without data it is no event, but clients remember it.
    fn write_position(&mut self, out: &mut Vec<u8>) {
        if self.is_sent {
            return;
        }
        if let Some(id) = self.token.as_ref().and_then(id_of) {
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(id.as_bytes());
            out.push(b'\n');
            self.is_sent = true;
        }
    }

    /// A comment that shows that the stream is alive.
    fn beat(&mut self) -> Vec<u8> {
        let mut out = b": heartbeat\n".to_vec();
        self.write_position(&mut out);
        out.push(b'\n');
        out
    }

    /// Rejects a caller whose key was revoked, or whose permissions have changed.
    async fn check_permission(&self) -> ApiResult<()> {
        let StreamContext { gateway, target, headers, request, caller, peer, .. } = &self.context;
        let ended = || {
            let message = "invalid session: the key or token is no longer valid";
            ApiError::new(StatusCode::UNAUTHORIZED, "InvalidSession", message)
        };
        let now = gateway.authenticator.authenticate(headers, *peer).await.map_err(|_| ended())?;
        if now.name != *caller {
            return Err(ended());
        }
        let authorized = Policy { caller: &now, target }.authorize_watch(&WatchRequest::parse(request, None)?)?;
        if authorized != self.authorized {
            return Err(ApiError::not_allowed("the caller's permissions have changed: connect again"));
        }
        Ok(())
    }
}

/// Converts an error of the driver to an error response.
fn watch_error(gateway: &Gateway, client: &DriverClient, error: &Error) -> ApiError {
    /// MongoDB's code for a position that its oplog no longer has.
    const HISTORY_LOST: i32 = 286;
    let mut response = actions::error_response(gateway, client, &"watch", error);
    if error.code == Some(HISTORY_LOST) {
        response.status = StatusCode::GONE;
        "ChangeStreamHistoryLost".clone_into(&mut response.body.error_code);
        response.body.error.push_str(": read the collection again, and watch it without the id of an event");
    }
    response
}

/// An event that tells why the stream ends.
fn error_event(error: &ApiError) -> Vec<u8> {
    [b"event: error\ndata: ", &error.body.to_json()[..], b"\n\n"].concat()
}
