//! The index from parties to their calls. Every number and extension that any leg of a call
//! displays leads to the call.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::leg::{CallSlot, LegSlot};
use crate::domain::number::{Number, PartyKey};

impl Fold {
    /// Lists the call under the parties of its new leg.
    pub(super) fn index_leg(&mut self, slot: LegSlot) {
        let leg = &self.legs[slot];
        let call = leg.call;
        let own = leg
            .extension
            .as_ref()
            .map(|extension| PartyKey::of(extension.as_str()));
        let remote = leg.remote.key();

        if remote.is_none() && !self.calls[call].in_withheld_list {
            self.calls[call].in_withheld_list = true;
            self.withheld.push(call);
        }
        for key in own.into_iter().chain(remote) {
            if !self.calls[call].party_keys.contains(&key) {
                self.calls[call].party_keys.push(key);
                self.parties.entry(key).or_default().push(call);
            }
        }
    }

    /// Removes the call from the index.
    pub(super) fn unindex(&mut self, call: CallSlot) {
        for key in std::mem::take(&mut self.calls[call].party_keys) {
            if let Some(calls) = self.parties.get_mut(&key) {
                calls.retain(|other| *other != call);
                if calls.is_empty() {
                    self.parties.remove(&key);
                }
            }
        }

        if std::mem::take(&mut self.calls[call].in_withheld_list) {
            self.withheld.retain(|other| *other != call);
        }
    }

    /// The calls that a party may take part in, the newest first. The list may include calls of
    /// another party with a similar number.
    pub(super) fn calls_of(&self, party: &Number) -> SmallVec<[CallSlot; 8]> {
        let list = match party.key() {
            Some(key) => self.parties.get(&key).map_or(&[][..], |calls| calls),
            None => &self.withheld,
        };
        list.iter().rev().copied().collect()
    }

    /// The calls that an extension may take part in, the newest first.
    pub(super) fn calls_of_extension(&self, dial: &str) -> SmallVec<[CallSlot; 8]> {
        let calls = self
            .parties
            .get(&PartyKey::of(dial))
            .map_or(&[][..], |calls| calls);
        calls.iter().rev().copied().collect()
    }
}
