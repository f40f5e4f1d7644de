//! The log: lines of JSON on stderr, written by a thread of its own.

use std::io::Write as _;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bson::DateTime;

use crate::codec::ejson::write_text;

/// How many lines wait for a slow reader of stderr; further lines are dropped and counted.
const QUEUED_LINES: usize = 8192;
/// How many bytes one write to stderr combines.
const WRITE_BYTES: usize = 64 * 1024;
/// How long [`LogWriter::shutdown`] waits for queued lines.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Writes lines to stderr on a thread, so that no request waits for a slow reader.
pub(super) struct LogWriter {
    lines: Mutex<Option<SyncSender<Vec<u8>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let (lines, queue) = sync_channel::<Vec<u8>>(QUEUED_LINES);
        let thread = std::thread::Builder::new().name("connect-mongodb-log".to_owned()).spawn(move || {
            let mut stderr = std::io::stderr().lock();
            while let Ok(line) = queue.recv() {
                // Write all queued lines at once.
                let mut batch = line;
                while let Some(next) = (batch.len() < WRITE_BYTES).then(|| queue.try_recv().ok()).flatten() {
                    batch.extend_from_slice(&next);
                }
                // A closed stderr must not stop the gateway.
                drop(stderr.write_all(&batch));
            }
        })?;
        Ok(Self { lines: Mutex::new(Some(lines)), thread: Mutex::new(Some(thread)) })
    }

    /// Queues a line. Returns whether there was room for it.
    pub(super) fn write(&self, line: LogLine) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.as_ref().is_some_and(|lines| lines.try_send(line.finish()).is_ok())
    }

    /// Writes the queued lines, for at most [`FLUSH_TIME`].
    pub(super) fn shutdown(&self) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let deadline = Instant::now() + FLUSH_TIME;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A log line: a JSON object that begins with `time` and `level`.
pub(super) struct LogLine(Vec<u8>);

impl LogLine {
    pub(super) fn new(level: &str) -> Self {
        let mut line = Self(Vec::with_capacity(384));
        line.string("time", &DateTime::now().try_to_rfc3339_string().unwrap_or_default());
        line.string("level", level);
        line
    }

    /// Adds a string.
    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        write_text(&mut self.0, name);
        self.0.push(b':');
        write_text(&mut self.0, value);
    }

    /// Adds a number.
    pub(super) fn number(&mut self, name: &str, value: f64) {
        // Writing to a vector does not fail.
        drop(write!(self.0, ",\"{name}\":{value}"));
    }

    /// Adds the figures that end the line of a request.
    pub(super) fn figures(&mut self, status: u16, elapsed: Duration, received: usize, sent: u64) {
        // Writing to a vector does not fail.
        drop(write!(
            self.0,
            ",\"status\":{status},\"ms\":{:.3},\"received\":{received},\"sent\":{sent}",
            elapsed.as_secs_f64() * 1e3,
        ));
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}
