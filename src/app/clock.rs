//! The clock of workers and gateways beside others: that of their database, so that a machine whose
//! clock is wrong decides nothing wrongly for all.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::adapter::clock::FollowingClock;
use crate::domain::time::Span;
use crate::port::clock::{Clock, CommonClock};

const FOLLOW_EVERY: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// A reading that took longer says too little.
const READING_MAX: Duration = Duration::from_secs(1);
/// A difference that is reported: NTP keeps clocks much closer.
const REPORTED: Span = Span::seconds(2);

/// Reads the common clock once. Returns whether it answered.
pub(super) async fn follow_once(clock: &FollowingClock, common: &dyn CommonClock) -> bool {
    let asked = clock.steady();
    let Ok(Ok(now)) = timeout(READING_MAX, common.common_now()).await else {
        return false;
    };

    let ahead = clock.follow(now, asked);
    if ahead.0.abs() > REPORTED.0 {
        let seconds = ahead.0 / 1_000_000;
        tracing::warn!(
            seconds,
            "the clock of the database is ahead of this machine's (behind it, if negative); \
             workers and gateways go by the database. Keep the clocks by NTP"
        );
    }
    true
}

/// Follows the common clock until the stop.
pub(super) async fn follow(
    clock: Arc<FollowingClock>,
    common: Arc<dyn CommonClock>,
    stop: CancellationToken,
) {
    loop {
        let is_read = follow_once(&clock, common.as_ref()).await;
        let pause = if is_read { FOLLOW_EVERY } else { RETRY_EVERY };

        tokio::select! {
            () = sleep_until(Instant::now() + pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Does something that decides by time, once the clock was read.
pub(super) fn once_read<W: Future<Output = ()>>(
    is_read: &CancellationToken,
    stop: &CancellationToken,
    work: W,
) -> impl Future<Output = ()> + use<W> {
    let (is_read, stop) = (is_read.clone(), stop.clone());

    async move {
        tokio::select! {
            biased;
            () = is_read.cancelled() => work.await,
            () = stop.cancelled() => {}
        }
    }
}
