//! Waiting in tests: a deadline, a message that says what was awaited and what was seen last, and
//! no spinning.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// Long enough for anything that is going to happen on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// A count that does not grow for so long will not grow any more: something is lost.
pub const STALLED: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `probe` succeeds, and returns its value.
///
/// # Panics
/// With what was awaited and the last error of `probe`, when `within` has passed.
pub async fn eventually<T>(
    within: Duration,
    awaited: &str,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + within;
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_seen = "nothing yet".to_owned();

    loop {
        looks.tick().await;

        let Ok(seen) = timeout_at(deadline, probe()).await else {
            panic!("{awaited}: no answer within {within:?}; last seen: {last_seen}");
        };
        match seen {
            Ok(value) => return value,
            Err(seen) => last_seen = seen,
        }

        assert!(
            Instant::now() < deadline,
            "{awaited}: not within {within:?}; last seen: {last_seen}"
        );
    }
}

/// Looks until `count` reaches `expected`. The deadline moves on with every step of progress, so
/// that a large backlog has its time and a lost event fails soon.
///
/// # Panics
/// With `missing()`, when the count has not grown for `within`.
pub async fn eventually_count(
    within: Duration,
    awaited: &str,
    expected: usize,
    mut count: impl AsyncFnMut() -> usize,
    missing: impl AsyncFnOnce() -> String,
) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deadline = Instant::now() + within;
    let mut last_seen = 0;

    loop {
        looks.tick().await;

        let seen = timeout_at(deadline, count()).await.unwrap_or(last_seen);
        if seen >= expected {
            return;
        }
        if seen > last_seen {
            deadline = Instant::now() + within;
        }
        last_seen = seen;

        if Instant::now() >= deadline {
            let missing = missing().await;
            panic!("{awaited}: {seen} of {expected}, no progress for {within:?}; {missing}");
        }
    }
}

/// Waits for `future`, at most `within`.
///
/// # Panics
/// With what was awaited, when it takes longer.
pub async fn within<T>(within: Duration, awaited: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(within, future)
        .await
        .unwrap_or_else(|_| panic!("{awaited}: not within {within:?}"))
}
