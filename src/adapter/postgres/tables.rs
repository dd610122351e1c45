//! What is written to each table, as one array for each column: a whole batch is one part of one
//! statement.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::statement::{BatchStatement, Columns};
use super::written_rows::OutcomeRow;
use crate::adapter::sql;
use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallId, CallRef, Site};
use crate::domain::link::Link;
use crate::domain::number::Number;
use crate::domain::record::{CallRecord, Participant};
use crate::domain::time::At;
use crate::port::ledger::{CallUpdate, ReceivedFact, RejectedMessage};
use crate::port::outbox::Notification;
use crate::wire::call_json::{
    direction_name, outcome_name, participant_outcome_name, role_name, status_name,
};

const EVENTS: &str =
    "INSERT INTO call_events (event_id, site, received_at, event, device, extension, remote, remote_e164, call_ref, envelope)
 SELECT t.* FROM fence, {rows} AS t ON CONFLICT DO NOTHING";
const DEAD: &str = "INSERT INTO dead_events (digest, reason, message) SELECT t.* FROM fence, {rows} AS t ON CONFLICT DO NOTHING";
const SITES: &str = "INSERT INTO sites (site, first_seen) SELECT t.* FROM fence, {rows} AS t ON CONFLICT DO NOTHING";
const DEVICES: &str = "INSERT INTO devices AS known (site, device, last_seen) SELECT t.* FROM fence, {rows} AS t
 ON CONFLICT (site, device) DO UPDATE SET last_seen = excluded.last_seen WHERE excluded.last_seen > known.last_seen";
const EXTENSIONS: &str = "INSERT INTO extensions AS known (site, extension, first_report) SELECT t.* FROM fence, {rows} AS t
 ON CONFLICT (site, extension) DO UPDATE SET first_report = excluded.first_report WHERE excluded.first_report < known.first_report";
const LOGS: &str = "INSERT INTO call_logs (call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record)
 SELECT call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record::json
 FROM fence, {rows} AS t (call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record)
 ON CONFLICT (call_id) DO UPDATE SET direction = excluded.direction, status = excluded.status, outcome = excluded.outcome, from_number = excluded.from_number, from_e164 = excluded.from_e164, to_number = excluded.to_number, to_e164 = excluded.to_e164, answered_by = excluded.answered_by, started_at = excluded.started_at, answered_at = excluded.answered_at, ended_at = excluded.ended_at, ring_us = excluded.ring_us, talk_us = excluded.talk_us, total_us = excluded.total_us, record = excluded.record";
/// What there is to say of one of our calls beyond these columns says its log.
const OPEN_STATES: &str = "INSERT INTO call_states (call_id, our_call, is_open, provider, site, direction, status, from_number, to_number, call_metadata, created_at, updated_at, ended_at)
 SELECT call_id::text, call_id, true, 'grandstream', site, direction, status, from_number, to_number, '{}', started_at, watermark, ended_at
 FROM fence, {rows} AS t (call_id, site, direction, status, from_number, to_number, started_at, ended_at)
 ON CONFLICT (call_id) DO UPDATE SET direction = excluded.direction, status = excluded.status, from_number = excluded.from_number, to_number = excluded.to_number, updated_at = excluded.updated_at, ended_at = excluded.ended_at, our_call = excluded.our_call, is_open = excluded.is_open";
/// A call that another program has joined to a session of its own stays for it to be found; of
/// others that are over nothing does. One that is joined in this very moment stays as it was,
/// ended, until the next owner of the partition goes through what is open.
const FINAL_STATES: &str = "UPDATE call_states SET direction = t.direction, status = t.status, from_number = t.from_number, to_number = t.to_number, updated_at = watermark, ended_at = t.ended_at, our_call = t.call_id, is_open = false
 FROM fence, {rows} AS t (call_id, site, direction, status, from_number, to_number, started_at, ended_at) WHERE call_states.call_id = t.call_id::text AND session_id IS NOT NULL";
const NO_STATES: &str = "DELETE FROM call_states USING fence, {rows} AS t (id) WHERE call_states.call_id = t.id AND session_id IS NULL";
const PARTICIPANTS: &str =
    "INSERT INTO call_participants (call_id, place, site, started_at, extension, device, role, rang_at, answered_at, left_at, outcome) SELECT t.* FROM fence, {rows} AS t
 ON CONFLICT (call_id, place) DO UPDATE SET started_at = excluded.started_at, extension = excluded.extension, device = excluded.device, role = excluded.role, rang_at = excluded.rang_at, answered_at = excluded.answered_at, left_at = excluded.left_at, outcome = excluded.outcome";
const NO_PARTICIPANTS: &str = "DELETE FROM call_participants USING fence, {rows} AS t (id, participants) WHERE call_participants.call_id = t.id AND place >= participants";
const OUTCOMES: &str = "INSERT INTO call_outcomes (outcome, started_at, call_id, site, ended_at) SELECT t.* FROM fence, {rows} AS t
 ON CONFLICT (outcome, started_at, call_id, site) DO UPDATE SET ended_at = excluded.ended_at";
const NO_OUTCOMES: &str =
    "DELETE FROM call_outcomes AS known USING fence, {rows} AS t (outcome, started_at, call_id)
 WHERE known.outcome = t.outcome AND known.started_at = t.started_at AND known.call_id = t.call_id";
const LINKS: &str = "INSERT INTO call_links (call_id, linked_call_id, kind, confidence, reason) SELECT t.* FROM fence, {rows} AS t
 ON CONFLICT (call_id, linked_call_id, kind) DO UPDATE SET confidence = excluded.confidence, reason = excluded.reason";
const LINKS_NOW: &str = "SELECT t.* FROM fence, {rows} AS t (call_id, linked_call_id, kind)";
const NO_LINKS: &str = "DELETE FROM call_links AS links WHERE NOT by_hand AND call_id IN (SELECT call_id FROM links_now)
 AND NOT EXISTS (SELECT FROM links_now AS t WHERE t.call_id = links.call_id AND t.linked_call_id = links.linked_call_id AND t.kind = links.kind)";
const MISSED: &str = "INSERT INTO missed_call_logs (call_id, site, from_number, from_e164, extensions, missed_at)
 SELECT call_id, site, from_number, from_e164, extensions::json, missed_at FROM fence, {rows} AS t (call_id, site, from_number, from_e164, extensions, missed_at)
 ON CONFLICT (call_id) DO UPDATE SET extensions = excluded.extensions, missed_at = excluded.missed_at, retracted = false";
/// A missed call whose call is written again without being missed was answered after all.
const NOT_MISSED: &str = "UPDATE missed_call_logs SET retracted = true FROM fence, {rows} AS t (id) WHERE call_id = t.id AND NOT retracted";
const NO_LOGS: &str = "DELETE FROM call_logs USING fence, {rows} AS t (id) WHERE call_id = t.id";
const WITHDRAWN_STATES: &str = "UPDATE call_states SET is_open = false FROM fence, {rows} AS t (id) WHERE call_id = t.id AND session_id IS NOT NULL";
const NEWS: &str =
    "INSERT INTO notices (generation, part, number, kind, call_id, data) SELECT generation, fence.part, t.* FROM fence, {rows} AS t
 ON CONFLICT (generation, part, number) DO UPDATE SET kind = excluded.kind, call_id = excluded.call_id, data = excluded.data";
const NO_NEWS: &str = "DELETE FROM notices USING fence, {rows} AS t (last) WHERE notices.generation = fence.generation AND notices.part = fence.part AND number <= last";

pub(super) fn uuid(id: CallId) -> Uuid {
    Uuid::from_u128(id.0)
}

pub(super) fn uuids(ids: impl IntoIterator<Item = CallId>) -> Vec<Uuid> {
    ids.into_iter().map(uuid).collect()
}

/// The values of one column.
fn column<'r, T, V>(rows: &'r [T], value: impl Fn(&'r T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

fn micros(at: Option<At>) -> Option<i64> {
    at.map(|at| at.0)
}

impl BatchStatement {
    pub(super) fn events(&mut self, facts: &[ReceivedFact]) {
        self.add("events", EVENTS, |columns| {
            columns
                .push_bind(column(facts, |received| uuid(received.fact.id)))
                .push_bind(column(facts, |received| received.fact.site.as_str()))
                .push_bind(column(facts, |received| received.fact.at.0))
                .push_bind(column(facts, |received| received.fact.kind.name()))
                .push_bind(column(facts, |received| received.fact.device.to_string()))
                .push_bind(column(facts, |received| {
                    received.fact.local.as_ref().map(Extension::as_str)
                }))
                .push_bind(column(facts, |received| {
                    received.fact.remote.as_ref().map(Number::raw)
                }))
                .push_bind(column(facts, |received| {
                    received.fact.remote.as_ref().and_then(Number::e164)
                }))
                .push_bind(column(facts, |received| {
                    received.fact.call_ref.as_ref().map(CallRef::as_str)
                }))
                .push_bind(column(facts, |received| {
                    std::str::from_utf8(&received.message).unwrap_or_default()
                }));
        });
    }

    pub(super) fn dead(&mut self, dead: &[RejectedMessage]) {
        self.add("dead", DEAD, |columns| {
            columns
                .push_bind(column(dead, |dead| sql::digest(&dead.message)))
                .push_bind(column(dead, |dead| dead.reason.as_str()))
                .push_bind(column(dead, |dead| dead.message.as_slice()));
        });
    }

    pub(super) fn sites(&mut self, sites: &[(Site, At)]) {
        self.add("sites", SITES, |columns| {
            columns
                .push_bind(column(sites, |(site, _)| site.as_str()))
                .push_bind(column(sites, |(_, first)| first.0));
        });
    }

    pub(super) fn devices(&mut self, devices: &BTreeMap<(Site, Device), At>) {
        self.add("devices", DEVICES, |columns| {
            columns
                .push_bind(
                    devices
                        .keys()
                        .map(|(site, _)| site.as_str())
                        .collect::<Vec<_>>(),
                )
                .push_bind(
                    devices
                        .keys()
                        .map(|(_, device)| device.to_string())
                        .collect::<Vec<_>>(),
                )
                .push_bind(devices.values().map(|last| last.0).collect::<Vec<_>>());
        });
    }

    pub(super) fn extensions(&mut self, extensions: &BTreeMap<(Site, Extension), At>) {
        self.add("extensions", EXTENSIONS, |columns| {
            columns
                .push_bind(
                    extensions
                        .keys()
                        .map(|(site, _)| site.as_str())
                        .collect::<Vec<_>>(),
                )
                .push_bind(
                    extensions
                        .keys()
                        .map(|(_, extension)| extension.as_str())
                        .collect::<Vec<_>>(),
                )
                .push_bind(extensions.values().map(|first| first.0).collect::<Vec<_>>());
        });
    }

    pub(super) fn logs(&mut self, calls: &[&CallUpdate]) {
        self.add("logs", LOGS, |columns| {
            columns
                .push_bind(column(calls, |call| uuid(call.record.id)))
                .push_bind(column(calls, |call| call.record.site.as_str()))
                .push_bind(column(calls, |call| direction_name(call.record.direction)))
                .push_bind(column(calls, |call| status_name(call.record.status)))
                .push_bind(column(calls, |call| call.record.outcome.map(outcome_name)))
                .push_bind(column(calls, |call| call.record.from.number.as_deref()))
                .push_bind(column(calls, |call| call.record.from.e164.as_deref()))
                .push_bind(column(calls, |call| call.record.to.number.as_deref()))
                .push_bind(column(calls, |call| call.record.to.e164.as_deref()))
                .push_bind(column(calls, |call| sql::answered_by(&call.record)))
                .push_bind(column(calls, |call| call.record.started_at.0))
                .push_bind(column(calls, |call| micros(call.record.answered_at)))
                .push_bind(column(calls, |call| micros(call.record.ended_at)))
                .push_bind(column(calls, |call| call.record.ring.map(|span| span.0)))
                .push_bind(column(calls, |call| call.record.talk.0))
                .push_bind(column(calls, |call| call.record.total.map(|span| span.0)))
                .push_bind(column(calls, |call| call.json()));
        });
    }

    pub(super) fn open_states(&mut self, calls: &[&CallUpdate]) {
        self.add("open_states", OPEN_STATES, |columns| {
            state_columns(columns, calls)
        });
    }

    pub(super) fn final_states(&mut self, calls: &[&CallUpdate]) {
        self.add("final_states", FINAL_STATES, |columns| {
            state_columns(columns, calls)
        });
        self.add("no_states", NO_STATES, |columns| {
            columns.push_bind(column(calls, |call| call.record.id.to_string()));
        });
    }

    pub(super) fn outcomes(&mut self, now: &[(&CallRecord, OutcomeRow)]) {
        self.add("outcomes", OUTCOMES, |columns| {
            columns
                .push_bind(column(now, |(_, place)| outcome_name(place.outcome)))
                .push_bind(column(now, |(_, place)| place.started_at.0))
                .push_bind(column(now, |(call, _)| uuid(call.id)))
                .push_bind(column(now, |(call, _)| call.site.as_str()))
                .push_bind(column(now, |(_, place)| place.ended_at.0));
        });
    }

    pub(super) fn no_more_outcomes(&mut self, before: &[(CallId, OutcomeRow)]) {
        self.add("no_outcomes", NO_OUTCOMES, |columns| {
            columns
                .push_bind(column(before, |(_, place)| outcome_name(place.outcome)))
                .push_bind(column(before, |(_, place)| place.started_at.0))
                .push_bind(column(before, |(call, _)| uuid(*call)));
        });
    }

    pub(super) fn participants(&mut self, participants: &[(&CallRecord, usize, &Participant)]) {
        self.add("participants", PARTICIPANTS, |columns| {
            columns
                .push_bind(column(participants, |(call, ..)| uuid(call.id)))
                .push_bind(column(participants, |(_, place, _)| {
                    i32::try_from(*place).unwrap_or(i32::MAX)
                }))
                .push_bind(column(participants, |(call, ..)| call.site.as_str()))
                .push_bind(column(participants, |(call, ..)| call.started_at.0))
                .push_bind(column(participants, |(.., who)| {
                    who.extension.as_ref().map(Extension::as_str)
                }))
                .push_bind(column(participants, |(.., who)| who.device.to_string()))
                .push_bind(column(participants, |(.., who)| role_name(who.role)))
                .push_bind(column(participants, |(.., who)| micros(who.rang_at)))
                .push_bind(column(participants, |(.., who)| micros(who.answered_at)))
                .push_bind(column(participants, |(.., who)| micros(who.left_at)))
                .push_bind(column(participants, |(.., who)| {
                    participant_outcome_name(who.outcome)
                }));
        });
    }

    /// No more participants than there are now.
    pub(super) fn no_other_participants(&mut self, of: &[(CallId, usize)]) {
        self.add("no_participants", NO_PARTICIPANTS, |columns| {
            columns
                .push_bind(column(of, |(call, _)| uuid(*call)))
                .push_bind(column(of, |(_, participants)| {
                    i32::try_from(*participants).unwrap_or(i32::MAX)
                }));
        });
    }

    pub(super) fn links(&mut self, links: &[(CallId, &Link)]) {
        self.add("links", LINKS, |columns| {
            columns
                .push_bind(column(links, |(call, _)| uuid(*call)))
                .push_bind(column(links, |(_, link)| uuid(link.call)))
                .push_bind(column(links, |(_, link)| link.kind.name()))
                .push_bind(column(links, |(_, link)| link.confidence.name()))
                .push_bind(column(links, |(_, link)| link.reason));
        });
    }

    /// No links but these, and those made by hand; without a link there are none of the call.
    pub(super) fn no_other_links(&mut self, now: &[(CallId, Option<&Link>)]) {
        self.add("links_now", LINKS_NOW, |columns| {
            columns
                .push_bind(column(now, |(call, _)| uuid(*call)))
                .push_bind(column(now, |(_, link)| link.map(|link| uuid(link.call))))
                .push_bind(column(now, |(_, link)| link.map(|link| link.kind.name())));
        });
        self.add("no_links", NO_LINKS, |_| ());
    }

    pub(super) fn missed(&mut self, records: &[&CallRecord]) {
        self.add("missed", MISSED, |columns| {
            columns
                .push_bind(column(records, |record| uuid(record.id)))
                .push_bind(column(records, |record| record.site.as_str()))
                .push_bind(column(records, |record| record.from.number.as_deref()))
                .push_bind(column(records, |record| record.from.e164.as_deref()))
                .push_bind(column(records, |record| sql::missed_extensions(record)))
                .push_bind(column(records, |record| sql::missed_at(record).0));
        });
    }

    pub(super) fn not_missed(&mut self, calls: &[CallId]) {
        self.add("not_missed", NOT_MISSED, |columns| {
            columns.push_bind(column(calls, |call| uuid(*call)));
        });
    }

    /// Calls that turned out to be none. Their participants, links and missed calls are other
    /// parts.
    pub(super) fn withdrawn(&mut self, calls: &[CallId]) {
        self.add("no_logs", NO_LOGS, |columns| {
            columns.push_bind(column(calls, |call| uuid(*call)));
        });
        for (name, text) in [
            ("withdrawn_no_states", NO_STATES),
            ("withdrawn_states", WITHDRAWN_STATES),
        ] {
            self.add(name, text, |columns| {
                columns.push_bind(column(calls, ToString::to_string));
            });
        }
    }

    pub(super) fn news(&mut self, news: &[Notification]) {
        self.add("news", NEWS, |columns| {
            columns
                .push_bind(column(news, |news| news.number.cast_signed()))
                .push_bind(column(news, |news| news.kind.name()))
                .push_bind(column(news, |news| uuid(news.call)))
                .push_bind(column(news, |news| &*news.data));
        });
    }

    pub(super) fn no_news_up_to(&mut self, number: i64) {
        self.add("no_news", NO_NEWS, |columns| {
            columns.push_bind(vec![number]);
        });
    }
}

fn state_columns(columns: &mut Columns<'_>, calls: &[&CallUpdate]) {
    columns
        .push_bind(column(calls, |call| uuid(call.record.id)))
        .push_bind(column(calls, |call| call.record.site.as_str()))
        .push_bind(column(calls, |call| direction_name(call.record.direction)))
        .push_bind(column(calls, |call| status_name(call.record.status)))
        .push_bind(column(calls, |call| call.record.from.number.as_deref()))
        .push_bind(column(calls, |call| call.record.to.number.as_deref()))
        .push_bind(column(calls, |call| call.record.started_at.0))
        .push_bind(column(calls, |call| micros(call.record.ended_at)));
}
