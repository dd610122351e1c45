//! Cache of the rows that the owner of a partition wrote over its present connection: rows that are
//! already stored unchanged are skipped.
//!
//! Only the owner writes these rows, so the cache is right as long as it owns the partition. The
//! cache belongs to the connection and is lost with it: it never holds rows of a transaction whose
//! end was not observed.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::stats::{CallShare, MinuteSums};
use crate::adapter::sql::devices::DeviceRow;
use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallId, Fact, Site};
use crate::domain::link::Link;
use crate::domain::record::{CallRecord, Outcome, Participant};
use crate::domain::time::{At, Span};
use crate::port::ledger::{CallUpdate, ReceivedFact};

/// Least time between two updates of the last report of one device.
const LAST_SEEN_INTERVAL: Span = Span::seconds(60);
/// Cached devices and extensions of one site. Beyond this, as with invented extensions, the cache
/// of the site starts anew, and some rows are written more often than necessary.
const CACHED_ENTITIES_MAX: usize = 20_000;

#[derive(Default)]
pub(super) struct WrittenRows {
    /// The last statement of the owner that was committed.
    pub commit_no: Option<i64>,
    sites: HashMap<Site, SiteEntities>,
    /// Calls that are not final.
    calls: HashMap<CallId, WrittenCall>,
    pub stats: MinuteSums,
    /// Notifications up to this number are deleted.
    pub deleted_up_to: Option<i64>,
    /// Keyed by random numbers: no caller can construct two records with the same digest.
    digests: RandomState,
}

#[derive(Default)]
struct SiteEntities {
    /// Each device as it was written last.
    devices: HashMap<Device, DeviceRow>,
    /// The first report of each extension that was written.
    extensions: HashMap<Extension, At>,
}

/// The written rows of one call.
pub(super) struct WrittenCall {
    /// Digest of the record's text.
    digest: u64,
    /// The call's share of the statistics.
    pub share: Option<CallShare>,
    pub outcome_row: Option<OutcomeRow>,
    pub started_at: At,
    pub participants: Vec<Participant>,
    links: Vec<Link>,
    /// Its caller is to be called back.
    is_missed: bool,
}

/// The row of a call in `call_outcomes`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct OutcomeRow {
    pub outcome: Outcome,
    pub started_at: At,
    pub ended_at: At,
}

impl OutcomeRow {
    /// The row of a call; `None` before it has an outcome.
    pub(super) fn of(record: &CallRecord) -> Option<OutcomeRow> {
        let started_at = record.started_at;

        Some(OutcomeRow {
            outcome: record.outcome?,
            started_at,
            ended_at: record.ended_at.unwrap_or(started_at),
        })
    }

    /// Whether another row of the same call has the same primary key.
    pub(super) fn has_key_of(&self, other: Option<OutcomeRow>) -> bool {
        other.is_some_and(|other| {
            (other.outcome, other.started_at) == (self.outcome, self.started_at)
        })
    }
}

impl WrittenCall {
    pub(super) fn has_more_participants(&self, record: &CallRecord) -> bool {
        self.participants.len() > record.participants.len()
    }

    pub(super) fn has_other_links(&self, record: &CallRecord) -> bool {
        self.links != record.links
    }

    pub(super) fn is_no_longer_missed(&self, record: &CallRecord) -> bool {
        self.is_missed && record.call_back_cause().is_none()
    }
}

/// Sites, devices and extensions of a batch whose rows are missing or outdated.
#[derive(Default)]
pub(super) struct NewEntities {
    /// With the first report.
    pub sites: Vec<(Site, At)>,
    pub devices: BTreeMap<(Site, Device), DeviceRow>,
    /// With the first report.
    pub extensions: BTreeMap<(Site, Extension), At>,
}

impl WrittenRows {
    pub(super) fn call(&self, id: CallId) -> Option<&WrittenCall> {
        self.calls.get(&id)
    }

    /// Whether the record of the call is already stored unchanged.
    pub(super) fn is_written(&self, call: &CallUpdate) -> bool {
        self.call(call.record.id)
            .is_some_and(|written| written.digest == self.digests.hash_one(call.json()))
    }

    pub(super) fn insert_call(&mut self, call: &CallUpdate) {
        let record = &call.record;
        let written = WrittenCall {
            digest: self.digests.hash_one(call.json()),
            share: CallShare::of(record),
            outcome_row: OutcomeRow::of(record),
            started_at: record.started_at,
            participants: record.participants.clone(),
            links: record.links.clone(),
            is_missed: record.call_back_cause().is_some(),
        };

        self.calls.insert(record.id, written);
    }

    pub(super) fn remove_call(&mut self, id: CallId) {
        self.calls.remove(&id);
    }

    /// Returns the entities of the facts that need a row, and counts them as written from now on.
    pub(super) fn take_new_entities(&mut self, facts: &[ReceivedFact]) -> NewEntities {
        let mut new = NewEntities::default();

        for fact in facts.iter().map(|received| &received.fact) {
            if !self.sites.contains_key(&fact.site) {
                self.sites
                    .insert(fact.site.clone(), SiteEntities::default());
                new.sites.push((fact.site.clone(), fact.at));
            }
            let Some(cached) = self.sites.get_mut(&fact.site) else {
                continue;
            };
            if cached.devices.len() + cached.extensions.len() > CACHED_ENTITIES_MAX {
                *cached = SiteEntities::default();
            }

            cached.take_device(fact, &mut new);
            cached.take_extension(fact, &mut new);
        }

        new
    }
}

impl SiteEntities {
    /// A phone may describe itself in some of its reports only: the row collects what all of them
    /// said since it was written.
    fn take_device(&mut self, fact: &Fact, new: &mut NewEntities) {
        let key = (fact.site.clone(), fact.device.clone());
        let Some(known) = self.devices.get_mut(&fact.device) else {
            let row = DeviceRow::of(fact);
            self.devices.insert(fact.device.clone(), row.clone());
            new.devices.insert(key, row);
            return;
        };

        let written_at = known.last_seen;
        let mode = known.mode;
        known.add(fact);
        let is_outdated = fact.at >= written_at + LAST_SEEN_INTERVAL || known.mode != mode;
        if is_outdated || new.devices.contains_key(&key) {
            new.devices.insert(key, known.clone());
        } else {
            known.last_seen = written_at;
        }
    }

    fn take_extension(&mut self, fact: &Fact, new: &mut NewEntities) {
        let Some(extension) = &fact.local else {
            return;
        };
        let is_outdated = self
            .extensions
            .get(extension)
            .is_none_or(|written| fact.at < *written);

        if is_outdated {
            self.extensions.insert(extension.clone(), fact.at);
            new.extensions
                .insert((fact.site.clone(), extension.clone()), fact.at);
        }
    }
}
