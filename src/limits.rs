//! How long what must come to an end may take, whatever the network does.
//! `docs/shutdown.md` tells users.

use std::time::Duration;

/// How long `close()` of a client waits for calls under way, and for the server to end the
/// client's sessions. Calls that have not ended by then fail.
pub const CLOSE_TIME: Duration = Duration::from_secs(3);

/// How long `drain_store` waits for the next answer of a server to inserts that are on their way.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How long after the main thread has ended a server may leave calls under way and pings unanswered
/// before the calls fail.
pub const EXIT_TIME: Duration = Duration::from_secs(3);

/// How long a ping may take that tells whether a server is there: at the interpreter's exit, and for
/// the gateway's readiness and shutdown.
pub const PING_TIME: Duration = Duration::from_secs(2);

/// How long pings may take that find connections which their server has closed.
pub const PURGE_TIME: Duration = Duration::from_secs(2);
