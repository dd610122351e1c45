//! The keys of one call: writes those that differ from their published state.

use super::commands::{Commands, seconds_text};
use super::keys::{CALL_SECONDS, CLOSED_CALL_SECONDS, HOUR_SECONDS, Keys, RING_SECONDS};
use super::published::{Change, PublishedCall, PublishedCalls};
use super::transfer;
use crate::domain::fact::{CallId, CallRef, Fact, Kind};
use crate::domain::link::LinkKind;
use crate::domain::record::{CallRecord, Direction};
use crate::domain::time::At;

/// Longest queue of calls without a missed decision; a slow reader loses the oldest ones.
const MISSED_QUEUE_MAX: i64 = 10_000;

/// Builds the commands that publish calls of a partition at an event time.
pub(super) struct LiveWriter<'w> {
    pub keys: &'w Keys,
    pub partition: &'w str,
    /// Event time of this update. Versions grow with it, so the writer with newer data wins.
    pub version: i64,
    pub commands: &'w mut Commands,
    pub published: &'w mut PublishedCalls,
    /// Redis may hold keys of the calls from an earlier publication.
    pub is_republication: bool,
}

impl LiveWriter<'_> {
    /// Publishes that a phone has reported a number.
    pub(super) fn write_fact(&mut self, fact: &Fact) {
        if !matches!(fact.kind, Kind::Incoming | Kind::Outgoing | Kind::Answered) {
            return;
        }

        // A program looks with what the phone has sent, or with the normal form.
        let Some(remote) = &fact.remote else {
            return;
        };
        let normal = remote.e164().unwrap_or(remote.raw());
        let as_sent = Some(remote.raw()).filter(|raw| *raw != normal);
        let keys = self.keys.of_site(&fact.site);
        let device = fact.device.to_string();
        for remote in [Some(normal), as_sent].into_iter().flatten() {
            if !remote.is_empty() {
                let key = keys.device_reported(&device, remote);
                self.commands.set(&key, "1", RING_SECONDS);
            }
        }
    }

    /// Publishes a call; `json` is its record.
    pub(super) fn write_call(&mut self, record: &CallRecord, json: &str, is_final: bool) {
        let keys = self.keys.of_site(&record.site);
        let id = record.id.to_string();
        let now = At(self.version);
        let before = self.published.remove(record.id);
        let after = PublishedCall::of(record, before.as_ref(), now);
        let change = Change {
            before: before.as_ref(),
            after: &after,
        };

        self.write_record(&id, json, after.live_since.is_some());
        self.write_live_index(&keys, &id, &change);
        self.write_relations(&keys, record, &id, &change);
        self.write_parties(&keys, record, &id, &change);
        self.write_missed_decision(&keys, &id, &change);
        transfer::write_state(
            self.commands,
            &keys,
            record,
            before.as_ref().and_then(|before| before.transfer),
            now,
        );

        if !is_final {
            self.published.insert(record.id, after);
        }
    }

    /// Deletes the record of a call that is withdrawn.
    pub(super) fn withdraw_call(&mut self, call: CallId) {
        let site = self.published.remove(call).and_then(|before| before.site);

        let id = call.to_string();
        self.commands.cmd("DEL").arg(self.keys.record(&id));
        self.commands
            .cmd("ZREM")
            .arg(self.keys.live_calls(self.partition))
            .arg(&id);
        if let Some(site) = site {
            let keys = self.keys.of_site(&site);
            self.commands.set_active(&keys, &id, false);
        }
    }

    /// Writes the record. It stays for a while after the end of the call.
    fn write_record(&mut self, id: &str, json: &str, is_live: bool) {
        let ttl_seconds = if is_live {
            CALL_SECONDS
        } else {
            CLOSED_CALL_SECONDS
        };

        self.commands.set_if_newer(
            &self.keys.record(id),
            self.version,
            ttl_seconds,
            &[("record", json)],
        );
    }

    /// Adds the call to the open calls of the partition, or removes it.
    fn write_live_index(&mut self, keys: &Keys, id: &str, change: &Change<'_>) {
        let key = self.keys.live_calls(self.partition);

        match change.after.live_since {
            Some(started_at) if change.differs(|call| call.live_since) => {
                self.commands
                    .cmd("ZADD")
                    .arg(key)
                    .arg(started_at.0 / 1_000_000)
                    .arg(id);
                self.commands.set_active(keys, id, true);
            }
            None if change.may_have_been_live() => {
                self.commands.cmd("ZREM").arg(key).arg(id);
                self.commands.set_active(keys, id, false);
            }
            _ => {}
        }
    }

    /// Writes the direction of the call and the call it is linked to.
    fn write_relations(&mut self, keys: &Keys, record: &CallRecord, id: &str, change: &Change<'_>) {
        let is_refresh = change.differs(|call| call.refreshed_at);

        if is_refresh || change.differs(|call| call.direction) {
            self.commands.set(
                &keys.direction(id),
                direction_word(record.direction),
                HOUR_SECONDS,
            );
        }

        for link in &record.links {
            let earlier = |links: &[(LinkKind, CallId)]| links.contains(&(link.kind, link.call));
            let is_published = change.before.is_some_and(|before| earlier(&before.links));
            if is_refresh || !is_published {
                let key = match link.kind {
                    LinkKind::Transfer => keys.parent(id),
                    LinkKind::Repeat => keys.repeat(id),
                    LinkKind::Callback => keys.callback(id),
                };
                self.commands
                    .set(&key, &link.call.to_string(), HOUR_SECONDS);
            }
        }
    }

    /// Writes when the call rang, and the keys of each outside party.
    fn write_parties(&mut self, keys: &Keys, record: &CallRecord, id: &str, change: &Change<'_>) {
        let is_live = change.after.live_since.is_some();
        let rang_at = change
            .after
            .rang_at
            .filter(|_| is_live && change.differs(|call| call.rang_at))
            .map(seconds_text);

        if let Some(rang_at) = &rang_at {
            self.commands.set(&keys.ring(id), rang_at, RING_SECONDS);
        }

        for remote in outside_parties(record) {
            if is_live {
                self.claim(keys, record, id, remote);
                if let Some(rang_at) = &rang_at {
                    self.commands
                        .set(&keys.ring_remote(remote), rang_at, RING_SECONDS);
                }
            } else if change.may_have_been_live() {
                self.commands.release_claim(&keys.active(remote), id);
            }

            transfer::write_fingerprint(self.commands, keys, record, remote, At(self.version));
        }
    }

    /// Claims a number for an open call.
    fn claim(&mut self, keys: &Keys, record: &CallRecord, id: &str, remote: &str) {
        let answered = if record.answered_at.is_some() {
            "true"
        } else {
            "false"
        };
        let fields = [
            ("claimed_call_id", id),
            ("timestamp", &seconds_text(record.started_at)),
            ("answered", answered),
            ("call_ref", call_ref(record)),
        ];

        self.commands
            .set_if_newer(&keys.active(remote), self.version, CALL_SECONDS, &fields);
    }

    /// Writes whether the missed decision of the call is pending, and when it falls.
    fn write_missed_decision(&mut self, keys: &Keys, id: &str, change: &Change<'_>) {
        let before = change.before.and_then(|before| before.missed_due);
        let may_be_queued =
            self.is_republication || change.before.is_some_and(|before| before.may_be_queued);
        if !may_be_queued && before == change.after.missed_due {
            return;
        }

        let schedule = keys.missed_schedule();
        let queue = keys.missed_queue();
        if may_be_queued || before.is_some() {
            self.commands.cmd("LREM").arg(&queue).arg(0).arg(id);
        }

        let Some(due) = change.after.missed_due else {
            self.commands.cmd("ZREM").arg(&schedule).arg(id);
            return;
        };
        self.commands
            .cmd("ZADD")
            .arg(&schedule)
            .arg(seconds_text(due))
            .arg(id);
        self.commands.cmd("RPUSH").arg(&queue).arg(id);
        self.commands
            .cmd("LTRIM")
            .arg(&queue)
            .arg(-MISSED_QUEUE_MAX)
            .arg(-1);
        self.commands.cmd("EXPIRE").arg(&schedule).arg(HOUR_SECONDS);
        self.commands.cmd("EXPIRE").arg(&queue).arg(HOUR_SECONDS);
    }
}

/// Returns the call as a phone names it: the phone that answered, or else the first that names it;
/// empty where none does.
fn call_ref(record: &CallRecord) -> &str {
    let named = || {
        record
            .participants
            .iter()
            .filter(|participant| participant.call_ref.is_some())
    };
    let answered = named().find(|participant| participant.answered_at.is_some());

    answered
        .or_else(|| named().next())
        .and_then(|participant| participant.call_ref.as_ref())
        .map_or("", CallRef::as_str)
}

/// Returns the direction in the words of the direction key.
fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
        Direction::Internal => "internal",
    }
}

/// Returns the numbers of the parties outside the site: in E.164 where that form exists, otherwise
/// as the phone sent them.
fn outside_parties(record: &CallRecord) -> impl Iterator<Item = &str> {
    let is_own = |number: &str| {
        record.participants.iter().any(|participant| {
            participant
                .extension
                .as_ref()
                .is_some_and(|extension| extension.as_str() == number)
        })
    };

    [&record.from, &record.to]
        .into_iter()
        .filter_map(|party| party.e164.as_deref().or(party.number.as_deref()))
        .filter(move |number| !number.is_empty() && !is_own(number))
}
