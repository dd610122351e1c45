//! Pickup by feature code: a phone that did not ring takes a ringing call by dialling a code.
//!
//! The code itself may name the ringing extension. A bare code does not; then the phone that stops
//! ringing at that moment identifies the call.

use super::Fold;
use crate::domain::call::Rule;
use crate::domain::fact::FactKey;
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role, Side};
use crate::domain::link::{Confidence, JoinKind};
use crate::domain::policy::Pickup;
use crate::domain::time::{At, Span};

/// When several calls ring at the pickup and nothing tells which one it took, the decision waits for
/// this time: the phones of the other calls answer or stop ringing by themselves.
const DOUBT_MAX: Span = Span::seconds(60);

/// The rank of a ringing leg as the picked-up leg; the smallest is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PickupRank {
    evidence: Evidence,
    /// The time between the pickup and the evidence, in microseconds.
    apart_micros: i64,
    /// The numeric distance of the two extensions: pickup groups usually have adjacent numbers.
    distance: u64,
    first: FactKey,
}

/// The evidence for a pickup, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// The phone stopped ringing at the moment of the pickup.
    FellSilent,
    /// The caller's phone was connected at that moment.
    CallerConnected,
    /// The phone rings, and no evidence excludes it.
    Rings,
}

impl Fold {
    /// Moves the answered leg into the call that it picked up, if the leg dialled a pickup code
    /// with an extension. A bare code schedules a review instead. Returns whether the leg was
    /// moved.
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
                let Some(ringing) = self.ringing_leg_of(&dial, slot, at) else {
                    return false;
                };
                if self.rings_for_several_calls(&dial, slot, at) {
                    self.schedule_review(self.legs[slot].call, at + self.policy.pickup_evidence);
                    return false;
                }

                let reason = "the code names the extension that rang";
                self.pick_up(slot, ringing, Confidence::High, reason);
                true
            }
        }
    }

    /// Resolves a pickup code that names no call, or an extension at which several calls ring, a
    /// moment after its answer: by the phone that stopped ringing then. Returns whether a leg was
    /// moved.
    pub(super) fn review_pickup(&mut self, call: CallSlot) -> bool {
        let dialled_code = |leg: &Leg| {
            leg.side != Side::Incoming
                && !leg.pickup
                && leg.answered.is_some()
                && self.policy.pickup(&leg.remote).is_some()
        };
        let Some(slot) = self.calls[call]
            .legs
            .iter()
            .copied()
            .find(|slot| dialled_code(&self.legs[*slot]))
        else {
            return false;
        };
        let Some(answered) = self.legs[slot].answered else {
            return false;
        };

        let named = match self.policy.pickup(&self.legs[slot].remote) {
            Some(Pickup::Extension(dial)) => Some(dial.to_owned()),
            _ => None,
        };
        let is_named = |leg: &Leg| named.as_ref().is_none_or(|dial| leg.has_extension(dial));
        let candidates = self.legs.iter().filter(|(other, leg)| {
            is_named(leg) && self.may_be_picked_up(*other, leg, slot, answered)
        });
        let mut ranked: Vec<(PickupRank, LegSlot)> = candidates
            .map(|(other, _)| (self.rank_pickup(other, slot, answered), other))
            .collect();
        ranked.sort_unstable();
        let Some((rank, ringing)) = ranked.first().copied() else {
            return false;
        };

        let is_doubtful = rank.evidence == Evidence::Rings
            && ranked
                .iter()
                .any(|(_, other)| self.legs[*other].call != self.legs[ringing].call);
        let again_at = self.now + self.policy.pickup_evidence;
        if is_doubtful && again_at <= answered + DOUBT_MAX && again_at <= self.calls[call].final_at
        {
            self.schedule_review(call, again_at);
            return false;
        }

        let (confidence, reason) = match rank.evidence {
            Evidence::FellSilent => (
                Confidence::High,
                "the phone fell silent at the moment of the pickup",
            ),
            Evidence::CallerConnected => (
                Confidence::Medium,
                "its caller was connected at the moment of the pickup",
            ),
            Evidence::Rings if named.is_some() && ranked.len() == 1 => (
                Confidence::High,
                "the code names the extension, and its other ring was another call",
            ),
            Evidence::Rings => (
                Confidence::Low,
                "it rang at the moment of the pickup, and nothing speaks for another call",
            ),
        };
        self.pick_up(slot, ringing, confidence, reason);
        true
    }

    /// Detects the pickup by a phone that reports no answer: it dialled the code of this extension,
    /// and the extension then stopped ringing.
    pub(super) fn detect_silent_pickup(&mut self, slot: LegSlot, at: At) {
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
            found.filter(|taker| self.may_be_picked_up(slot, &self.legs[slot], *taker, at))
        else {
            return;
        };

        // A ring that is refused in the same moment is no pickup: its taker hangs up then.
        self.schedule_review(self.legs[taker].call, at + self.policy.pickup_evidence);
    }

    /// Resolves a pickup by a phone that reports no answer: it still dials the code a moment after
    /// the extension fell silent. Returns whether a leg was moved.
    pub(super) fn review_silent_pickup(&mut self, call: CallSlot) -> bool {
        for slot in self.calls[call].legs.clone() {
            let leg = &self.legs[slot];
            if leg.pickup || !leg.is_pending() || leg.side != Side::Outgoing {
                continue;
            }
            let Some(Pickup::Extension(dial)) = self.policy.pickup(&leg.remote) else {
                continue;
            };

            let dial = dial.to_owned();
            let fell_silent = self
                .ringing_leg_of(&dial, slot, leg.started)
                .and_then(|ringing| Some((ringing, self.legs[ringing].ended?)));
            if let Some((ringing, ended)) = fell_silent {
                self.legs[slot].answered = Some(ended);
                let reason = "the code names the extension that fell silent";
                self.pick_up(slot, ringing, Confidence::High, reason);
                return true;
            }
        }

        false
    }

    /// Whether the phone of `taker`, answered at `answered`, may have picked up the leg `other`.
    fn may_be_picked_up(&self, other: LegSlot, leg: &Leg, taker: LegSlot, answered: At) -> bool {
        // A ring that only began a moment after the answer, and goes on, was not picked up.
        let latest = match leg.ended {
            Some(_) => answered + self.policy.reorder,
            None => answered,
        };
        let rang_then = matches!(leg.role, Role::Callee | Role::Target)
            && leg.side == Side::Incoming
            && leg.answered.is_none()
            && leg.started <= latest
            && leg
                .ended
                .is_none_or(|ended| (ended - answered).abs() <= self.policy.pickup_evidence);

        rang_then
            && other != taker
            && leg.device != self.legs[taker].device
            && !self.is_final(leg.call)
            && self.is_unanswered_at(leg, answered)
    }

    /// Whether the ringing leg's call (or transfer) is unanswered and was still live at the pickup.
    fn is_unanswered_at(&self, ringing: &Leg, answered: At) -> bool {
        let reading = self.reading(ringing.call);
        let stale = reading.silent_since().is_none() && reading.stale_at() <= answered;
        let was_answered = match ringing.attempt {
            Some(index) => reading
                .targets(usize::from(index))
                .any(|leg| leg.answered.is_some()),
            None => reading
                .legs_with_role(Role::Callee)
                .any(|leg| leg.answered.is_some()),
        };

        !stale && !was_answered
    }

    fn rank_pickup(&self, ringing: LegSlot, taker: LegSlot, answered: At) -> PickupRank {
        let leg = &self.legs[ringing];
        let caller_apart = self
            .reading(leg.call)
            .caller()
            .and_then(|caller| caller.answered)
            .map(|connected| (connected - answered).abs());
        let (evidence, apart) = match (leg.ended, caller_apart) {
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
        let distance = match (number(leg), number(&self.legs[taker])) {
            (Some(a), Some(b)) => a.abs_diff(b),
            _ => u64::MAX,
        };

        PickupRank {
            evidence,
            apart_micros: apart.0,
            distance,
            first: leg.first,
        }
    }

    /// Whether more than one call rings at this extension: the code does not say which it takes.
    fn rings_for_several_calls(&self, dial: &str, taker: LegSlot, at: At) -> bool {
        let rings = |call: &CallSlot| {
            self.calls[*call].legs.iter().any(|slot| {
                let leg = &self.legs[*slot];
                leg.has_extension(dial) && self.may_be_picked_up(*slot, leg, taker, at)
            })
        };

        self.calls_of_extension(dial)
            .iter()
            .filter(|call| rings(call))
            .nth(1)
            .is_some()
    }

    /// The leg of this extension that rings at `at`, or stopped ringing the moment before.
    fn ringing_leg_of(&self, dial: &str, taker: LegSlot, at: At) -> Option<LegSlot> {
        let calls = self.calls_of_extension(dial);
        let legs = calls
            .iter()
            .flat_map(|call| self.calls[*call].legs.iter().copied());
        let ringing = legs.filter(|slot| {
            self.legs[*slot].has_extension(dial)
                && self.may_be_picked_up(*slot, &self.legs[*slot], taker, at)
        });

        // Of two rings the one that fell silent in that moment.
        ringing.max_by_key(|slot| {
            let leg = &self.legs[*slot];
            (leg.ended.is_some(), leg.started, leg.first)
        })
    }

    /// Moves the answering leg into the call of the picked-up leg, with the same role.
    fn pick_up(
        &mut self,
        slot: LegSlot,
        ringing: LegSlot,
        confidence: Confidence,
        reason: &'static str,
    ) {
        let call = self.legs[ringing].call;
        let role = self.legs[ringing].role;
        let attempt = self.legs[ringing].attempt;

        self.legs[slot].pickup = true;
        self.legs[slot].joined = Some((JoinKind::Pickup, confidence, reason));
        self.move_leg(slot, call, role, attempt);
        self.correct_last_rule(slot, Rule::PickedUp);
    }

    /// Corrects the rule of the leg's last trace entry.
    fn correct_last_rule(&mut self, slot: LegSlot, rule: Rule) {
        let call = self.legs[slot].call;
        if let Some(entry) = self.calls[call]
            .trace
            .iter_mut()
            .rev()
            .find(|entry| entry.leg == slot)
        {
            entry.rule = rule;
        }
    }
}
