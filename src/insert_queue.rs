//! Merges concurrent inserts of single documents into batches.
//!
//! While a command is in flight, inserts into the same collection are queued and then sent
//! as one command. If nothing is in flight, an insert is sent immediately. Inserts from one
//! iteration of an event loop are sent at the end of the iteration, or as soon as they make
//! up a worthwhile batch: the loop cannot process a result before the iteration ends anyway.
//! Large documents are sent by themselves, in parallel. There are no timers. Each caller receives its own result.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::DRAIN_TIME;
use crate::mailbox::Wakeup;
use crate::namespace::Namespace;

/// The limits of merging.
pub struct Limits {
    /// The maximum number of documents in one command.
    pub documents: usize,
    /// The maximum number of bytes in one command, unless a single document exceeds it.
    pub bytes: usize,
    /// The size up to which a command is filled although another command could be sent at the same time. Beyond it,
    /// merging saves less than sending in parallel.
    pub parallel_bytes: usize,
    /// The maximum number of commands in flight for one collection.
    pub in_flight: usize,
    /// The average size from which queued documents are large.
    pub large: usize,
    /// The maximum number of commands in flight for one collection while large documents are queued.
    pub large_in_flight: usize,
    /// The maximum number of bytes of large documents in flight for one collection, unless `in_flight` documents exceed it.
    /// A command needs a few times the memory of its documents.
    pub large_bytes: usize,
    /// The number of documents that are sent before an event loop's iteration has finished.
    pub worthwhile: usize,
}

impl Limits {
    /// The limits of a client whose commands have up to so many bytes.
    pub const fn of_commands(bytes: usize) -> Self {
        Self {
            documents: 1_000,
            bytes,
            parallel_bytes: 128 * 1024,
            in_flight: 4,
            large: 32 * 1024,
            large_in_flight: 32,
            large_bytes: 16 * 1024 * 1024,
            worthwhile: 32,
        }
    }
}

/// How an insert is submitted: in an iteration of an event loop, in which more inserts may follow, or by a
/// caller that waits for its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// The first insert in an iteration of an event loop.
    FirstOfTurn,
    /// A further insert in an iteration of an event loop, which calls [`Flush::flush`] at its end.
    LaterInTurn,
    /// An insert of a thread that waits for the result.
    Blocking,
}

/// A client that queues inserts until the end of an event loop's iteration.
pub trait Flush: Send + Sync {
    /// Sends the queued inserts at the end of an iteration.
    fn flush(self: Arc<Self>, runtime: &Handle);
}

/// The maximum number of bytes in all queues. Above it, callers wait before they encode more.
pub const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// The result of a command.
pub enum SendOutcome {
    /// One result for all documents.
    Same(Result<()>),
    /// One result for each document, in their order.
    Each(Vec<Result<()>>),
}

/// Sends documents in batches.
pub trait SendBatch: Send + Sync + 'static {
    /// An encoded document.
    type Document: Send + 'static;
    /// The limits of its commands.
    const LIMITS: Limits;

    /// Returns the size of a document in bytes.
    fn size(document: &Self::Document) -> usize;

    /// Sends documents in one command.
    fn send(&self, namespace: &Namespace, documents: Vec<Self::Document>) -> impl Future<Output = SendOutcome> + Send;
}

/// The caller of an insert.
pub trait Completion: Send + 'static {
    /// Returns whether the caller still waits. A queued insert without a waiting caller is not sent.
    fn wanted(&self) -> bool;
    /// Passes the result to the caller. Returns the notification, which is sent together with others.
    fn complete(self: Box<Self>, result: Result<()>) -> Option<Wakeup>;
}

struct QueuedInsert<D> {
    /// Its sequence number among all inserts of the client.
    number: u64,
    document: D,
    caller: Box<dyn Completion>,
}

struct Queue<D> {
    queued: VecDeque<QueuedInsert<D>>,
    /// The size of the queued documents.
    bytes: usize,
    /// The number of commands in flight.
    in_flight: usize,
    /// Whether the queued inserts wait only because too many commands are in flight.
    due: bool,
}

impl<D> Queue<D> {
    /// Returns the average size of the queued documents.
    fn average(&self) -> usize {
        self.bytes / self.queued.len().max(1)
    }

    /// Returns how many more commands may be sent at the same time.
    fn free(&self, limits: &Limits) -> usize {
        let average = self.average();
        let most = match average >= limits.large {
            true => (limits.large_bytes / average).clamp(limits.in_flight, limits.large_in_flight),
            false => limits.in_flight,
        };
        most.saturating_sub(self.in_flight)
    }

    /// Returns the maximum number of bytes in the next command.
    fn command_bytes(&self, limits: &Limits) -> usize {
        if self.average() >= limits.large {
            return limits.parallel_bytes;
        }
        // This command and those that could still be sent share what is queued.
        self.bytes.div_ceil(self.free(limits) + 1).max(limits.parallel_bytes).min(limits.bytes)
    }
}

/// The documents of one command and their callers.
struct Batch<D> {
    documents: Vec<D>,
    callers: Vec<Box<dyn Completion>>,
    /// The sequence number of the last insert when the command was sent.
    submitted: u64,
}

struct State<D> {
    queues: HashMap<Arc<Namespace>, Queue<D>>,
    queued_bytes: usize,
    /// The number of inserts so far.
    submitted: u64,
    /// The number of finished commands.
    finished: u64,
}

/// The queued inserts of one client, by collection.
pub struct InsertQueue<C: SendBatch> {
    state: Mutex<State<C::Document>>,
    room: Notify,
}

impl<C: SendBatch> Default for InsertQueue<C> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State { queues: HashMap::new(), queued_bytes: 0, submitted: 0, finished: 0 }),
            room: Notify::new(),
        }
    }
}

impl<C: SendBatch + AsRef<InsertQueue<C>>> InsertQueue<C> {
    /// Submits an insert, whose caller is notified when it has finished. Returns whether the insert
    /// waits for [`Flush::flush`].
    pub fn insert(
        client: &Arc<C>,
        runtime: &Handle,
        namespace: &Arc<Namespace>,
        document: C::Document,
        caller: Box<dyn Completion>,
        submission: Submission,
    ) -> bool {
        let insert_queue: &Self = (**client).as_ref();
        let size = C::size(&document);
        let mut state = insert_queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.queued_bytes += size;
        state.submitted += 1;
        let number = state.submitted;
        if !state.queues.contains_key(namespace) {
            let queue = Queue { queued: VecDeque::new(), bytes: 0, in_flight: 0, due: false };
            state.queues.insert(Arc::clone(namespace), queue);
        }
        let Some(queue) = state.queues.get_mut(namespace) else { return false };
        queue.queued.push_back(QueuedInsert { number, document, caller });
        queue.bytes += size;
        let idle = queue.in_flight == 0 && submission == Submission::FirstOfTurn;
        let is_worthwhile = queue.queued.len() >= C::LIMITS.worthwhile || queue.bytes >= C::LIMITS.parallel_bytes;
        queue.due |= submission == Submission::Blocking || idle || is_worthwhile;
        if queue.due && queue.free(&C::LIMITS) > 0 {
            queue.in_flight += 1;
            drop(state);
            runtime.spawn(Self::send_all(Arc::clone(client), Arc::clone(namespace)));
            return false;
        }
        submission != Submission::Blocking
    }

    /// Sends the queued inserts, up to the maximum number of commands in flight.
    pub fn flush(client: &Arc<C>, runtime: &Handle) {
        let insert_queue: &Self = (**client).as_ref();
        let mut state = insert_queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, queue) in &mut state.queues {
            if queue.queued.is_empty() {
                continue;
            }
            queue.due = true;
            let wanted = queue.bytes.div_ceil(C::LIMITS.parallel_bytes);
            for _ in 0..wanted.min(queue.free(&C::LIMITS)) {
                queue.in_flight += 1;
                runtime.spawn(Self::send_all(Arc::clone(client), Arc::clone(namespace)));
            }
        }
    }

    /// Returns whether the queues hold so much that callers must wait before they encode more.
    pub fn is_full(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).queued_bytes >= MAX_QUEUED_BYTES
    }

    /// Waits until the queues are no longer full.
    pub async fn room(&self) {
        loop {
            let room = self.room.notified();
            if !self.is_full() {
                return;
            }
            room.await;
        }
    }

    /// Waits until all inserts have finished.
    ///
    /// # Errors
    /// `NetworkTimeout` if the server does not respond for [`DRAIN_TIME`].
    pub async fn drained(&self) -> Result<()> {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
        let mut progress = (0, Instant::now());
        loop {
            let (empty, finished) = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.queues.is_empty(), state.finished)
            };
            if empty {
                return Ok(());
            }
            if finished != progress.0 {
                progress = (finished, Instant::now());
            }
            if progress.1.elapsed() >= DRAIN_TIME {
                let seconds = DRAIN_TIME.as_secs();
                return Err(Error::new(
                    ErrorKind::NetworkTimeout,
                    format!("inserts are still pending, and the server has not responded for {seconds} s"),
                ));
            }
            sleep(PAUSE).await;
        }
    }

    /// Sends commands until the queue is empty.
    async fn send_all(client: Arc<C>, namespace: Arc<Namespace>) {
        let mut next = (*client).as_ref().next_batch(&namespace);
        while let Some(Batch { documents, mut callers, submitted }) = next {
            // Without this, a panic would block the queue, and its callers would wait forever.
            let sending = std::panic::AssertUnwindSafe(client.send(&namespace, documents));
            let outcome = futures_util::FutureExt::catch_unwind(sending).await.unwrap_or_else(|_| {
                let message = "a bug in connect-eaas-mongodb (an insert panicked): please report it";
                SendOutcome::Same(Err(Error::new(ErrorKind::InvalidOperation, message)))
            });
            let timeouts = [ErrorKind::ServerSelectionTimeout, ErrorKind::NetworkTimeout];
            if matches!(&outcome, SendOutcome::Same(Err(error)) if timeouts.contains(&error.kind)) {
                callers.extend((*client).as_ref().take_queued_before(&namespace, submitted));
            }
            (*client).as_ref().state.lock().unwrap_or_else(PoisonError::into_inner).finished += 1;
            // Send the next command first: callers that are notified may submit their next insert.
            next = (*client).as_ref().next_batch(&namespace);
            complete_all(callers, outcome);
        }
    }

    fn next_batch(&self, namespace: &Namespace) -> Option<Batch<C::Document>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = state.queues.get_mut(namespace)?;
        let (mut documents, mut callers) = (Vec::new(), Vec::new());
        let (mut bytes, mut freed) = (0, 0);
        let mut dropped = Vec::new();
        let limit = queue.command_bytes(&C::LIMITS);
        while let Some(next) = queue.queued.front().filter(|_| queue.due) {
            let size = C::size(&next.document);
            if !documents.is_empty() && (bytes + size > limit || documents.len() == C::LIMITS.documents) {
                break;
            }
            let Some(next) = queue.queued.pop_front() else { break };
            freed += size;
            queue.bytes -= size;
            if next.caller.wanted() {
                bytes += size;
                documents.push(next.document);
                callers.push(next.caller);
            } else {
                dropped.push(next);
            }
        }
        queue.due &= !queue.queued.is_empty();
        if documents.is_empty() {
            queue.in_flight -= 1;
            if queue.in_flight == 0 && queue.queued.is_empty() {
                state.queues.remove(namespace);
            }
        }
        let submitted = state.submitted;
        self.free(state, freed);
        (!documents.is_empty()).then_some(Batch { documents, callers, submitted })
    }

    /// Removes the inserts with sequence numbers up to `submitted`. If the server was not found, or
    /// did not respond, while they were queued, they fail with the same error instead of waiting for
    /// another timeout.
    fn take_queued_before(&self, namespace: &Namespace, submitted: u64) -> Vec<Box<dyn Completion>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = state.queues.get_mut(namespace) else { return Vec::new() };
        let (mut callers, mut freed) = (Vec::new(), 0);
        while queue.queued.front().is_some_and(|next| next.number <= submitted) {
            let Some(next) = queue.queued.pop_front() else { break };
            freed += C::size(&next.document);
            queue.bytes -= C::size(&next.document);
            callers.push(next.caller);
        }
        self.free(state, freed);
        callers
    }

    fn free(&self, mut state: MutexGuard<'_, State<C::Document>>, bytes: usize) {
        let was_full = state.queued_bytes >= MAX_QUEUED_BYTES;
        state.queued_bytes -= bytes;
        let is_full = state.queued_bytes >= MAX_QUEUED_BYTES;
        drop(state);
        if was_full && !is_full {
            self.room.notify_waiters();
        }
    }
}

fn complete_all(callers: Vec<Box<dyn Completion>>, outcome: SendOutcome) {
    let wakeups = match outcome {
        SendOutcome::Same(result) => callers.into_iter().filter_map(|caller| caller.complete(result.clone())).collect(),
        SendOutcome::Each(results) => {
            let mut results = results.into_iter();
            let missing = || Err(Error::new(ErrorKind::Protocol, "the server returned no result for the document"));
            callers.into_iter().filter_map(|caller| caller.complete(results.next().unwrap_or_else(missing))).collect()
        }
    };
    Wakeup::fire_all(wakeups);
}

/// The caller of an insert outside an event loop: a task of the runtime or a thread.
struct Awaited(tokio::sync::oneshot::Sender<Result<()>>);

impl Completion for Awaited {
    fn wanted(&self) -> bool {
        !self.0.is_closed()
    }

    fn complete(self: Box<Self>, result: Result<()>) -> Option<Wakeup> {
        drop(self.0.send(result));
        None
    }
}

/// Creates the caller of an insert outside an event loop, and the future of its result.
pub fn awaited() -> (Box<dyn Completion>, impl Future<Output = Result<()>> + Send) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let finished = async move {
        let missing =
            |_| Err(Error::new(ErrorKind::InvalidOperation, "the client was closed while the insert was queued"));
        receiver.await.unwrap_or_else(missing)
    };
    (Box::new(Awaited(sender)), finished)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// Submits an insert and waits for its result.
    async fn insert<C: SendBatch + AsRef<InsertQueue<C>>>(
        client: Arc<C>,
        namespace: Arc<Namespace>,
        document: C::Document,
    ) -> Result<()> {
        let (caller, finished) = awaited();
        (*client).as_ref().room().await;
        InsertQueue::insert(&client, &Handle::current(), &namespace, document, caller, Submission::Blocking);
        finished.await
    }

    #[derive(Default)]
    struct Server {
        insert_queue: InsertQueue<Self>,
        batches: Mutex<Vec<Vec<usize>>>,
        in_flight: AtomicUsize,
        max_in_flight: AtomicUsize,
        panics: bool,
    }

    impl AsRef<InsertQueue<Self>> for Server {
        fn as_ref(&self) -> &InsertQueue<Self> {
            &self.insert_queue
        }
    }

    impl SendBatch for Server {
        type Document = (usize, usize);
        const LIMITS: Limits = Limits {
            documents: 10,
            bytes: 1000,
            parallel_bytes: 400,
            in_flight: 2,
            large: 200,
            large_in_flight: 3,
            large_bytes: 1000,
            worthwhile: 5,
        };

        fn size(document: &(usize, usize)) -> usize {
            document.1
        }

        async fn send(&self, _: &Namespace, documents: Vec<(usize, usize)>) -> SendOutcome {
            let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            self.max_in_flight.fetch_max(in_flight, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            if self.panics {
                panic!("requested by the test");
            }
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            let numbers: Vec<_> = documents.iter().map(|document| document.0).collect();
            self.batches.lock().unwrap().push(numbers.clone());
            SendOutcome::Each(
                numbers
                    .into_iter()
                    .map(|number| match number % 7 {
                        0 => Err(Error::new(ErrorKind::DuplicateKey, number.to_string())),
                        _ => Ok(()),
                    })
                    .collect(),
            )
        }
    }

    fn namespace() -> Arc<Namespace> {
        Arc::new(Namespace::new("d", "c"))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_caller_receives_its_own_result_within_the_limits() {
        let server = Arc::new(Server::default());
        let namespace = namespace();
        let calls: Vec<_> = (0..500)
            .map(|number| tokio::spawn(insert(Arc::clone(&server), Arc::clone(&namespace), (number, 1 + number % 300))))
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            match call.await.unwrap() {
                Ok(()) => assert_ne!(number % 7, 0),
                Err(error) => assert_eq!(error.message, number.to_string()),
            }
        }
        let batches = server.batches.lock().unwrap();
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..500).collect::<Vec<_>>());
        assert!(batches.iter().all(|batch| batch.len() <= 10));
        assert!(batches.iter().all(|batch| batch.iter().map(|number| 1 + number % 300).sum::<usize>() <= 1000));
        assert!(batches.len() < 250, "{} batches: nothing was merged", batches.len());
        assert!((2..=3).contains(&server.max_in_flight.load(Ordering::SeqCst)));
        let state = server.insert_queue.state.lock().unwrap();
        assert_eq!((state.queued_bytes, state.queues.len()), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn large_documents_are_sent_by_themselves_in_parallel() {
        let server = Arc::new(Server::default());
        let namespace = namespace();
        let calls: Vec<_> = (1..30)
            .map(|number| tokio::spawn(insert(Arc::clone(&server), Arc::clone(&namespace), (7 * number + 1, 300))))
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert!(server.batches.lock().unwrap().iter().all(|batch| batch.len() == 1));
        assert_eq!(server.max_in_flight.load(Ordering::SeqCst), 3);
        let state = server.insert_queue.state.lock().unwrap();
        assert_eq!((state.queued_bytes, state.queues.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_cancelled_insert_is_not_sent() {
        let server = Arc::new(Server::default());
        let namespace = namespace();
        let calls: Vec<_> = (1..40)
            .map(|number| tokio::spawn(insert(Arc::clone(&server), Arc::clone(&namespace), (number, 1))))
            .collect();
        tokio::task::yield_now().await;
        for call in &calls[20..] {
            call.abort();
        }
        for call in calls {
            drop(call.await);
        }
        let sent = server.batches.lock().unwrap().concat();
        assert!((20..39).contains(&sent.len()), "{sent:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn callers_wait_while_the_queues_are_full() {
        let server = Arc::new(Server::default());
        let namespace = namespace();
        let size = MAX_QUEUED_BYTES / 4;
        let calls: Vec<_> = (1..30)
            .map(|number| tokio::spawn(insert(Arc::clone(&server), Arc::clone(&namespace), (number * 7 + 1, size))))
            .collect();
        let mut max = 0;
        while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
            max = max.max(server.insert_queue.state.lock().unwrap().queued_bytes);
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        for call in calls {
            call.await.unwrap().unwrap();
        }
        // Callers that found room at the same time may all have submitted an insert.
        assert!(max <= MAX_QUEUED_BYTES + 4 * size, "{max}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_becomes_an_error_of_its_callers() {
        let server = Arc::new(Server { panics: true, ..Server::default() });
        let namespace = namespace();
        for _ in 0..5 {
            let error = insert(Arc::clone(&server), Arc::clone(&namespace), (1, 1)).await.unwrap_err();
            assert!(error.message.contains("bug"), "{}", error.message);
        }
    }
}
