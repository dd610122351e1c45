//! Beginning and ending: what the service manager is told, and the two ways to stop.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long the worker may take after the stop to read what was received before it.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a transaction under way may take after the hard stop.
const GRACE: Duration = Duration::from_millis(500);

/// Two wishes: finish what is under way and end; end now.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    pub soft: CancellationToken,
    pub hard: CancellationToken,
}

impl Stop {
    /// The first call asks to finish, the second to end now.
    pub fn ask(&self) {
        if self.soft.is_cancelled() {
            self.hard.cancel();
        }
        self.soft.cancel();
    }

    /// Waits for the end of what does not end by itself, or for the soft stop; `None` when it was
    /// asked to end, which it may have been in the very moment in which it was looked at.
    pub(super) async fn run_until_stopped<T>(&self, ending: impl Future<Output = T>) -> Option<T> {
        let ended = tokio::select! {
            biased;
            () = self.soft.cancelled() => None,
            ended = ending => Some(ended),
        };
        ended.filter(|_| !self.soft.is_cancelled())
    }

    /// A moment after the hard stop.
    pub(super) async fn hard_stop_grace(&self) {
        self.hard.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }

    /// After the soft stop: waits for so long, then stops hard.
    pub(super) async fn drain_deadline(self) {
        self.soft.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(DRAIN) => {
                tracing::warn!("not everything received has been worked on; the rest follows at the next start");
                self.hard.cancel();
            }
            () = self.hard.cancelled() => {}
        }
    }
}

/// Waits for the end of a part. One that has ended may have been waited for already, which can be
/// done only once.
pub(super) async fn end_of(part: JoinHandle<()>) {
    if !part.is_finished() {
        let _ended = part.await;
    }
}

pub(super) fn ready() {
    // Without a service manager there is nobody to tell.
    let _told = sd_notify::notify(&[NotifyState::Ready]);
}

pub(super) fn stopping() {
    let _told = sd_notify::notify(&[NotifyState::Stopping]);
}

/// Tells the service manager that the process works, if it asked to be told.
pub(super) fn watchdog() -> impl Fn() + Send {
    let asked = sd_notify::watchdog_enabled().is_some();
    move || {
        if asked {
            let _told = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_ends_because_of_the_stop_was_asked_to() {
        let stop = Stop::default();
        assert_eq!(
            stop.run_until_stopped(async { "the worker" }).await,
            Some("the worker")
        );
        let asked_while_it_was_looked_at = async {
            stop.ask();
            "the worker"
        };
        assert_eq!(
            stop.run_until_stopped(asked_while_it_was_looked_at).await,
            None
        );
        assert_eq!(
            stop.run_until_stopped(std::future::pending::<()>()).await,
            None
        );
    }

    #[tokio::test]
    async fn the_end_of_a_part_can_be_waited_for_again() {
        let mut part = tokio::spawn(async {});
        (&mut part).await.unwrap();
        end_of(part).await;
    }
}
