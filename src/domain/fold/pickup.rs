//! Pickup by feature code: the phone that takes the call never rang for it, it dialled a code.
//! Which call it took is told by the code itself, or by the phone that falls silent at that moment.

use super::Fold;
use crate::domain::call::Rule;
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role, Side};
use crate::domain::link::{Confidence, JoinKind};
use crate::domain::policy::Pickup;
use crate::domain::time::At;

/// A ringing leg that may have been picked up; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    evidence: Evidence,
    /// How far from the pickup the evidence lies.
    apart: i64,
    /// How far apart the two extensions are: pickup groups are neighbours.
    distance: u64,
    first: crate::domain::fact::FactKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// The phone stopped ringing at the moment of the pickup.
    FellSilent,
    /// The phone of the caller was connected at that moment.
    CallerConnected,
    /// It rings, and nothing speaks against it.
    Rings,
}

impl Fold {
    /// If this answered leg dialled a pickup code, it may be the answer of another call. Says
    /// whether it already became one.
    pub(super) fn try_pickup(&mut self, slot: LegSlot, at: At) -> bool {
        let leg = &self.legs[slot];
        if leg.pickup
            || leg.side == Side::Incoming
            || !matches!(leg.role, Role::Caller | Role::Callee | Role::Consult)
        {
            return false;
        }
        match self.policy.pickup(&leg.remote) {
            None => false,
            Some(Pickup::Any) => {
                self.schedule_review(leg.call, at + self.policy.pickup_evidence);
                false
            }
            Some(Pickup::Extension(dial)) => {
                let dial = dial.to_owned();
                match self.ringing_leg_of(&dial, slot, at) {
                    Some(ringing) => {
                        self.pick_up(
                            slot,
                            ringing,
                            Confidence::High,
                            "the code names the extension that rang",
                        );
                        true
                    }
                    None => false,
                }
            }
        }
    }

    /// Asked a moment after a bare pickup code was answered: which phone fell silent?
    pub(super) fn review_pickup(&mut self, call: CallSlot) -> bool {
        let dialled = |leg: &Leg| {
            leg.side != Side::Incoming
                && !leg.pickup
                && leg.answered.is_some()
                && self.policy.pickup(&leg.remote) == Some(Pickup::Any)
        };
        let Some(slot) = self.calls[call]
            .legs
            .iter()
            .copied()
            .find(|slot| dialled(&self.legs[*slot]))
        else {
            return false;
        };
        let Some(answered) = self.legs[slot].answered else {
            return false;
        };
        let candidates = self
            .legs
            .iter()
            .filter(|(other, leg)| self.could_be_picked_up(*other, leg, slot, answered));
        let best = candidates
            .map(|(other, _)| (self.fit(other, slot, answered), other))
            .min();
        let Some((fit, ringing)) = best else {
            return false;
        };
        let (confidence, reason) = match fit.evidence {
            Evidence::FellSilent => (
                Confidence::High,
                "the phone fell silent at the moment of the pickup",
            ),
            Evidence::CallerConnected => (
                Confidence::Medium,
                "its caller was connected at the moment of the pickup",
            ),
            Evidence::Rings => (
                Confidence::Low,
                "it rang at the moment of the pickup, and nothing speaks for another call",
            ),
        };
        self.pick_up(slot, ringing, confidence, reason);
        true
    }

    /// Phones that report no answer: one that dialled the code of this extension took the call when
    /// it fell silent.
    pub(super) fn picked_up_in_silence(&mut self, slot: LegSlot, at: At) {
        let Some(extension) = self.legs[slot].extension.clone() else {
            return;
        };
        let dials = |leg: &Leg, code: &str| {
            leg.remote.dial().strip_prefix(code) == Some(extension.as_str())
        };
        let recent = |leg: &Leg| {
            leg.is_pending()
                && leg.side == Side::Outgoing
                && at - leg.started <= self.policy.pickup_evidence
        };
        let mut found = None;
        for code in &self.policy.pickup_codes {
            let calls = self.calls_of_extension(&format!("{code}{extension}"));
            let legs = calls
                .iter()
                .flat_map(|call| self.calls[*call].legs.iter().copied());
            found = found.or_else(|| {
                legs.filter(|other| recent(&self.legs[*other]) && dials(&self.legs[*other], code))
                    .max_by_key(|other| self.legs[*other].first)
            });
        }
        let Some(taker) =
            found.filter(|taker| self.could_be_picked_up(slot, &self.legs[slot], *taker, at))
        else {
            return;
        };
        self.legs[taker].answered = Some(at);
        self.pick_up(
            taker,
            slot,
            Confidence::High,
            "the code names the extension that fell silent",
        );
    }

    fn could_be_picked_up(&self, other: LegSlot, leg: &Leg, by: LegSlot, answered: At) -> bool {
        let rang_then = matches!(leg.role, Role::Callee | Role::Target)
            && leg.side == Side::Incoming
            && leg.answered.is_none()
            && leg.started <= answered + self.policy.reorder
            && leg
                .ended
                .is_none_or(|ended| (ended - answered).abs() <= self.policy.pickup_evidence);
        rang_then
            && other != by
            && leg.device != self.legs[by].device
            && !self.is_past(leg.call)
            && self.nobody_answered_before(leg, answered)
    }

    fn nobody_answered_before(&self, ringing: &Leg, answered: At) -> bool {
        let reading = self.reading(ringing.call);
        let stale = reading.silent_since().is_none() && reading.stale_at() <= answered;
        let taken = match ringing.attempt {
            Some(index) => reading
                .targets(usize::from(index))
                .any(|leg| leg.answered.is_some()),
            None => reading.role(Role::Callee).any(|leg| leg.answered.is_some()),
        };
        !stale && !taken
    }

    fn fit(&self, ringing: LegSlot, by: LegSlot, answered: At) -> Fit {
        let leg = &self.legs[ringing];
        let caller = self
            .reading(leg.call)
            .caller()
            .and_then(|caller| caller.answered)
            .map(|connected| (connected - answered).abs());
        let (evidence, apart) = match (leg.ended, caller) {
            (Some(ended), _) => (Evidence::FellSilent, (ended - answered).abs()),
            (None, Some(apart)) if apart <= self.policy.pickup_evidence => {
                (Evidence::CallerConnected, apart)
            }
            _ => (Evidence::Rings, answered - leg.started),
        };
        let number = |leg: &Leg| {
            leg.extension
                .as_ref()
                .and_then(|own| own.as_str().parse::<u64>().ok())
        };
        let distance = match (number(leg), number(&self.legs[by])) {
            (Some(a), Some(b)) => a.abs_diff(b),
            _ => u64::MAX,
        };
        Fit {
            evidence,
            apart: apart.0,
            distance,
            first: leg.first,
        }
    }

    /// The leg of this extension that rings at `at`, or stopped ringing the moment before.
    fn ringing_leg_of(&self, dial: &str, by: LegSlot, at: At) -> Option<LegSlot> {
        let calls = self.calls_of_extension(dial);
        let legs = calls
            .iter()
            .flat_map(|call| self.calls[*call].legs.iter().copied());
        let ringing = legs.filter(|slot| {
            self.legs[*slot].is_extension(dial)
                && self.could_be_picked_up(*slot, &self.legs[*slot], by, at)
        });
        ringing.max_by_key(|slot| (self.legs[*slot].started, self.legs[*slot].first))
    }

    /// The answer moves into the call of the leg that was picked up, in its place.
    fn pick_up(
        &mut self,
        slot: LegSlot,
        ringing: LegSlot,
        confidence: Confidence,
        reason: &'static str,
    ) {
        let (call, role, attempt) = (
            self.legs[ringing].call,
            self.legs[ringing].role,
            self.legs[ringing].attempt,
        );
        self.legs[slot].pickup = true;
        self.legs[slot].joined = Some((JoinKind::Pickup, confidence, reason));
        self.move_leg(slot, call, role, attempt);
        self.retell(slot, Rule::PickedUp);
    }

    /// The last step of the leg was decided by another rule than it seemed.
    fn retell(&mut self, slot: LegSlot, rule: Rule) {
        let call = self.legs[slot].call;
        if let Some(step) = self.calls[call]
            .steps
            .iter_mut()
            .rev()
            .find(|step| step.leg == slot)
        {
            step.rule = rule;
        }
    }
}
