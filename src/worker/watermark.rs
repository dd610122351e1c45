//! How far time has passed for a partition: as far as every ingress has promised. One that says
//! nothing for long is left out; what it brings later is late, and corrects what was decided
//! without it.

use std::collections::BTreeMap;

use crate::domain::time::{At, Span};
use crate::wire::message::{IngressId, Tick};

/// An ingress so far behind the others is left out.
const SILENT: Span = Span::seconds(60);

/// The last promise of each ingress.
#[derive(Clone, Debug, Default)]
pub(super) struct WatermarkTracker(pub BTreeMap<IngressId, At>);

impl WatermarkTracker {
    pub(super) fn observe(&mut self, tick: &Tick) {
        if tick.leaving {
            // Its last word still counts for itself: alone, it has promised up to here.
            if self.0.len() > 1 {
                self.0.remove(&tick.ingress);
                return;
            }
        }
        let last = self.0.entry(tick.ingress).or_insert(tick.at);
        *last = tick.at.max(*last);
        let newest = self.newest();
        self.0
            .retain(|_, at| newest.is_none_or(|newest| *at >= newest - SILENT));
    }

    fn newest(&self) -> Option<At> {
        self.0.values().copied().max()
    }

    pub(super) fn watermark(&self) -> Option<At> {
        self.0.values().copied().min()
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
        let mut promises = WatermarkTracker::default();
        for tick in ticks {
            promises.observe(tick);
        }
        promises.watermark().map(|at| at.0 / 1_000_000)
    }

    #[test]
    fn time_passes_as_far_as_every_ingress_has_promised() {
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[tick(1, 5)]), Some(5));
        assert_eq!(after(&[tick(1, 5), tick(2, 3)]), Some(3));
        assert_eq!(after(&[tick(1, 5), tick(2, 3), tick(1, 9)]), Some(3));
        assert_eq!(after(&[tick(1, 5), tick(2, 3), tick(2, 7)]), Some(5));
        assert_eq!(
            after(&[tick(1, 5), tick(1, 4)]),
            Some(5),
            "a promise is not taken back"
        );
    }

    #[test]
    fn one_that_says_nothing_for_a_minute_or_leaves_is_not_waited_for() {
        assert_eq!(after(&[tick(1, 5), tick(2, 3), tick(1, 63)]), Some(3));
        assert_eq!(after(&[tick(1, 5), tick(2, 3), tick(1, 64)]), Some(64));
        let leaving = Tick {
            leaving: true,
            ..tick(2, 4)
        };
        assert_eq!(after(&[tick(1, 5), tick(2, 3), leaving]), Some(5));
        assert_eq!(
            after(&[tick(2, 3), leaving]),
            Some(4),
            "the last one there is"
        );
    }
}
