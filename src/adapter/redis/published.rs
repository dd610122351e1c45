//! The published state of open calls, remembered so that each batch writes only differences.

use std::collections::HashMap;

use super::keys::HOUR_SECONDS;
use crate::domain::fact::{CallId, Site};
use crate::domain::link::LinkKind;
use crate::domain::record::{CallRecord, Direction};
use crate::domain::time::{At, Span};
use crate::domain::transfer::TransferState;

/// Keys that expire after an hour are written again after half an hour.
const REFRESH_AFTER: Span = Span::seconds(HOUR_SECONDS / 2);

/// Published state of the partition's calls that are not final.
#[derive(Default)]
pub(super) struct PublishedCalls(HashMap<CallId, PublishedCall>);

impl PublishedCalls {
    /// Discards the state after a loss of keys in Redis, so that all keys are written again. The
    /// states of transfers stay: they were never keys, and each event of a transfer is published
    /// once.
    pub(super) fn invalidate(&mut self) {
        for call in self.0.values_mut() {
            *call = PublishedCall {
                transfer: call.transfer,
                may_be_queued: call.may_be_queued || call.missed_due.is_some(),
                ..PublishedCall::default()
            };
        }

        self.0
            .retain(|_, call| call.transfer.is_some() || call.may_be_queued);
    }

    /// The number of calls that are listed as open.
    pub(super) fn open(&self) -> usize {
        let listed = |call: &&PublishedCall| call.live_since.is_some();

        self.0.values().filter(listed).count()
    }

    pub(super) fn insert(&mut self, id: CallId, call: PublishedCall) {
        self.0.insert(id, call);
    }

    pub(super) fn remove(&mut self, id: CallId) -> Option<PublishedCall> {
        self.0.remove(&id)
    }
}

/// Published state of a call, beside its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PublishedCall {
    /// Beginning of the call, while it is open.
    pub live_since: Option<At>,
    /// When the first phone rang.
    pub rang_at: Option<At>,
    pub direction: Option<Direction>,
    /// The calls that this one is linked to.
    pub links: Vec<(LinkKind, CallId)>,
    pub site: Option<Site>,
    /// When the missed decision falls, while it is pending.
    pub missed_due: Option<At>,
    /// State of a transfer that is under way.
    pub transfer: Option<TransferState>,
    /// When the keys that expire after an hour were written.
    pub refreshed_at: Option<At>,
    /// The queue of pending calls may hold the call from an earlier publication.
    pub may_be_queued: bool,
}

impl PublishedCall {
    /// Returns the state to publish of a record at an event time.
    pub(super) fn of(record: &CallRecord, before: Option<&PublishedCall>, now: At) -> Self {
        let refreshed_at = before
            .and_then(|before| before.refreshed_at)
            .filter(|refreshed_at| now - *refreshed_at < REFRESH_AFTER);

        PublishedCall {
            live_since: record.ended_at.is_none().then_some(record.started_at),
            rang_at: record
                .participants
                .iter()
                .filter_map(|participant| participant.rang_at)
                .min(),
            direction: Some(record.direction),
            links: record
                .links
                .iter()
                .map(|link| (link.kind, link.call))
                .collect(),
            site: Some(record.site.clone()),
            missed_due: record.missed_due,
            transfer: record
                .transfer
                .as_ref()
                .map(|transfer| transfer.state)
                .filter(|state| state.is_under_way()),
            refreshed_at: Some(refreshed_at.unwrap_or(now)),
            may_be_queued: false,
        }
    }
}

/// A call's published state before and after an update.
pub(super) struct Change<'c> {
    /// `None` when the published state is unknown.
    pub before: Option<&'c PublishedCall>,
    pub after: &'c PublishedCall,
}

impl Change<'_> {
    /// Whether a field must be written: its value has changed, or is not known to be published.
    pub(super) fn differs<T: PartialEq>(&self, field: fn(&PublishedCall) -> T) -> bool {
        self.before
            .is_none_or(|before| field(before) != field(self.after))
    }

    /// Whether the call was published as open, or may have been.
    pub(super) fn may_have_been_live(&self) -> bool {
        self.before.is_none_or(|before| before.live_since.is_some())
    }
}
