//! The watermark of a partition: the lowest of the last ticks of all ingresses. An ingress
//! that is silent for long is left out; its late facts correct earlier decisions.

use std::collections::BTreeMap;

use crate::domain::time::{At, Span};
use crate::wire::message::{IngressId, Tick};

/// An ingress this far behind the others is left out.
const SILENT: Span = Span::seconds(60);
/// Ingresses that are registered at most: no service has so many.
const INGRESSES_MAX: usize = 1_024;

/// The last ticks of the ingresses.
///
/// Registered ingresses are those of which the partition has an event or a stored tick, and those
/// that are configured. While one of them ticks, only they count: the tick of any other would be
/// the word of a stranger, which could let time pass or hold it back. Before that, in a partition
/// whose events come from other programs alone, strangers are all there is; and again when all
/// registered ingresses are silent, since a dead ingress must not stop the time of the others.
#[derive(Clone, Debug, Default)]
pub struct WatermarkTracker {
    registered: BTreeMap<IngressId, At>,
    strangers: BTreeMap<IngressId, At>,
}

impl WatermarkTracker {
    /// The ticks that were stored, and ingresses that are registered by configuration.
    pub(super) fn new(
        ticks: BTreeMap<IngressId, At>,
        configured: &[IngressId],
    ) -> WatermarkTracker {
        let mut tracker = WatermarkTracker {
            registered: ticks,
            strangers: BTreeMap::new(),
        };
        // A tick without a name is that of the only ingress of a process without a broker.
        if !configured.contains(&IngressId::default()) {
            tracker.registered.remove(&IngressId::default());
        }
        for ingress in configured {
            tracker.register(*ingress);
        }

        tracker
    }

    /// Registers an ingress by its own event. Its events up to this instant may still be under way,
    /// so it counts from its next tick on.
    pub(super) fn register(&mut self, ingress: IngressId) {
        if self.registered.len() >= INGRESSES_MAX && !self.registered.contains_key(&ingress) {
            // Forged events may name any number of ingresses. Those never tick, and make room.
            let forged = self.registered.iter().find(|(_, at)| **at == At::START);
            let Some(forged) = forged.map(|(forged, _)| *forged) else {
                return;
            };
            self.registered.remove(&forged);
        }

        self.registered.entry(ingress).or_insert(At::START);
    }

    pub(super) fn knows(&self, ingress: IngressId) -> bool {
        self.registered.contains_key(&ingress)
    }

    /// Whether an ingress with an id is registered, as on servers.
    pub(super) fn knows_named_ingress(&self) -> bool {
        self.registered
            .keys()
            .any(|ingress| *ingress != IngressId::default())
    }

    /// Returns whether the tick counts. It counts up to `latest`: an ingress whose clock is ahead,
    /// or a forger, lets no time pass that has not passed here, and makes no other ingress silent.
    pub(super) fn observe(&mut self, tick: &Tick, latest: At) -> bool {
        let tick = &Tick {
            at: tick.at.min(latest),
            ..*tick
        };
        if self.registered.contains_key(&tick.ingress) {
            update(&mut self.registered, tick);
            self.strangers.clear();
            return true;
        }
        if self
            .newest_registered()
            .is_some_and(|newest| tick.at <= newest + SILENT)
        {
            return false;
        }

        update(&mut self.strangers, tick);
        while self.strangers.len() > INGRESSES_MAX {
            self.strangers.pop_first();
        }

        true
    }

    /// The lowest of the last ticks that count.
    pub(super) fn watermark(&self) -> Option<At> {
        // A tick of a registered ingress has ended the word of strangers.
        let of_strangers = self.strangers.values().copied().min();

        of_strangers.or_else(|| self.ticked().map(|(_, at)| at).min())
    }

    fn newest_registered(&self) -> Option<At> {
        self.ticked().map(|(_, at)| at).max()
    }

    /// The last tick of each registered ingress that has ticked.
    pub(super) fn ticks(&self) -> BTreeMap<IngressId, At> {
        self.ticked().collect()
    }

    fn ticked(&self) -> impl Iterator<Item = (IngressId, At)> {
        self.registered
            .iter()
            .map(|(ingress, at)| (*ingress, *at))
            .filter(|(_, at)| *at != At::START)
    }
}

/// Updates the last tick of an ingress, and drops ingresses that have left or are silent.
fn update(last_ticks: &mut BTreeMap<IngressId, At>, tick: &Tick) {
    let last = last_ticks.entry(tick.ingress).or_insert(tick.at);
    *last = tick.at.max(*last);

    // The last tick of an ingress that leaves still counts where it is the only one.
    if tick.leaving && last_ticks.len() > 1 {
        last_ticks.remove(&tick.ingress);
        return;
    }
    if let Some(newest) = last_ticks.values().copied().max() {
        last_ticks.retain(|_, at| *at >= newest - SILENT || *at == At::START);
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
        let mut tracker = WatermarkTracker::new(BTreeMap::new(), &[IngressId(1), IngressId(2)]);
        for tick in ticks {
            assert!(tracker.observe(tick, At::END));
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
    fn an_ingress_counts_however_many_were_forged_before_it() {
        let mut tracker = WatermarkTracker::new(BTreeMap::new(), &[]);
        for forged in 0..5_000 {
            tracker.register(IngressId(1_000 + forged));
        }
        tracker.register(IngressId(1));

        assert!(tracker.observe(&tick(1, 5), At::END));
        assert!(tracker.registered.len() <= INGRESSES_MAX);
        assert!(!tracker.observe(&tick(2, 3), At::END), "a stranger");
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
    }

    #[test]
    fn the_last_tick_of_the_only_ingress_counts() {
        let leaving = Tick {
            leaving: true,
            ..tick(2, 4)
        };
        let mut tracker = WatermarkTracker::new(BTreeMap::new(), &[IngressId(2)]);

        tracker.observe(&tick(2, 3), At::END);
        tracker.observe(&leaving, At::END);
        assert_eq!(tracker.watermark(), Some(At(4_000_000)));
    }

    #[test]
    fn a_stranger_neither_moves_time_nor_holds_it_back() {
        let mut tracker = WatermarkTracker::new(BTreeMap::new(), &[]);
        tracker.register(IngressId(1));
        assert!(tracker.observe(&tick(1, 100), At::END));

        // The clock of this machine bounds what a stranger says.
        let now = At(101_000_000);
        for second in [1, 99, 101, 1_000_000] {
            assert!(!tracker.observe(&tick(9, second), now));
            assert_eq!(tracker.watermark(), Some(At(100_000_000)));
        }

        // With an event of its own it is no stranger any more.
        tracker.register(IngressId(9));
        assert_eq!(
            tracker.watermark(),
            Some(At(100_000_000)),
            "before its tick"
        );
        assert!(tracker.observe(&tick(9, 99), At::END));
        assert_eq!(tracker.watermark(), Some(At(99_000_000)));
    }

    #[test]
    fn a_dead_ingress_does_not_stop_the_time_of_the_others() {
        let mut tracker = WatermarkTracker::new(BTreeMap::new(), &[]);
        tracker.register(IngressId(1));
        assert!(tracker.observe(&tick(1, 100), At::END));

        assert!(!tracker.observe(&tick(2, 160), At::END), "still waited for");
        assert!(tracker.observe(&tick(2, 161), At::END));
        assert_eq!(tracker.watermark(), Some(At(161_000_000)));
        assert!(tracker.observe(&tick(1, 170), At::END), "it is back");
        assert_eq!(tracker.watermark(), Some(At(170_000_000)));
        assert!(!tracker.observe(&tick(2, 171), At::END));
    }

    #[test]
    fn a_tick_without_a_name_counts_only_where_it_is_configured() {
        let stored = || BTreeMap::from([(IngressId::default(), At(50_000_000))]);

        let embedded = WatermarkTracker::new(stored(), &[IngressId::default()]);
        assert_eq!(embedded.watermark(), Some(At(50_000_000)));

        let mut servers = WatermarkTracker::new(stored(), &[]);
        assert_eq!(servers.watermark(), None);
        servers.register(IngressId(1));
        assert!(servers.observe(&tick(1, 100), At::END));
        assert!(!servers.observe(&tick(0, 60), At::END));
        assert_eq!(servers.watermark(), Some(At(100_000_000)));
    }

    #[test]
    fn without_a_registered_ingress_strangers_let_time_pass() {
        let mut tracker = WatermarkTracker::new(BTreeMap::new(), &[IngressId(1)]);
        assert!(tracker.observe(&tick(8, 100), At::END));
        assert!(tracker.observe(&tick(9, 99), At::END));
        assert_eq!(tracker.watermark(), Some(At(99_000_000)));
        assert!(tracker.ticks().is_empty(), "they are not stored");

        assert!(tracker.observe(&tick(1, 90), At::END));
        assert_eq!(tracker.watermark(), Some(At(90_000_000)));
        assert!(!tracker.observe(&tick(8, 101), At::END));
    }

    #[test]
    fn the_number_of_ingresses_is_bounded() {
        let mut tracker = WatermarkTracker::default();
        for ingress in 0..10_000 {
            tracker.register(IngressId(ingress));
        }

        assert_eq!(tracker.registered.len(), INGRESSES_MAX);
        for ingress in 20_000..30_000 {
            tracker.observe(&tick(ingress, 5), At::END);
        }
        assert_eq!(tracker.strangers.len(), INGRESSES_MAX);
    }
}
