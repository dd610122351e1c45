//! One batch: every statement takes all of it, and what stands already is not written again.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::Part;
use super::columns::{self, Calls};
use super::stats::{Minute, Share, Shares};
use super::written::{Call, Strangers, Written};
use crate::adapter::sql;
use crate::domain::fact::{CallId, EventId};
use crate::domain::record::CallRecord;
use crate::domain::time::At;
use crate::port::ledger::{CallNow, Changes};

const INSERT_EVENTS: &str = "INSERT INTO call_events (event_id, site, received_at, event, device, extension, remote, remote_e164, call_ref, envelope)
 SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[]) ON CONFLICT DO NOTHING";
const INSERT_SITES: &str = "INSERT INTO sites (site, first_seen) SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING";
const UPSERT_DEVICES: &str =
    "INSERT INTO devices AS known (site, device, last_seen) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
 ON CONFLICT (site, device) DO UPDATE SET last_seen = excluded.last_seen WHERE excluded.last_seen > known.last_seen";
const UPSERT_EXTENSIONS: &str =
    "INSERT INTO extensions AS known (site, extension, first_report) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
 ON CONFLICT (site, extension) DO UPDATE SET first_report = excluded.first_report WHERE excluded.first_report < known.first_report";
const INSERT_DEAD: &str =
    "INSERT INTO dead_events (digest, reason, message) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]) ON CONFLICT DO NOTHING";
const INSERT_NEWS: &str = "INSERT INTO notices (generation, part, number, kind, call_id, data)
 SELECT $1, $2, number, kind, call_id, data FROM unnest($3::bigint[], $4::text[], $5::uuid[], $6::text[]) AS t (number, kind, call_id, data)
 ON CONFLICT (generation, part, number) DO UPDATE SET kind = excluded.kind, call_id = excluded.call_id, data = excluded.data";
const UPSERT_LOGS: &str = "INSERT INTO call_logs (call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record)
 SELECT call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record::json
 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[])
    AS t (call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record)
 ON CONFLICT (call_id) DO UPDATE SET direction = excluded.direction, status = excluded.status, outcome = excluded.outcome, from_number = excluded.from_number, from_e164 = excluded.from_e164, to_number = excluded.to_number, to_e164 = excluded.to_e164, answered_by = excluded.answered_by, started_at = excluded.started_at, answered_at = excluded.answered_at, ended_at = excluded.ended_at, ring_us = excluded.ring_us, talk_us = excluded.talk_us, total_us = excluded.total_us, record = excluded.record";
/// What there is to say of one of our calls beyond these columns says its log.
const UPSERT_STATES: &str = "INSERT INTO call_states (call_id, our_call, is_open, provider, site, direction, status, from_number, to_number, call_metadata, created_at, updated_at, ended_at)
 SELECT call_id::text, call_id, NOT is_final, 'grandstream', site, direction, status, from_number, to_number, '{}', started_at, $10, ended_at
 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::boolean[])
    AS t (call_id, site, direction, status, from_number, to_number, started_at, ended_at, is_final)
 WHERE NOT is_final OR EXISTS (SELECT 1 FROM call_states WHERE call_states.call_id = t.call_id::text)
 ON CONFLICT (call_id) DO UPDATE SET direction = excluded.direction, status = excluded.status, from_number = excluded.from_number, to_number = excluded.to_number, updated_at = excluded.updated_at, ended_at = excluded.ended_at, our_call = excluded.our_call, is_open = excluded.is_open";
const INSERT_PARTICIPANTS: &str = "INSERT INTO call_participants (call_id, place, extension, device, role, rang_at, answered_at, left_at, outcome)
 SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[])
 ON CONFLICT (call_id, place) DO UPDATE SET extension = excluded.extension, device = excluded.device, role = excluded.role, rang_at = excluded.rang_at, answered_at = excluded.answered_at, left_at = excluded.left_at, outcome = excluded.outcome";
/// A call may have fewer participants than before.
const DELETE_PARTICIPANTS: &str = "DELETE FROM call_participants USING unnest($1::uuid[], $2::integer[]) AS t (id, participants)
 WHERE call_participants.call_id = t.id AND place >= t.participants";
const INSERT_LINKS: &str = "INSERT INTO call_links (call_id, linked_call_id, kind, confidence, reason)
 SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
 ON CONFLICT (call_id, linked_call_id, kind) DO UPDATE SET confidence = excluded.confidence, reason = excluded.reason";
const UPSERT_MISSED: &str = "INSERT INTO missed_call_logs (call_id, site, from_number, from_e164, extensions, missed_at)
 SELECT call_id, site, from_number, from_e164, extensions::json, missed_at
 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[]) AS t (call_id, site, from_number, from_e164, extensions, missed_at)
 ON CONFLICT (call_id) DO UPDATE SET extensions = excluded.extensions, missed_at = excluded.missed_at, retracted = false";
/// A missed call whose call is written again without being missed was answered after all.
const RETRACT_MISSED: &str =
    "UPDATE missed_call_logs SET retracted = true FROM unnest($1::uuid[]) AS t (id) WHERE call_id = t.id AND NOT retracted";

/// Writes what a batch changes, within a transaction that is guarded already.
pub(super) async fn write(transaction: &mut PgConnection, written: &mut Written, part: Part, changes: &Changes) -> Result<(), sqlx::Error> {
    // A call has the id of its first fact: where that is new, so is the call.
    let mut begun = HashSet::new();
    if !changes.facts.is_empty() {
        let inserted = columns::events(INSERT_EVENTS, &changes.facts).execute(&mut *transaction).await?;
        if inserted.rows_affected() == changes.facts.len() as u64 {
            begun.extend(changes.facts.iter().map(|received| received.fact.id));
        }
        write_down(transaction, &written.strangers(&changes.facts)).await?;
    }
    if !changes.dead.is_empty() {
        columns::dead(INSERT_DEAD, &changes.dead).execute(&mut *transaction).await?;
    }
    if !changes.withdrawn.is_empty() {
        withdraw(transaction, written, &changes.withdrawn).await?;
    }
    if !changes.calls.is_empty() {
        write_calls(transaction, written, &begun, changes).await?;
    }
    if let Some(last) = changes.news.last() {
        columns::news(INSERT_NEWS, &part, &changes.news).execute(&mut *transaction).await?;
        // In steps, so that not every batch has something to delete. What was not told yet stays until it is.
        let forgotten = (last.number.cast_signed() - sql::NEWS_KEPT).min(changes.relayed.cast_signed());
        let forgotten = forgotten.div_euclid(sql::NEWS_KEPT / 10) * (sql::NEWS_KEPT / 10);
        if written.forgotten == Some(forgotten) {
            return Ok(());
        }
        written.forgotten = Some(forgotten);
        sqlx::query("DELETE FROM notices WHERE generation = $1 AND part = $2 AND number <= $3")
            .bind(part.generation.cast_signed())
            .bind(part.number.cast_signed())
            .bind(forgotten)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}

/// Who there is.
async fn write_down(transaction: &mut PgConnection, strangers: &Strangers) -> Result<(), sqlx::Error> {
    if !strangers.sites.is_empty() {
        columns::sites(INSERT_SITES, &strangers.sites).execute(&mut *transaction).await?;
    }
    if !strangers.devices.is_empty() {
        columns::devices(UPSERT_DEVICES, &strangers.devices).execute(&mut *transaction).await?;
    }
    if !strangers.extensions.is_empty() {
        columns::extensions(UPSERT_EXTENSIONS, &strangers.extensions).execute(transaction).await?;
    }
    Ok(())
}

async fn write_calls(
    transaction: &mut PgConnection,
    written: &mut Written,
    begun: &HashSet<CallId>,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let last = sql::last_words(changes);
    let unknown = |id: &CallId| written.call(*id).is_none() && !begun.contains(id);
    let unknown: Vec<CallId> = last.iter().map(|call| call.record.id).filter(unknown).collect();
    let stored = stored(transaction, &unknown).await?;
    // That nothing can change it any more says nothing new of a call.
    let new: Vec<&CallNow> = last.iter().copied().filter(|call| !written.is_written(call)).collect();
    let (over, going_on): (Vec<&CallNow>, Vec<&CallNow>) = last.iter().copied().partition(|call| call.is_final);
    let records: Vec<&CallRecord> = new.iter().map(|call| &call.record).collect();
    // Of what is unknown here and stands there nobody knows how.
    let differs = |record: &CallRecord, differs: fn(&Call, &CallRecord) -> bool| {
        written.call(record.id).map_or_else(|| stored.contains_key(&record.id), |before| differs(before, record))
    };

    if !new.is_empty() {
        Calls(&new).logs(UPSERT_LOGS).execute(&mut *transaction).await?;
    }
    if !over.is_empty() {
        // A call that another program has joined to a session of its own stays for it to be found.
        let ids: Vec<String> = over.iter().map(|call| call.record.id.to_string()).collect();
        run(transaction, "DELETE FROM call_states WHERE session_id IS NULL AND call_id = ANY($1)", &ids).await?;
    }
    let stated: Vec<&CallNow> = new.iter().copied().filter(|call| !call.is_final).chain(over.iter().copied()).collect();
    if !stated.is_empty() {
        Calls(&stated).states(UPSERT_STATES, changes.watermark.unwrap_or(At::START)).execute(&mut *transaction).await?;
    }

    let shrunk: Vec<&CallRecord> = records.iter().copied().filter(|record| differs(record, Call::has_more_participants)).collect();
    if !shrunk.is_empty() {
        columns::counts_of_participants(DELETE_PARTICIPANTS, &shrunk).execute(&mut *transaction).await?;
    }
    let stands = |call: CallId, place: usize| written.call(call).and_then(|call| call.participants.get(place));
    if let Some(participants) = columns::participants(INSERT_PARTICIPANTS, &records, stands) {
        participants.execute(&mut *transaction).await?;
    }
    let unlinked = columns::uuids(records.iter().filter(|record| differs(record, Call::has_other_links)).map(|record| record.id));
    if !unlinked.is_empty() {
        sqlx::query("DELETE FROM call_links WHERE NOT by_hand AND call_id = ANY($1)").bind(unlinked).execute(&mut *transaction).await?;
    }
    if let Some(links) = columns::links(INSERT_LINKS, &records) {
        links.execute(&mut *transaction).await?;
    }
    let not_missed = columns::uuids(records.iter().filter(|record| differs(record, Call::is_missed_no_more)).map(|record| record.id));
    if !not_missed.is_empty() {
        sqlx::query(RETRACT_MISSED).bind(not_missed).execute(&mut *transaction).await?;
    }
    if let Some(missed) = columns::missed(UPSERT_MISSED, &records) {
        missed.execute(&mut *transaction).await?;
    }

    let mut shares = Shares::default();
    for record in &records {
        shares.change(written.call(record.id).and_then(|before| before.share.as_ref()), Share::of(record));
    }
    shares.touch(&stored);
    for call in going_on {
        written.wrote(call);
    }
    for call in over {
        written.forget(call.record.id);
    }
    written.stats.write(transaction, shares).await
}

async fn withdraw(transaction: &mut PgConnection, written: &mut Written, calls: &[CallId]) -> Result<(), sqlx::Error> {
    let mut shares = Shares::default();
    shares.touch(&stored(transaction, calls).await?);
    let ids = columns::uuids(calls.iter().copied());
    for sql in [
        "DELETE FROM call_participants WHERE call_id = ANY($1)",
        "DELETE FROM call_links WHERE call_id = ANY($1)",
        "DELETE FROM call_logs WHERE call_id = ANY($1)",
        RETRACT_MISSED,
    ] {
        sqlx::query(sql).bind(&ids).execute(&mut *transaction).await?;
    }
    let texts: Vec<String> = calls.iter().map(ToString::to_string).collect();
    run(transaction, "DELETE FROM call_states WHERE session_id IS NULL AND call_id = ANY($1)", &texts).await?;
    run(transaction, "UPDATE call_states SET is_open = false WHERE call_id = ANY($1)", &texts).await?;
    for call in calls {
        written.forget(*call);
    }
    written.stats.write(transaction, shares).await
}

/// Those of these calls that are in the logs, and the minutes in which they are counted.
async fn stored(transaction: &mut PgConnection, calls: &[CallId]) -> Result<HashMap<CallId, Minute>, sqlx::Error> {
    if calls.is_empty() {
        return Ok(HashMap::new());
    }
    let minute = |row: PgRow| (EventId(row.get::<Uuid, _>(0).as_u128()), (row.get(1), sql::minute_of(row.get(2))));
    let sql = "SELECT call_id, site, started_at FROM call_logs WHERE call_id = ANY($1)";
    let found = sqlx::query(sql).bind(columns::uuids(calls.iter().copied())).map(minute).fetch_all(transaction).await?;
    Ok(found.into_iter().collect())
}

async fn run(transaction: &mut PgConnection, sql: &'static str, texts: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query(sql).bind(texts).execute(transaction).await.map(|_| ())
}
