//! What stands in the database already, as far as this owner wrote it over this connection: a row
//! that would be written as it is, is not. Nobody else writes these rows while the partition is
//! ours. It is kept with the connection and lost with it, so that nothing is believed of a
//! transaction whose end was not seen.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::stats::{Known, Share};
use crate::adapter::sql;
use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallId, Site};
use crate::domain::link::Link;
use crate::domain::record::{CallRecord, Outcome, Participant};
use crate::domain::time::{At, Span};
use crate::port::ledger::{CallNow, Received};

/// A device that goes on reporting is written down this often.
const SEEN_EVERY: Span = Span::seconds(60);
/// Devices and extensions of a site that are remembered; where somebody makes more of them up, they
/// are written more often than they need be.
const REMEMBERED_MAX: usize = 20_000;

#[derive(Default)]
pub(super) struct Written {
    /// The last statement that wrote to the partition, as its owner knows.
    pub number: Option<i64>,
    sites: HashMap<Site, Seen>,
    /// Calls that are not final.
    calls: HashMap<CallId, Call>,
    pub stats: Known,
    /// News up to this number are deleted.
    pub forgotten: Option<i64>,
    /// Nobody outside can make two texts that look alike.
    digests: RandomState,
}

#[derive(Default)]
struct Seen {
    devices: HashMap<Device, At>,
    extensions: HashMap<Extension, At>,
}

/// What was written of a call.
pub(super) struct Call {
    /// Of its record as text.
    digest: u64,
    /// What it adds to the statistics.
    pub share: Option<Share>,
    pub place: Option<Place>,
    pub started_at: At,
    pub participants: Vec<Participant>,
    links: Vec<Link>,
    is_missed: bool,
}

/// Where a call stands among those of the same outcome, once it has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub outcome: Outcome,
    pub started_at: At,
    pub ended_at: At,
}

impl Place {
    pub(super) fn of(record: &CallRecord) -> Option<Place> {
        let started_at = record.started_at;
        Some(Place {
            outcome: record.outcome?,
            started_at,
            ended_at: record.ended_at.unwrap_or(started_at),
        })
    }

    /// Whether both are the same row.
    pub(super) fn is_where(&self, other: Option<Place>) -> bool {
        other.is_some_and(|other| {
            (other.outcome, other.started_at) == (self.outcome, self.started_at)
        })
    }
}

impl Call {
    pub(super) fn has_more_participants(&self, than: &CallRecord) -> bool {
        self.participants.len() > than.participants.len()
    }

    pub(super) fn has_other_links(&self, than: &CallRecord) -> bool {
        self.links != than.links
    }

    pub(super) fn is_missed_no_more(&self, now: &CallRecord) -> bool {
        self.is_missed && !sql::is_missed(now)
    }
}

/// What of a batch's facts the tables of who there is do not say yet.
#[derive(Default)]
pub(super) struct Strangers {
    pub sites: Vec<(Site, At)>,
    pub devices: BTreeMap<(Site, Device), At>,
    pub extensions: BTreeMap<(Site, Extension), At>,
}

impl Written {
    pub(super) fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }

    /// Whether the call stands as it is now.
    pub(super) fn is_written(&self, call: &CallNow) -> bool {
        self.call(call.record.id)
            .is_some_and(|before| before.digest == self.digests.hash_one(call.text()))
    }

    pub(super) fn wrote(&mut self, call: &CallNow) {
        let record = &call.record;
        let call = Call {
            digest: self.digests.hash_one(call.text()),
            share: Share::of(record),
            place: Place::of(record),
            started_at: record.started_at,
            participants: record.participants.clone(),
            links: record.links.clone(),
            is_missed: sql::is_missed(record),
        };
        self.calls.insert(record.id, call);
    }

    pub(super) fn forget(&mut self, id: CallId) {
        self.calls.remove(&id);
    }

    /// Who has to be written down because of these facts; from now on they count as written.
    pub(super) fn strangers(&mut self, facts: &[Received]) -> Strangers {
        let mut strangers = Strangers::default();
        for fact in facts.iter().map(|received| &received.fact) {
            if !self.sites.contains_key(&fact.site) {
                self.sites.insert(fact.site.clone(), Seen::default());
                strangers.sites.push((fact.site.clone(), fact.at));
            }
            let Some(seen) = self.sites.get_mut(&fact.site) else {
                continue;
            };
            if seen.devices.len() + seen.extensions.len() > REMEMBERED_MAX {
                *seen = Seen::default();
            }
            if seen
                .devices
                .get(&fact.device)
                .is_none_or(|written| fact.at >= *written + SEEN_EVERY)
            {
                seen.devices.insert(fact.device.clone(), fact.at);
                strangers
                    .devices
                    .insert((fact.site.clone(), fact.device.clone()), fact.at);
            } else if let Some(last) = strangers
                .devices
                .get_mut(&(fact.site.clone(), fact.device.clone()))
            {
                *last = fact.at.max(*last);
            }
            if let Some(extension) = &fact.local
                && seen
                    .extensions
                    .get(extension)
                    .is_none_or(|written| fact.at < *written)
            {
                seen.extensions.insert(extension.clone(), fact.at);
                strangers
                    .extensions
                    .insert((fact.site.clone(), extension.clone()), fact.at);
            }
        }
        strangers
    }
}
