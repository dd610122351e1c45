//! The index from parties to the calls they take part in. A call is found by every number and
//! extension that any of its legs shows.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::leg::{CallSlot, LegSlot};
use crate::domain::number::{Number, PartyKey};

impl Fold {
    /// Makes the call known to everybody its new leg names.
    pub(super) fn index_leg(&mut self, slot: LegSlot) {
        let leg = &self.legs[slot];
        let call = leg.call;
        let own = leg
            .extension
            .as_ref()
            .map(|extension| PartyKey::of(extension.as_str()));
        let remote = leg.remote.key();
        if remote.is_none() && !self.calls[call].in_withheld {
            self.calls[call].in_withheld = true;
            self.withheld.push(call);
        }
        for key in own.into_iter().chain(remote) {
            if !self.calls[call].keys.contains(&key) {
                self.calls[call].keys.push(key);
                self.parties.entry(key).or_default().push(call);
            }
        }
    }

    /// Forgets the call.
    pub(super) fn unindex(&mut self, call: CallSlot) {
        for key in std::mem::take(&mut self.calls[call].keys) {
            if let Some(calls) = self.parties.get_mut(&key) {
                calls.retain(|other| *other != call);
                if calls.is_empty() {
                    self.parties.remove(&key);
                }
            }
        }
        if std::mem::take(&mut self.calls[call].in_withheld) {
            self.withheld.retain(|other| *other != call);
        }
    }

    /// The calls a party may take part in, the newest first. Those of another party with a similar
    /// number may be among them.
    pub(super) fn calls_of(&self, party: &Number) -> SmallVec<[CallSlot; 8]> {
        let list = match party.key() {
            Some(key) => self.parties.get(&key).map_or(&[][..], |calls| calls),
            None => &self.withheld,
        };
        list.iter().rev().copied().collect()
    }

    pub(super) fn calls_of_extension(&self, dial: &str) -> SmallVec<[CallSlot; 8]> {
        let calls = self
            .parties
            .get(&PartyKey::of(dial))
            .map_or(&[][..], |calls| calls);
        calls.iter().rev().copied().collect()
    }
}
