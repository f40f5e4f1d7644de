//! Time limits for closing clients, draining queues and exiting, whatever the network does.
//! `docs/shutdown.md` documents them for users.

use std::time::Duration;

/// How long a client's `close()` waits for pending calls and for the server to end the client's
/// sessions. Calls that are still pending after that fail.
pub const CLOSE_TIME: Duration = Duration::from_secs(3);

/// How long `drain_store` waits for the server's next response to pending inserts.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// After the main thread has ended: how long a server may leave pending calls and pings unanswered
/// before the calls fail.
pub const EXIT_TIME: Duration = Duration::from_secs(3);

/// The timeout of a ping that checks whether a server is reachable, at the interpreter's exit and for
/// the gateway's readiness and shutdown.
pub const PING_TIME: Duration = Duration::from_secs(2);

/// The timeout of the pings that find connections closed by the server.
pub const PURGE_TIME: Duration = Duration::from_secs(2);
