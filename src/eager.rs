//! Tasks that start in the calling thread.
//!
//! A spawned task first has to wake a thread of the runtime. A task of this module runs in the calling thread until it
//! waits for the first time, which usually means that its command has been sent. When it can continue, it becomes a task
//! of the runtime, on the thread that has received the reply: one thread switch less for each call.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task that was started by [`spawn_eagerly`].
pub struct EagerTask {
    runtime: Handle,
    state: Mutex<State>,
}

enum State {
    /// The calling thread runs it. Whether it can already continue.
    Starting {
        woken: bool,
    },
    /// It waits for the first time.
    Waiting(Work),
    /// The runtime runs it.
    Spawned(AbortHandle),
    Finished,
}

/// Runs `work` in this thread until it waits, and then on the runtime.
pub fn spawn_eagerly(runtime: &Handle, mut work: Work) -> Arc<EagerTask> {
    let state = Mutex::new(State::Starting { woken: false });
    let task = Arc::new(EagerTask { runtime: runtime.clone(), state });
    let _context = runtime.enter();
    let waker = Waker::from(Arc::clone(&task));
    match work.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(()) => *task.state() = State::Finished,
        Poll::Pending => {
            let mut state = task.state();
            *state = match *state {
                State::Starting { woken: false } => State::Waiting(work),
                _ => State::Spawned(runtime.spawn(work).abort_handle()),
            };
        }
    }
    task
}

impl EagerTask {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels the task.
    pub fn abort(&self) {
        let _context = self.runtime.enter();
        let state = std::mem::replace(&mut *self.state(), State::Finished);
        match state {
            State::Spawned(task) => task.abort(),
            waiting => drop(waiting),
        }
    }
}

impl Wake for EagerTask {
    fn wake(self: Arc<Self>) {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Finished) {
            State::Starting { .. } => *state = State::Starting { woken: true },
            State::Waiting(work) => *state = State::Spawned(self.runtime.spawn(work).abort_handle()),
            other => *state = other,
        }
    }
}

impl Drop for EagerTask {
    fn drop(&mut self) {
        // What the work owns may need the runtime when it is dropped.
        let _context = self.runtime.enter();
        *self.state() = State::Finished;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread::ThreadId;
    use std::time::Duration;
    use tokio::sync::oneshot;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    fn this_thread() -> ThreadId {
        std::thread::current().id()
    }

    #[test]
    fn work_that_does_not_wait_is_finished_in_the_calling_thread() {
        let runtime = runtime();
        let (sender, receiver) = channel();
        let task = spawn_eagerly(runtime.handle(), Box::pin(async move { sender.send(this_thread()).unwrap() }));
        assert_eq!(receiver.try_recv().unwrap(), this_thread());
        task.abort();
    }

    #[test]
    fn work_that_waits_continues_on_the_runtime() {
        let runtime = runtime();
        let ((sender, receiver), (go, gone)) = (channel(), oneshot::channel());
        let work = async move {
            sender.send(this_thread()).unwrap();
            gone.await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender.send(this_thread()).unwrap();
        };
        // Nothing but the waker keeps the task.
        drop(spawn_eagerly(runtime.handle(), Box::pin(work)));
        assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap(), this_thread());
        assert!(receiver.try_recv().is_err());
        go.send(()).unwrap();
        assert_ne!(receiver.recv_timeout(TIMEOUT).unwrap(), this_thread());
    }

    #[test]
    fn work_that_is_woken_before_it_waits_is_not_lost() {
        let runtime = runtime();
        for _ in 0..200 {
            let ((sender, receiver), (go, gone)) = (channel(), oneshot::channel());
            std::thread::spawn(move || go.send(()).unwrap());
            let work = async move {
                tokio::task::yield_now().await;
                gone.await.unwrap();
                sender.send(()).unwrap();
            };
            drop(spawn_eagerly(runtime.handle(), Box::pin(work)));
            receiver.recv_timeout(TIMEOUT).unwrap();
        }
    }

    #[test]
    fn aborted_work_is_dropped() {
        struct Dropped(Arc<AtomicUsize>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (runtime, count) = (runtime(), Arc::new(AtomicUsize::new(0)));
        for spawned in [false, true] {
            let (own, (go, gone), (started, has_started)) =
                (Dropped(Arc::clone(&count)), oneshot::channel(), channel());
            let work = async move {
                let _own = own;
                gone.await.unwrap();
                started.send(()).unwrap();
                std::future::pending::<()>().await;
            };
            let task = spawn_eagerly(runtime.handle(), Box::pin(work));
            if spawned {
                go.send(()).unwrap();
                has_started.recv_timeout(TIMEOUT).unwrap();
            }
            let before = count.load(Ordering::SeqCst);
            task.abort();
            let until = std::time::Instant::now() + TIMEOUT;
            while count.load(Ordering::SeqCst) == before && std::time::Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(count.load(Ordering::SeqCst), before + 1);
        }
    }
}
