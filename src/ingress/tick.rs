//! Ticks: at a fixed interval the ingress promises that every request received so far is in the
//! journal before the tick. Only ticks move the watermark; decisions of the worker wait for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Ingress;
use crate::domain::time::{At, Span};
use crate::wire::message::{Message, Tick};

/// A wall clock that moves against the steady one by more than this between two ticks was set.
const JUMP_MIN: Span = Span::seconds(1);

/// Sends ticks until the stop. `alive` is called after each, whether it became durable or not.
pub async fn send_ticks(
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
                "the clock of this machine was set; instants of events never go back, and are as \
                 exact as the clock"
            );
        }

        let at = ingress.stamp.tick_instant();
        metrics::gauge!("cordboard_ingress_clock_ahead_seconds")
            .set(Duration::from_micros((at - now).0.max(0).unsigned_abs()).as_secs_f64());

        let tick = Tick {
            at,
            ingress: ingress.stamp.ingress,
            leaving: false,
        };
        // The journal logs its own failure; until the next durable tick the watermark stands still.
        let _ = ingress
            .intake
            .accept_tick(Message::Tick(tick).encode())
            .await;
        alive();
    }
}

/// Sends the last tick: no request follows until the ingress starts again, and the watermark need
/// not wait for it.
pub async fn send_last_tick(ingress: &Ingress) {
    let tick = Tick {
        at: ingress.stamp.tick_instant(),
        ingress: ingress.stamp.ingress,
        leaving: true,
    };

    // Without this tick the watermark waits a minute for the ingress; no call is lost.
    let _ = ingress
        .intake
        .accept_tick(Message::Tick(tick).encode())
        .await;
}

/// Compares the wall clock with the steady one, which only runs forward.
#[derive(Debug, Default)]
struct Clocks {
    /// Wall and steady time of the last comparison.
    last: Option<(At, Span)>,
}

impl Clocks {
    /// The span by which the wall clock was set since the last comparison.
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
