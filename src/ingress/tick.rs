//! Time passing: every so often the ingress promises that everything received so far stands in the
//! journal. Decisions wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Ingress;
use crate::domain::time::{At, Span};
use crate::wire::message::{Message, Tick};

/// A clock that is further off than this from one moment to the next was set.
const JUMP_MIN: Span = Span::seconds(1);

/// Promises until the stop is asked for. `alive` hears of every promise that was answered, kept or
/// not.
pub async fn tick(
    ingress: Arc<Ingress>,
    every: Duration,
    stop: CancellationToken,
    alive: impl Fn() + Send,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clocks = Clocks::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = ingress.clock.now();
        if let Some(jump) = clocks.jump(now, ingress.clock.steady()) {
            metrics::counter!("cordboard_ingress_clock_jumps_total").increment(1);
            tracing::warn!(
                jump_ms = jump.0 / 1_000,
                "the clock of this machine was set; instants of events never go back, and are as true as the clock"
            );
        }
        // What cannot be kept is told by the journal: time stands still meanwhile.
        let promise = ingress.stamp.promise();
        metrics::gauge!("cordboard_ingress_clock_ahead_seconds")
            .set(Duration::from_micros((promise - now).0.max(0).unsigned_abs()).as_secs_f64());
        let tick = Tick {
            at: promise,
            ingress: ingress.stamp.ingress,
            leaving: false,
        };
        let _kept = ingress
            .intake
            .accept_tick(Message::Tick(tick).encode())
            .await;
        alive();
    }
}

/// The last promise: nothing more comes until the ingress is there again, and nobody need wait for
/// it.
pub async fn leave(ingress: &Ingress) {
    let tick = Tick {
        at: ingress.stamp.promise(),
        ingress: ingress.stamp.ingress,
        leaving: true,
    };
    // A promise that is not kept costs others a minute of waiting, and nobody a call.
    let _kept = ingress
        .intake
        .accept_tick(Message::Tick(tick).encode())
        .await;
}

/// The clock on the wall beside one that only ever runs on.
#[derive(Debug, Default)]
struct Clocks {
    last: Option<(At, Span)>,
}

impl Clocks {
    /// By how much the wall clock was set since this was last asked.
    fn jump(&mut self, wall: At, steady: Span) -> Option<Span> {
        let (wall_before, steady_before) = self.last.replace((wall, steady))?;
        let jump = Span((wall - wall_before).0 - (steady.0 - steady_before.0));
        (jump.0.abs() > JUMP_MIN.0).then_some(jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_and_one_that_drifts_is_not() {
        let mut clocks = Clocks::default();
        let mut ask = |wall_s: i64, steady_s: i64| {
            clocks
                .jump(At(wall_s * 1_000_000), Span::seconds(steady_s))
                .map(|jump| jump.0 / 1_000_000)
        };
        assert_eq!(ask(100_000, 0), None);
        assert_eq!(ask(100_001, 1), None);
        assert_eq!(ask(96_402, 2), Some(-3_600));
        assert_eq!(ask(96_403, 3), None);
        assert_eq!(ask(182_804, 4), Some(86_400));
        assert_eq!(ask(182_805, 6), None, "a second is drift");
    }
}
