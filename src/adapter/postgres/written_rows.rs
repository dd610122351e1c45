//! What stands in the database already, as far as this owner wrote it over this connection: a row
//! that would be written as it is, is not. Nobody else writes these rows while the partition is
//! ours. It is kept with the connection and lost with it, so that nothing is believed of a
//! transaction whose end was not seen.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::stats::{CallShare, MinuteSums};
use crate::adapter::sql;
use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallId, Site};
use crate::domain::link::Link;
use crate::domain::record::{CallRecord, Outcome, Participant};
use crate::domain::time::{At, Span};
use crate::port::ledger::{CallUpdate, ReceivedFact};

/// A device that goes on reporting is written down this often.
const SEEN_EVERY: Span = Span::seconds(60);
/// Devices and extensions of a site that are remembered; where somebody makes more of them up, they
/// are written more often than they need be.
const REMEMBERED_MAX: usize = 20_000;

#[derive(Default)]
pub(super) struct WrittenRows {
    /// The last statement that wrote to the partition, as its owner knows.
    pub commit_no: Option<i64>,
    sites: HashMap<Site, SiteEntities>,
    /// Calls that are not final.
    calls: HashMap<CallId, WrittenCall>,
    pub stats: MinuteSums,
    /// News up to this number are deleted.
    pub deleted_up_to: Option<i64>,
    /// Nobody outside can make two texts that look alike.
    digests: RandomState,
}

#[derive(Default)]
struct SiteEntities {
    devices: HashMap<Device, At>,
    extensions: HashMap<Extension, At>,
}

/// What was written of a call.
pub(super) struct WrittenCall {
    /// Of its record as text.
    digest: u64,
    /// What it adds to the statistics.
    pub share: Option<CallShare>,
    pub outcome_row: Option<OutcomeRow>,
    pub started_at: At,
    pub participants: Vec<Participant>,
    links: Vec<Link>,
    is_missed: bool,
}

/// Where a call stands among those of the same outcome, once it has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct OutcomeRow {
    pub outcome: Outcome,
    pub started_at: At,
    pub ended_at: At,
}

impl OutcomeRow {
    pub(super) fn of(record: &CallRecord) -> Option<OutcomeRow> {
        let started_at = record.started_at;
        Some(OutcomeRow {
            outcome: record.outcome?,
            started_at,
            ended_at: record.ended_at.unwrap_or(started_at),
        })
    }

    /// Whether both are the same row.
    pub(super) fn has_key_of(&self, other: Option<OutcomeRow>) -> bool {
        other.is_some_and(|other| {
            (other.outcome, other.started_at) == (self.outcome, self.started_at)
        })
    }
}

impl WrittenCall {
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
pub(super) struct NewEntities {
    pub sites: Vec<(Site, At)>,
    pub devices: BTreeMap<(Site, Device), At>,
    pub extensions: BTreeMap<(Site, Extension), At>,
}

impl WrittenRows {
    pub(super) fn call(&self, id: CallId) -> Option<&WrittenCall> {
        self.calls.get(&id)
    }

    /// Whether the call stands as it is now.
    pub(super) fn is_written(&self, call: &CallUpdate) -> bool {
        self.call(call.record.id)
            .is_some_and(|before| before.digest == self.digests.hash_one(call.json()))
    }

    pub(super) fn remember(&mut self, call: &CallUpdate) {
        let record = &call.record;
        let call = WrittenCall {
            digest: self.digests.hash_one(call.json()),
            share: CallShare::of(record),
            outcome_row: OutcomeRow::of(record),
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
    pub(super) fn take_new_entities(&mut self, facts: &[ReceivedFact]) -> NewEntities {
        let mut strangers = NewEntities::default();
        for fact in facts.iter().map(|received| &received.fact) {
            if !self.sites.contains_key(&fact.site) {
                self.sites
                    .insert(fact.site.clone(), SiteEntities::default());
                strangers.sites.push((fact.site.clone(), fact.at));
            }
            let Some(seen) = self.sites.get_mut(&fact.site) else {
                continue;
            };
            if seen.devices.len() + seen.extensions.len() > REMEMBERED_MAX {
                *seen = SiteEntities::default();
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
