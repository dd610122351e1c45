//! The watermark of a partition: the lowest of the last ticks of all ingresses. An ingress
//! that is silent for long is left out; its late facts correct earlier decisions.

use std::collections::BTreeMap;

use crate::domain::time::{At, Span};
use crate::wire::message::{IngressId, Tick};

/// An ingress this far behind the others is left out.
const SILENT: Span = Span::seconds(60);

/// The last tick of each ingress.
#[derive(Clone, Debug, Default)]
pub struct WatermarkTracker(BTreeMap<IngressId, At>);

impl WatermarkTracker {
    pub(super) fn new(ticks: BTreeMap<IngressId, At>) -> WatermarkTracker {
        WatermarkTracker(ticks)
    }

    pub(super) fn observe(&mut self, tick: &Tick) {
        // The last tick of an ingress that leaves still counts where it is the only one.
        if tick.leaving && self.0.len() > 1 {
            self.0.remove(&tick.ingress);
            return;
        }

        let last = self.0.entry(tick.ingress).or_insert(tick.at);
        *last = tick.at.max(*last);

        if let Some(newest) = self.0.values().copied().max() {
            self.0.retain(|_, at| *at >= newest - SILENT);
        }
    }

    pub(super) fn watermark(&self) -> Option<At> {
        self.0.values().copied().min()
    }

    pub(super) fn ticks(&self) -> &BTreeMap<IngressId, At> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(ingress: u128, second: i64) -> Tick {
        Tick {
            at: At(second * 1_000_000),
            ingress: IngressId(ingress),
            leaving: false,
        }
    }

    fn after(ticks: &[Tick]) -> Option<i64> {
        let mut tracker = WatermarkTracker::default();
        for tick in ticks {
            tracker.observe(tick);
        }
        tracker.watermark().map(|at| at.0 / 1_000_000)
    }

    #[test]
    fn time_passes_as_far_as_every_ingress_has_ticked() {
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[tick(1, 5)]), Some(5));
        assert_eq!(after(&[tick(1, 5), tick(2, 3)]), Some(3));
        assert_eq!(after(&[tick(1, 5), tick(2, 3), tick(1, 9)]), Some(3));
        assert_eq!(after(&[tick(1, 5), tick(2, 3), tick(2, 7)]), Some(5));
        assert_eq!(
            after(&[tick(1, 5), tick(1, 4)]),
            Some(5),
            "a tick is not taken back"
        );
    }

    #[test]
    fn a_silent_or_leaving_ingress_is_not_waited_for() {
        assert_eq!(after(&[tick(1, 5), tick(2, 3), tick(1, 63)]), Some(3));
        assert_eq!(after(&[tick(1, 5), tick(2, 3), tick(1, 64)]), Some(64));
        let leaving = Tick {
            leaving: true,
            ..tick(2, 4)
        };
        assert_eq!(after(&[tick(1, 5), tick(2, 3), leaving]), Some(5));
        assert_eq!(after(&[tick(2, 3), leaving]), Some(4), "the only ingress");
    }
}
