//! Merging concurrent inserts.
//!
//! While a command is in flight, single inserts into the same collection that
//! arrive wait together and leave as one. With nothing in flight, an insert
//! leaves at once. What an event loop brings in within one turn leaves at the
//! turn's end, or as soon as there is a good batch of it: until the turn ends
//! the loop could not take a result anyway. No clock is involved. Each caller
//! gets its own result.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::driver::Namespace;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::DRAIN_TIME;
use crate::mailbox::Wakeup;

/// What bounds merging.
pub struct Limits {
    /// The most documents in one command.
    pub documents: usize,
    /// The most bytes in one command, unless one document alone has more.
    pub bytes: usize,
    /// The most commands in flight for one collection.
    pub in_flight: usize,
    /// As many documents as are worth a command before a loop's turn has ended.
    pub worthwhile: usize,
}

/// Whether more inserts may come from where this one came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// From an event loop, which has brought in nothing since it took results last.
    FirstOfTurn,
    /// From an event loop within its turn: it tells with [`Flush::flush`] when that ends.
    MayCome,
    /// From a thread, which waits for this one.
    No,
}

/// A client whose inserts wait for the end of a turn.
pub trait Flush: Send + Sync {
    /// The turn has ended: nothing that waits has a reason to.
    fn flush(self: Arc<Self>, runtime: &Handle);
}

/// The bytes that may wait in all before callers have to wait with theirs.
pub const MOST_BYTES_WAITING: usize = 64 * 1024 * 1024;

/// What came of a command.
pub enum Outcome {
    /// The same for all of its documents.
    Same(Result<()>),
    /// Something for each, in their order.
    Each(Vec<Result<()>>),
}

/// Something that sends documents, several in one command.
pub trait SendBatch: Send + Sync + 'static {
    /// A document on its way.
    type Document: Send + 'static;
    /// What bounds its commands.
    const LIMITS: Limits;

    /// The size of a document, in bytes.
    fn size(document: &Self::Document) -> usize;

    /// Sends documents as one command.
    fn send(&self, namespace: &Namespace, documents: Vec<Self::Document>) -> impl Future<Output = Outcome> + Send;
}

/// Whoever waits for an insert.
pub trait Settle: Send + 'static {
    /// Whether it still waits; what nobody waits for is not sent, unless it is in flight.
    fn wanted(&self) -> bool;
    /// Hands the result over; gives what tells of it, to be fired with others.
    fn settle(self: Box<Self>, result: Result<()>) -> Option<Wakeup>;
}

struct Waiting<D> {
    /// Its place among all that came.
    number: u64,
    document: D,
    caller: Box<dyn Settle>,
}

struct Queue<D> {
    waiting: VecDeque<Waiting<D>>,
    in_flight: usize,
    /// Whether what waits has no reason to wait, but for a place.
    due: bool,
}

/// What leaves as one command, and who waits for it.
struct Batch<D> {
    documents: Vec<D>,
    callers: Vec<Box<dyn Settle>>,
    /// How many inserts had come when it left.
    come: u64,
}

struct State<D> {
    queues: HashMap<Arc<Namespace>, Queue<D>>,
    bytes_waiting: usize,
    /// How many have come.
    come: u64,
    /// How many commands have ended.
    ended: u64,
}

/// The inserts of one client that wait, by collection.
pub struct Coalescer<C: SendBatch> {
    state: Mutex<State<C::Document>>,
    room: Notify,
}

impl<C: SendBatch> Default for Coalescer<C> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State { queues: HashMap::new(), bytes_waiting: 0, come: 0, ended: 0 }),
            room: Notify::new(),
        }
    }
}

impl<C: SendBatch + AsRef<Coalescer<C>>> Coalescer<C> {
    /// Takes an insert in. Its caller is told when it has ended. Gives whether
    /// it waits for a [`Flush::flush`].
    pub fn insert(
        client: &Arc<C>,
        runtime: &Handle,
        namespace: &Arc<Namespace>,
        document: C::Document,
        caller: Box<dyn Settle>,
        more: More,
    ) -> bool {
        let coalescer: &Self = (**client).as_ref();
        let size = C::size(&document);
        let mut state = coalescer.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes_waiting += size;
        state.come += 1;
        let number = state.come;
        if !state.queues.contains_key(namespace) {
            let queue = Queue { waiting: VecDeque::new(), in_flight: 0, due: false };
            state.queues.insert(Arc::clone(namespace), queue);
        }
        let Some(queue) = state.queues.get_mut(namespace) else { return false };
        queue.waiting.push_back(Waiting { number, document, caller });
        let idle = queue.in_flight == 0 && more == More::FirstOfTurn;
        queue.due |= more == More::No || idle || queue.waiting.len() >= C::LIMITS.worthwhile;
        if queue.due && queue.in_flight < C::LIMITS.in_flight {
            queue.in_flight += 1;
            drop(state);
            runtime.spawn(Self::send_all(Arc::clone(client), Arc::clone(namespace)));
            return false;
        }
        more != More::No
    }

    /// Sends what waits, as far as there are places.
    pub fn flush(client: &Arc<C>, runtime: &Handle) {
        let coalescer: &Self = (**client).as_ref();
        let mut state = coalescer.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, queue) in &mut state.queues {
            if queue.waiting.is_empty() {
                continue;
            }
            queue.due = true;
            if queue.in_flight < C::LIMITS.in_flight {
                queue.in_flight += 1;
                runtime.spawn(Self::send_all(Arc::clone(client), Arc::clone(namespace)));
            }
        }
    }

    /// Whether so much waits that callers should wait before they encode more.
    pub fn is_full(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes_waiting >= MOST_BYTES_WAITING
    }

    /// Waits until there is room.
    pub async fn room(&self) {
        loop {
            let room = self.room.notified();
            if !self.is_full() {
                return;
            }
            room.await;
        }
    }

    /// Waits until nothing waits and nothing is in flight.
    ///
    /// # Errors
    /// `NetworkTimeout` where the server answers nothing for [`DRAIN_TIME`].
    pub async fn drained(&self) -> Result<()> {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
        let mut seen = (0, Instant::now());
        loop {
            let (empty, ended) = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.queues.is_empty(), state.ended)
            };
            if empty {
                return Ok(());
            }
            if ended != seen.0 {
                seen = (ended, Instant::now());
            }
            if seen.1.elapsed() >= DRAIN_TIME {
                let seconds = DRAIN_TIME.as_secs();
                return Err(Error::new(
                    ErrorKind::NetworkTimeout,
                    format!("inserts are still on their way, and the server has answered none for {seconds} s"),
                ));
            }
            sleep(PAUSE).await;
        }
    }

    /// Sends until nothing waits.
    async fn send_all(client: Arc<C>, namespace: Arc<Namespace>) {
        let mut next = (*client).as_ref().next_batch(&namespace);
        while let Some(Batch { documents, mut callers, come }) = next {
            // A panic would leave its place taken and its callers waiting for ever.
            let sending = std::panic::AssertUnwindSafe(client.send(&namespace, documents));
            let outcome = futures_util::FutureExt::catch_unwind(sending).await.unwrap_or_else(|_| {
                let message = "a bug in connect-eaas-mongodb (an insert panicked): please report it";
                Outcome::Same(Err(Error::new(ErrorKind::InvalidOperation, message)))
            });
            let late = [ErrorKind::ServerSelectionTimeout, ErrorKind::NetworkTimeout];
            if matches!(&outcome, Outcome::Same(Err(error)) if late.contains(&error.kind)) {
                callers.extend((*client).as_ref().waited_since(&namespace, come));
            }
            (*client).as_ref().state.lock().unwrap_or_else(PoisonError::into_inner).ended += 1;
            // The place is free before its callers know, who may have their next insert ready.
            next = (*client).as_ref().next_batch(&namespace);
            settle(callers, outcome);
        }
    }

    fn next_batch(&self, namespace: &Namespace) -> Option<Batch<C::Document>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = state.queues.get_mut(namespace)?;
        let (mut documents, mut callers) = (Vec::new(), Vec::new());
        let (mut bytes, mut freed) = (0, 0);
        let mut dropped = Vec::new();
        while let Some(next) = queue.waiting.front().filter(|_| queue.due) {
            let size = C::size(&next.document);
            if !documents.is_empty() && (bytes + size > C::LIMITS.bytes || documents.len() == C::LIMITS.documents) {
                break;
            }
            let Some(next) = queue.waiting.pop_front() else { break };
            freed += size;
            if next.caller.wanted() {
                bytes += size;
                documents.push(next.document);
                callers.push(next.caller);
            } else {
                dropped.push(next);
            }
        }
        queue.due &= !queue.waiting.is_empty();
        if documents.is_empty() {
            queue.in_flight -= 1;
            if queue.in_flight == 0 && queue.waiting.is_empty() {
                state.queues.remove(namespace);
            }
        }
        let come = state.come;
        self.free(state, freed);
        (!documents.is_empty()).then_some(Batch { documents, callers, come })
    }

    /// Takes out all that has waited since before so many had come: for a
    /// server that was not found, or did not answer, in all that time there is
    /// no use in having each wait as long again.
    fn waited_since(&self, namespace: &Namespace, come: u64) -> Vec<Box<dyn Settle>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = state.queues.get_mut(namespace) else { return Vec::new() };
        let (mut callers, mut freed) = (Vec::new(), 0);
        while queue.waiting.front().is_some_and(|next| next.number <= come) {
            let Some(next) = queue.waiting.pop_front() else { break };
            freed += C::size(&next.document);
            callers.push(next.caller);
        }
        self.free(state, freed);
        callers
    }

    fn free(&self, mut state: MutexGuard<'_, State<C::Document>>, bytes: usize) {
        let was_full = state.bytes_waiting >= MOST_BYTES_WAITING;
        state.bytes_waiting -= bytes;
        let is_full = state.bytes_waiting >= MOST_BYTES_WAITING;
        drop(state);
        if was_full && !is_full {
            self.room.notify_waiters();
        }
    }
}

fn settle(callers: Vec<Box<dyn Settle>>, outcome: Outcome) {
    let wakeups = match outcome {
        Outcome::Same(result) => callers.into_iter().filter_map(|caller| caller.settle(result.clone())).collect(),
        Outcome::Each(results) => {
            let mut results = results.into_iter();
            let lost = || Err(Error::new(ErrorKind::Protocol, "the server did not say what became of the document"));
            callers.into_iter().filter_map(|caller| caller.settle(results.next().unwrap_or_else(lost))).collect()
        }
    };
    Wakeup::fire_all(wakeups);
}

/// An insert that a task of the runtime waits for, or a thread.
struct Awaited(tokio::sync::oneshot::Sender<Result<()>>);

impl Settle for Awaited {
    fn wanted(&self) -> bool {
        !self.0.is_closed()
    }

    fn settle(self: Box<Self>, result: Result<()>) -> Option<Wakeup> {
        drop(self.0.send(result));
        None
    }
}

/// A caller that waits outside an event loop, and what it waits for.
pub fn awaited() -> (Box<dyn Settle>, impl Future<Output = Result<()>> + Send) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let ended = async move {
        let lost = |_| Err(Error::new(ErrorKind::InvalidOperation, "the client was closed while the insert waited"));
        receiver.await.unwrap_or_else(lost)
    };
    (Box::new(Awaited(sender)), ended)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// Takes an insert in, and waits for its result.
    async fn insert<C: SendBatch + AsRef<Coalescer<C>>>(
        client: Arc<C>,
        namespace: Arc<Namespace>,
        document: C::Document,
    ) -> Result<()> {
        let (caller, ended) = awaited();
        (*client).as_ref().room().await;
        Coalescer::insert(&client, &Handle::current(), &namespace, document, caller, More::No);
        ended.await
    }

    #[derive(Default)]
    struct Server {
        coalescer: Coalescer<Self>,
        batches: Mutex<Vec<Vec<usize>>>,
        at_once: AtomicUsize,
        most_at_once: AtomicUsize,
        panics: bool,
    }

    impl AsRef<Coalescer<Self>> for Server {
        fn as_ref(&self) -> &Coalescer<Self> {
            &self.coalescer
        }
    }

    impl SendBatch for Server {
        type Document = (usize, usize);
        const LIMITS: Limits = Limits { documents: 10, bytes: 1000, in_flight: 2, worthwhile: 5 };

        fn size(document: &(usize, usize)) -> usize {
            document.1
        }

        async fn send(&self, _: &Namespace, documents: Vec<(usize, usize)>) -> Outcome {
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            if self.panics {
                panic!("as asked");
            }
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            let numbers: Vec<_> = documents.iter().map(|document| document.0).collect();
            self.batches.lock().unwrap().push(numbers.clone());
            Outcome::Each(
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
    async fn each_caller_gets_its_own_result_and_limits_hold() {
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
        assert_eq!(server.most_at_once.load(Ordering::SeqCst), 2);
        let state = server.coalescer.state.lock().unwrap();
        assert_eq!((state.bytes_waiting, state.queues.len()), (0, 0));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_sent() {
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
    async fn callers_wait_while_too_much_waits() {
        let server = Arc::new(Server::default());
        let namespace = namespace();
        let size = MOST_BYTES_WAITING / 4;
        let calls: Vec<_> = (1..30)
            .map(|number| tokio::spawn(insert(Arc::clone(&server), Arc::clone(&namespace), (number * 7 + 1, size))))
            .collect();
        let mut most = 0;
        while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
            most = most.max(server.coalescer.state.lock().unwrap().bytes_waiting);
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        for call in calls {
            call.await.unwrap().unwrap();
        }
        // Those that found room at the same moment may have come in together.
        assert!(most <= MOST_BYTES_WAITING + 4 * size, "{most}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_reaches_its_callers_as_an_error() {
        let server = Arc::new(Server { panics: true, ..Server::default() });
        let namespace = namespace();
        for _ in 0..5 {
            let error = insert(Arc::clone(&server), Arc::clone(&namespace), (1, 1)).await.unwrap_err();
            assert!(error.message.contains("bug"), "{}", error.message);
        }
    }
}
