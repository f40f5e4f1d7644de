//! Fails pending calls when their client is closed or the interpreter exits, even if the
//! network never responds.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{EXIT_TIME, PING_TIME};

/// Tells the pending calls of a client that they must fail.
pub struct GivingUp(watch::Sender<bool>);

impl Default for GivingUp {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl GivingUp {
    /// Fails all pending and future calls.
    pub fn give_up(&self) {
        self.0.send_replace(true);
    }

    /// Awaits a call, or fails once [`GivingUp::give_up`] is called.
    pub fn until<T, F: Future<Output = Result<T>> + Send>(
        &self,
        call: F,
    ) -> impl Future<Output = Result<T>> + Send + use<T, F> {
        let mut given_up = self.0.subscribe();
        async move {
            tokio::select! {
                biased;
                result = call => result,
                Ok(_) = given_up.wait_for(|given_up| *given_up) => Err(Error::new(
                    ErrorKind::AutoReconnect,
                    "the server had not responded when the client was closed or the interpreter exited: the call may \
                     or may not have taken effect",
                )),
            }
        }
    }

    /// Gives up if the server leaves two consecutive pings unanswered while calls are pending.
    pub async fn at_exit(&self, is_reachable: impl FnMut() -> BoxFuture<'static, bool> + Send) {
        self.when_unresponsive(EXIT_TIME / PINGS, PING_TIME, is_reachable).await;
    }

    async fn when_unresponsive(
        &self,
        pause: Duration,
        ping_time: Duration,
        mut is_reachable: impl FnMut() -> BoxFuture<'static, bool> + Send,
    ) {
        let mut unanswered = 0;
        while unanswered < PINGS {
            sleep(pause).await;
            let is_pending = self.0.receiver_count() > 0;
            let responded = !is_pending || timeout(ping_time, is_reachable()).await.unwrap_or(false);
            unanswered = if responded { 0 } else { unanswered + 1 };
        }
        self.give_up();
    }
}

/// The number of consecutive unanswered pings after which pending calls fail.
const PINGS: u32 = 2;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn calls_fail_after_give_up() {
        let giving_up = GivingUp::default();
        assert_eq!(giving_up.until(ready(Ok(1))).await.unwrap(), 1);
        let pending_call = giving_up.until(pending::<Result<()>>());
        giving_up.give_up();
        assert_eq!(pending_call.await.unwrap_err().kind, ErrorKind::AutoReconnect);
        assert!(giving_up.until(pending::<Result<()>>()).await.is_err());
    }

    #[tokio::test]
    async fn at_exit_calls_fail_only_if_the_server_is_unresponsive() {
        let giving_up = GivingUp::default();
        let (forever, short) = (Duration::from_millis(200), Duration::from_millis(1));
        let pending_call = giving_up.until(pending::<Result<()>>());
        assert!(timeout(forever, giving_up.when_unresponsive(short, short, || ready(true).boxed())).await.is_err());
        let mut answers = [false, true, false, true].into_iter().cycle();
        assert!(
            timeout(forever, giving_up.when_unresponsive(short, short, move || ready(answers.next().unwrap()).boxed()))
                .await
                .is_err()
        );
        giving_up.when_unresponsive(short, short, || pending().boxed()).await;
        assert!(pending_call.await.is_err());
        assert!(
            timeout(forever, GivingUp::default().when_unresponsive(short, short, || ready(false).boxed()))
                .await
                .is_err()
        );
    }
}
