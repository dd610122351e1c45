//! Linking: links a new call to the last call of the same outside party within the link window.

use super::Fold;
use crate::domain::leg::{CallSlot, LegSlot, Side};
use crate::domain::link::{Confidence, Link, LinkKind};
use crate::domain::number::Number;
use crate::domain::time::At;

/// An earlier call of the same party.
struct Previous {
    call: CallSlot,
    ended: At,
    /// A phone of this site placed the call.
    from_site: bool,
    answered: bool,
}

impl Fold {
    /// Links a call that has just begun with `slot` to the last finished call of the same outside
    /// party.
    pub(super) fn link_to_previous(&mut self, call: CallSlot, slot: LegSlot) {
        let leg = &self.legs[slot];
        if leg.remote.is_withheld() || self.extensions.was_reported(leg.remote.dial(), leg.last) {
            return;
        }
        let Some(previous) = self.previous_call(call, &leg.remote, leg.started) else {
            return;
        };

        let from_site = leg.side == Side::Outgoing;
        let (kind, confidence, reason) = match (previous.from_site, from_site, previous.answered) {
            (false, false, false) => (
                LinkKind::Repeat,
                Confidence::Medium,
                "the same caller calls again after an unanswered call",
            ),
            (false, false, true) => (
                LinkKind::Repeat,
                Confidence::Low,
                "the same caller calls again after a conversation",
            ),
            (false, true, false) => (
                LinkKind::Callback,
                Confidence::High,
                "a missed caller is called back",
            ),
            (false, true, true) => (
                LinkKind::Callback,
                Confidence::Medium,
                "an earlier caller is called back",
            ),
            (true, false, _) => (
                LinkKind::Callback,
                Confidence::Medium,
                "a party that was called calls back",
            ),
            (true, true, _) => (
                LinkKind::Repeat,
                Confidence::Medium,
                "the same number is dialled again",
            ),
        };

        let link = Link {
            kind,
            call: self.calls[previous.call].id,
            confidence,
            reason,
        };
        self.calls[call].links.push(link);
    }

    fn previous_call(&self, call: CallSlot, party: &Number, at: At) -> Option<Previous> {
        let others = self
            .calls_of(party)
            .into_iter()
            .filter(|other| *other != call);
        let of_party = others.filter_map(|other| self.as_previous(other, party));
        let recent = of_party.filter(|previous| {
            previous.ended <= at && self.now - previous.ended <= self.policy.link_window
        });

        recent.max_by_key(|previous| (previous.ended, self.calls[previous.call].first))
    }

    fn as_previous(&self, call: CallSlot, party: &Number) -> Option<Previous> {
        if let Some(closed) = &self.calls[call].closed {
            return closed.party.same_party(party).then_some(Previous {
                call,
                ended: closed.ended,
                from_site: closed.from_site,
                answered: closed.answered,
            });
        }

        let reading = self.reading(call);
        let ended = reading.silent_since()?;
        let caller = reading
            .caller()
            .filter(|caller| caller.side == Side::Outgoing);
        let leg = caller.or_else(|| reading.first_callee())?;

        leg.remote.same_party(party).then(|| Previous {
            call,
            ended,
            from_site: caller.is_some(),
            answered: reading.has_conversation(),
        })
    }
}
