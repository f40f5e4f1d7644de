//! Calls that end although the network does not let them: where their client
//! is closed, and where the interpreter ends.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{EXIT_TIME, PING_TIME};

/// Whether a client has given its calls up, and which calls would have to know.
pub struct GivingUp(watch::Sender<bool>);

impl Default for GivingUp {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl GivingUp {
    /// Has calls under way fail, and those that are made from now on.
    pub fn give_up(&self) {
        self.0.send_replace(true);
    }

    /// The result of a call, or an error once its client gives up.
    pub fn until<T, F: Future<Output = Result<T>> + Send>(
        &self,
        call: F,
    ) -> impl Future<Output = Result<T>> + Send + use<T, F> {
        let mut given_up = self.0.subscribe();
        async move {
            tokio::select! {
                biased;
                ended = call => ended,
                Ok(_) = given_up.wait_for(|given_up| *given_up) => Err(Error::new(
                    ErrorKind::AutoReconnect,
                    "the server had not answered when the client was closed or the interpreter ended: it is not known \
                     whether the call had an effect",
                )),
            }
        }
    }

    /// Gives up if calls are under way while the server leaves two pings in a row unanswered.
    pub async fn at_exit(&self, is_there: impl FnMut() -> BoxFuture<'static, bool> + Send) {
        self.if_silent(EXIT_TIME / PINGS, PING_TIME, is_there).await;
    }

    async fn if_silent(
        &self,
        pause: Duration,
        ping_time: Duration,
        mut is_there: impl FnMut() -> BoxFuture<'static, bool> + Send,
    ) {
        let mut unanswered = 0;
        while unanswered < PINGS {
            sleep(pause).await;
            let under_way = self.0.receiver_count() > 0;
            let answered = !under_way || timeout(ping_time, is_there()).await.unwrap_or(false);
            unanswered = if answered { 0 } else { unanswered + 1 };
        }
        self.give_up();
    }
}

/// How many pings in a row have to be left unanswered.
const PINGS: u32 = 2;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn calls_fail_once_they_are_given_up() {
        let giving_up = GivingUp::default();
        assert_eq!(giving_up.until(ready(Ok(1))).await.unwrap(), 1);
        let hanging = giving_up.until(pending::<Result<()>>());
        giving_up.give_up();
        assert_eq!(hanging.await.unwrap_err().kind, ErrorKind::AutoReconnect);
        assert!(giving_up.until(pending::<Result<()>>()).await.is_err());
    }

    #[tokio::test]
    async fn at_exit_calls_are_given_up_only_if_nothing_is_answered() {
        let giving_up = GivingUp::default();
        let (forever, short) = (Duration::from_millis(200), Duration::from_millis(1));
        let hanging = giving_up.until(pending::<Result<()>>());
        assert!(timeout(forever, giving_up.if_silent(short, short, || ready(true).boxed())).await.is_err());
        let mut answers = [false, true, false, true].into_iter().cycle();
        assert!(
            timeout(forever, giving_up.if_silent(short, short, move || ready(answers.next().unwrap()).boxed()))
                .await
                .is_err()
        );
        giving_up.if_silent(short, short, || pending().boxed()).await;
        assert!(hanging.await.is_err());
        assert!(timeout(forever, GivingUp::default().if_silent(short, short, || ready(false).boxed())).await.is_err());
    }
}
