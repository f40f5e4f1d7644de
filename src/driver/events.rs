//! Events of commands, connection pools and servers, for listeners.

use std::sync::Arc;

use bson::{Bson, Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::event::EventHandler;
use mongodb::event::cmap::{CmapEvent, ConnectionCheckoutFailedReason, ConnectionClosedReason};
use mongodb::event::command::{CommandEvent, CommandStartedEvent, ConnectionInfo};
use mongodb::event::sdam::{SdamEvent, TopologyDescription};
use mongodb::options::{ClientOptions, ServerAddress};
use mongodb::{ServerInfo, ServerType, TopologyType};
use tokio::sync::watch;

use super::idle::Connections;
use super::time_limit;
pub use crate::listener::{Caller, ConnectionChange, DriverEvent, EventContext, Listener, Wanted};
use crate::listener::{current_operation, is_unobserved};

/// Registers the handlers of the driver's events, which also keep the topology description up to date.
pub(super) fn listen(
    options: &mut ClientOptions,
    listener: Option<&Arc<dyn Listener>>,
    topology: watch::Sender<Option<TopologyDescription>>,
    connections: Arc<Connections>,
) {
    let wanted = listener.map(|listener| listener.wanted()).unwrap_or_default();
    if let Some(listener) = listener.filter(|_| wanted.commands) {
        let listener = Arc::clone(listener);
        options.command_event_handler = Some(EventHandler::callback(move |event| {
            if is_unobserved() {
                return;
            }
            time_limit::note_command(&event);
            if let Some(event) = command_event(event) {
                listener.notify(DriverEvent { operation: current_operation(), ..event });
            }
        }));
    }
    let pool_listener = listener.filter(|_| wanted.pools).cloned();
    let connection_listener = listener.filter(|_| wanted.connections).cloned();
    options.cmap_event_handler = Some(EventHandler::callback(move |event| {
        connections.handle_pool_event(&event);
        time_limit::note(&event);
        if let Some(listener) = &connection_listener
            && let Some(change) = connection_change(&event)
        {
            listener.connection_changed(change);
        }
        if let Some(listener) = &pool_listener
            && let Some(event) = pool_event(event)
        {
            listener.notify(event);
        }
    }));
    let listener = listener.filter(|_| wanted.servers).cloned();
    options.sdam_event_handler = Some(EventHandler::callback(move |event| {
        if let SdamEvent::TopologyDescriptionChanged(changed) = &event {
            topology.send_replace(Some(changed.new_description.clone()));
        }
        if let Some(listener) = &listener
            && let Some(event) = server_event(event)
        {
            listener.notify(event);
        }
    }));
}

fn driver_event(name: &'static str, fields: Document) -> DriverEvent {
    DriverEvent { name, fields, body: None, operation: None }
}

fn address(address: &ServerAddress) -> Bson {
    match address {
        ServerAddress::Tcp { host, port } => Bson::Array(vec![host.into(), i32::from(port.unwrap_or(27017)).into()]),
        other => Bson::Array(vec![other.to_string().into(), Bson::Null]),
    }
}

fn seconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64()
}

/// Builds the `failure` of PyMongo's events: the server's response, or the error as text.
fn failure(error: &DriverError) -> Document {
    match error.server_response().and_then(|response| Document::try_from(response).ok()) {
        Some(response) => response,
        None => doc! { "errmsg": error.to_string(), "errtype": "AutoReconnect" },
    }
}

fn common(name: String, request: i32, connection: &ConnectionInfo) -> Document {
    doc! {
        "command_name": name,
        "request_id": request,
        "connection_id": address(&connection.address),
        "server_connection_id": connection.server_id,
    }
}

/// Builds the fields that a started command shares with the event of its end.
pub(super) fn started(event: &CommandStartedEvent) -> Document {
    let mut fields = common(event.command_name.clone(), event.request_id, &event.connection);
    fields.insert("service_id", event.service_id);
    fields
}

/// Builds the event of a command whose reply did not come in time.
pub(super) fn timed_out(mut fields: Document, duration: std::time::Duration, message: &str) -> DriverEvent {
    fields.insert("duration", seconds(duration));
    fields.insert("failure", doc! { "errmsg": message, "errtype": "NetworkTimeout" });
    DriverEvent { operation: current_operation(), ..driver_event("command_failed", fields) }
}

/// Empties a `hello` that authenticates, or its reply. The driver empties the other commands with credentials.
fn without_credentials(message: Document) -> Document {
    if message.contains_key("speculativeAuthenticate") { Document::new() } else { message }
}

fn command_event(event: CommandEvent) -> Option<DriverEvent> {
    Some(match event {
        CommandEvent::Started(event) => {
            let mut fields = common(event.command_name, event.request_id, &event.connection);
            fields.insert("service_id", event.service_id);
            fields.insert("database_name", event.db);
            DriverEvent { body: Some(without_credentials(event.command)), ..driver_event("command_started", fields) }
        }
        CommandEvent::Succeeded(event) => {
            let mut fields = common(event.command_name, event.request_id, &event.connection);
            fields.insert("service_id", event.service_id);
            fields.insert("duration", seconds(event.duration));
            DriverEvent { body: Some(without_credentials(event.reply)), ..driver_event("command_succeeded", fields) }
        }
        CommandEvent::Failed(event) => {
            let mut fields = common(event.command_name, event.request_id, &event.connection);
            fields.insert("service_id", event.service_id);
            fields.insert("duration", seconds(event.duration));
            fields.insert("failure", failure(&event.failure));
            driver_event("command_failed", fields)
        }
        _ => return None,
    })
}

fn connection_change(event: &CmapEvent) -> Option<ConnectionChange> {
    match event {
        CmapEvent::ConnectionCreated(_) => Some(ConnectionChange::Created),
        CmapEvent::ConnectionClosed(_) => Some(ConnectionChange::Closed),
        CmapEvent::ConnectionCheckedOut(_) => Some(ConnectionChange::CheckedOut),
        CmapEvent::ConnectionCheckedIn(_) => Some(ConnectionChange::CheckedIn),
        _ => None,
    }
}

fn pool_event(event: CmapEvent) -> Option<DriverEvent> {
    let connection = |at: &ServerAddress, id: u32| doc! { "address": address(at), "connection_id": i64::from(id) };
    Some(match event {
        CmapEvent::PoolCreated(event) => {
            let mut options = Document::new();
            if let Some(given) = event.options {
                let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                options.extend(given.max_pool_size.map(|size| ("maxPoolSize".to_owned(), Bson::from(size))));
                options.extend(given.min_pool_size.map(|size| ("minPoolSize".to_owned(), Bson::from(size))));
                options.extend(given.max_idle_time.map(|time| ("maxIdleTimeMS".to_owned(), Bson::from(millis(time)))));
            }
            driver_event("pool_created", doc! { "address": address(&event.address), "options": options })
        }
        CmapEvent::PoolReady(event) => driver_event("pool_ready", doc! { "address": address(&event.address) }),
        CmapEvent::PoolCleared(event) => driver_event(
            "pool_cleared",
            doc! {
                "address": address(&event.address),
                "service_id": event.service_id,
                "interrupt_connections": event.interrupt_in_use_connections,
            },
        ),
        CmapEvent::PoolClosed(event) => driver_event("pool_closed", doc! { "address": address(&event.address) }),
        CmapEvent::ConnectionCreated(event) => {
            driver_event("connection_created", connection(&event.address, event.connection_id))
        }
        CmapEvent::ConnectionReady(event) => {
            let mut fields = connection(&event.address, event.connection_id);
            fields.insert("duration", seconds(event.duration));
            driver_event("connection_ready", fields)
        }
        CmapEvent::ConnectionClosed(event) => {
            let mut fields = connection(&event.address, event.connection_id);
            let reason = match event.reason {
                ConnectionClosedReason::Stale => "stale",
                ConnectionClosedReason::Idle => "idle",
                ConnectionClosedReason::PoolClosed => "poolClosed",
                _ => "error",
            };
            fields.insert("reason", reason);
            driver_event("connection_closed", fields)
        }
        CmapEvent::ConnectionCheckoutStarted(event) => {
            driver_event("connection_check_out_started", doc! { "address": address(&event.address) })
        }
        CmapEvent::ConnectionCheckoutFailed(event) => {
            let reason = match event.reason {
                ConnectionCheckoutFailedReason::Timeout => "timeout",
                _ => "connectionError",
            };
            let duration = seconds(event.duration);
            let fields = doc! { "address": address(&event.address), "reason": reason, "duration": duration };
            driver_event("connection_check_out_failed", fields)
        }
        CmapEvent::ConnectionCheckedOut(event) => {
            let mut fields = connection(&event.address, event.connection_id);
            fields.insert("duration", seconds(event.duration));
            driver_event("connection_checked_out", fields)
        }
        CmapEvent::ConnectionCheckedIn(event) => {
            driver_event("connection_checked_in", connection(&event.address, event.connection_id))
        }
        _ => return None,
    })
}

fn server_event(event: SdamEvent) -> Option<DriverEvent> {
    Some(match event {
        SdamEvent::ServerHeartbeatStarted(event) => driver_event(
            "heartbeat_started",
            doc! { "connection_id": address(&event.server_address), "awaited": event.awaited },
        ),
        SdamEvent::ServerHeartbeatSucceeded(event) => driver_event(
            "heartbeat_succeeded",
            doc! {
                "connection_id": address(&event.server_address), "awaited": event.awaited,
                "duration": seconds(event.duration), "reply": event.reply,
            },
        ),
        SdamEvent::ServerHeartbeatFailed(event) => driver_event(
            "heartbeat_failed",
            doc! {
                "connection_id": address(&event.server_address), "awaited": event.awaited,
                "duration": seconds(event.duration), "reply": failure(&event.failure),
            },
        ),
        SdamEvent::ServerOpening(event) => driver_event(
            "server_opening",
            doc! { "server_address": address(&event.address), "topology_id": event.topology_id },
        ),
        SdamEvent::ServerClosed(event) => driver_event(
            "server_closed",
            doc! { "server_address": address(&event.address), "topology_id": event.topology_id },
        ),
        SdamEvent::ServerDescriptionChanged(event) => driver_event(
            "server_changed",
            doc! {
                "server_address": address(&event.address), "topology_id": event.topology_id,
                "previous_description": server(&event.previous_description),
                "new_description": server(&event.new_description),
            },
        ),
        SdamEvent::TopologyOpening(event) => {
            driver_event("topology_opening", doc! { "topology_id": event.topology_id })
        }
        SdamEvent::TopologyClosed(event) => driver_event("topology_closed", doc! { "topology_id": event.topology_id }),
        SdamEvent::TopologyDescriptionChanged(event) => driver_event(
            "topology_changed",
            doc! {
                "topology_id": event.topology_id,
                "previous_description": topology(&event.previous_description),
                "new_description": topology(&event.new_description),
            },
        ),
        _ => return None,
    })
}

/// Builds the document of a server: its address, and its reply to `hello` as far as the driver exposes it.
fn server(server: &ServerInfo<'_>) -> Document {
    let mut hello = doc! { "ok": 1 };
    let set = server.replica_set_name();
    if let Some(set) = set {
        hello.insert("setName", set);
        hello.insert("hosts", vec![server.address().to_string()]);
    }
    hello.extend(server.replica_set_version().map(|version| ("setVersion".to_owned(), version.into())));
    hello.extend(server.min_wire_version().map(|version| ("minWireVersion".to_owned(), version.into())));
    hello.extend(server.max_wire_version().map(|version| ("maxWireVersion".to_owned(), version.into())));
    if let Some(tags) = server.tags() {
        let tags = tags.iter().map(|(tag, value)| (tag.clone(), value.into())).collect::<Document>();
        hello.insert("tags", tags);
    }
    match server.server_type() {
        ServerType::RsPrimary => drop(hello.insert("isWritablePrimary", true)),
        ServerType::RsSecondary => drop(hello.insert("secondary", true)),
        ServerType::RsArbiter => drop(hello.insert("arbiterOnly", true)),
        ServerType::RsGhost => drop(hello.insert("isreplicaset", true)),
        ServerType::Mongos => drop(hello.insert("msg", "isdbgrid")),
        _ => {}
    }
    let mut document = doc! { "address": address(server.address()) };
    if server.server_type() != ServerType::Unknown {
        document.insert("hello", hello);
    }
    document.extend(server.average_round_trip_time().map(|time| ("round_trip_time".to_owned(), seconds(time).into())));
    document.extend(server.error().map(|error| ("error".to_owned(), Bson::String(error.to_string()))));
    document
}

/// Builds the document of a topology.
pub fn topology(topology: &TopologyDescription) -> Document {
    // The values of PyMongo's TOPOLOGY_TYPE.
    let kind = match topology.topology_type() {
        TopologyType::Single => 0,
        TopologyType::ReplicaSetNoPrimary => 1,
        TopologyType::ReplicaSetWithPrimary => 2,
        TopologyType::Sharded => 3,
        TopologyType::LoadBalanced => 5,
        _ => 4,
    };
    let servers: Vec<Document> = topology.servers().into_values().map(|one| server(&one)).collect();
    doc! {
        "topology_type": kind,
        "replica_set_name": topology.set_name().cloned(),
        "max_set_version": topology.max_set_version(),
        "max_election_id": topology.max_election_id(),
        "servers": servers,
    }
}
