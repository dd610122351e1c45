//! One batch: every part takes all of it, and what stands already is not written again.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::statement::{BatchStatement, Fence};
use super::stats::{CallShare, direction_named};
use super::tables;
use super::written_rows::{NewEntities, OutcomeRow, WrittenCall, WrittenRows};
use crate::adapter::sql;
use crate::domain::fact::{CallId, EventId};
use crate::domain::link::Link;
use crate::domain::record::{CallRecord, Outcome, Participant};
use crate::domain::time::At;
use crate::port::ledger::{CallUpdate, Changes};
use crate::port::outbox::Notification;
use crate::wire::call_json::outcome_name;

const OUTCOMES: [Outcome; 4] = [
    Outcome::Answered,
    Outcome::Missed,
    Outcome::NoAnswer,
    Outcome::Lost,
];

/// Writes what a batch changes. `None` when the partition is not this owner's, or something was
/// written to it since the fence was read: then what is asked here was no longer true either, and
/// nothing is written. `new` are facts that are not in the database.
pub(super) async fn write(
    connection: &mut PgConnection,
    written: &mut WrittenRows,
    fence: Fence,
    changes: &Changes,
    new: &HashSet<EventId>,
) -> Result<Option<i64>, sqlx::Error> {
    let last = sql::latest_per_call(changes);
    let rewritten: HashSet<CallId> = last.iter().map(|call| call.record.id).collect();
    let withdrawn: Vec<CallId> = changes
        .withdrawn_calls
        .iter()
        .copied()
        .filter(|call| !rewritten.contains(call))
        .collect();
    for call in &changes.withdrawn_calls {
        written.forget(*call);
    }
    // A call has the id of its first fact: where that is new, so is the call.
    let unknown = last
        .iter()
        .map(|call| call.record.id)
        .filter(|id| written.call(*id).is_none() && !new.contains(id));
    let stored = stored(
        connection,
        unknown.chain(withdrawn.iter().copied()).collect(),
    )
    .await?;

    let mut all = BatchStatement::fenced(fence, changes);
    if !changes.facts.is_empty() {
        all.events(&changes.facts);
        write_entities(&mut all, &written.take_new_entities(&changes.facts));
    }
    if !changes.rejected.is_empty() {
        all.dead(&changes.rejected);
    }
    if !last.is_empty() || !withdrawn.is_empty() {
        write_calls(connection, &mut all, written, &stored, &last, withdrawn).await?;
    }
    if !changes.notifications.is_empty() {
        write_notifications(
            &mut all,
            written,
            changes.published_up_to,
            &changes.notifications,
        );
    }
    all.run(connection).await
}

/// Who there is.
fn write_entities(all: &mut BatchStatement, strangers: &NewEntities) {
    if !strangers.sites.is_empty() {
        all.sites(&strangers.sites);
    }
    if !strangers.devices.is_empty() {
        all.devices(&strangers.devices);
    }
    if !strangers.extensions.is_empty() {
        all.extensions(&strangers.extensions);
    }
}

async fn write_calls(
    connection: &mut PgConnection,
    all: &mut BatchStatement,
    written: &mut WrittenRows,
    stored: &HashMap<CallId, StoredCall>,
    last: &[&CallUpdate],
    withdrawn: Vec<CallId>,
) -> Result<(), sqlx::Error> {
    // That nothing can change it any more says nothing new of a call.
    let new: Vec<&CallUpdate> = last
        .iter()
        .copied()
        .filter(|call| !written.is_written(call))
        .collect();
    let (over, going_on): (Vec<&CallUpdate>, Vec<&CallUpdate>) =
        last.iter().copied().partition(|call| call.is_final);
    let records: Vec<&CallRecord> = new.iter().map(|call| &call.record).collect();
    let open: Vec<&CallUpdate> = new.iter().copied().filter(|call| !call.is_final).collect();
    if !new.is_empty() {
        all.logs(&new);
    }
    if !open.is_empty() {
        all.open_states(&open);
    }
    if !over.is_empty() {
        all.final_states(&over);
    }
    if !withdrawn.is_empty() {
        all.withdrawn(&withdrawn);
    }
    write_parties(all, written, stored, &records, &withdrawn);
    write_outcomes(all, written, stored, &records, &withdrawn);

    let before = |id: CallId| match written.call(id) {
        Some(call) => call.share.clone(),
        None => stored.get(&id)?.share.clone(),
    };
    let mut shares: Vec<(Option<CallShare>, Option<CallShare>)> = records
        .iter()
        .map(|record| (before(record.id), CallShare::of(record)))
        .collect();
    shares.extend(withdrawn.iter().map(|call| (before(*call), None)));
    for call in going_on {
        written.remember(call);
    }
    for call in over {
        written.forget(call.record.id);
    }
    written.stats.write(connection, all, shares).await
}

/// What became of calls.
fn write_outcomes(
    all: &mut BatchStatement,
    written: &WrittenRows,
    stored: &HashMap<CallId, StoredCall>,
    records: &[&CallRecord],
    withdrawn: &[CallId],
) {
    let before = |id: CallId| match written.call(id) {
        Some(call) => call.outcome_row,
        None => stored.get(&id)?.place,
    };
    let moved: Vec<&CallRecord> = records
        .iter()
        .copied()
        .filter(|record| before(record.id) != OutcomeRow::of(record))
        .collect();
    let now: Vec<(&CallRecord, OutcomeRow)> = moved
        .iter()
        .filter_map(|record| Some((*record, OutcomeRow::of(record)?)))
        .collect();
    if !now.is_empty() {
        all.outcomes(&now);
    }
    let no_more = moved
        .iter()
        .map(|record| (record.id, OutcomeRow::of(record)))
        .chain(withdrawn.iter().map(|call| (*call, None)));
    let no_more = no_more.filter_map(|(call, now)| {
        Some((call, before(call).filter(|before| !before.has_key_of(now))?))
    });
    let no_more: Vec<(CallId, OutcomeRow)> = no_more.collect();
    if !no_more.is_empty() {
        all.no_more_outcomes(&no_more);
    }
}

/// Who took part in calls, what they are linked to, who missed them.
fn write_parties(
    all: &mut BatchStatement,
    written: &WrittenRows,
    stored: &HashMap<CallId, StoredCall>,
    records: &[&CallRecord],
    withdrawn: &[CallId],
) {
    // Of what is unknown here and stands there nobody knows how.
    let differs = |record: &&&CallRecord, differs: fn(&WrittenCall, &CallRecord) -> bool| {
        written.call(record.id).map_or_else(
            || stored.contains_key(&record.id),
            |before| differs(before, record),
        )
    };
    let stands = |record: &CallRecord, place: usize| {
        written
            .call(record.id)
            .filter(|before| before.started_at == record.started_at)
            .and_then(|before| before.participants.get(place))
    };
    let participants = records.iter().flat_map(|record| {
        record
            .participants
            .iter()
            .enumerate()
            .map(move |(place, who)| (*record, place, who))
    });
    let participants: Vec<(&CallRecord, usize, &Participant)> = participants
        .filter(|(record, place, who)| stands(record, *place) != Some(*who))
        .collect();
    if !participants.is_empty() {
        all.participants(&participants);
    }
    let shrunk = records
        .iter()
        .filter(|record| differs(record, WrittenCall::has_more_participants));
    let shrunk = shrunk
        .map(|record| (record.id, record.participants.len()))
        .chain(withdrawn.iter().map(|call| (*call, 0)));
    let shrunk: Vec<(CallId, usize)> = shrunk.collect();
    if !shrunk.is_empty() {
        all.no_other_participants(&shrunk);
    }

    let links: Vec<(CallId, &Link)> = records
        .iter()
        .flat_map(|record| record.links.iter().map(|link| (record.id, link)))
        .collect();
    if !links.is_empty() {
        all.links(&links);
    }
    let linked_otherwise: Vec<&CallRecord> = records
        .iter()
        .filter(|record| differs(record, WrittenCall::has_other_links))
        .copied()
        .collect();
    let kept = linked_otherwise
        .iter()
        .flat_map(|record| record.links.iter().map(|link| (record.id, Some(link))));
    let without = linked_otherwise
        .iter()
        .map(|record| (record.id, None))
        .chain(withdrawn.iter().map(|call| (*call, None)));
    let links_now: Vec<(CallId, Option<&Link>)> = kept.chain(without).collect();
    if !links_now.is_empty() {
        all.no_other_links(&links_now);
    }

    let missed: Vec<&CallRecord> = records
        .iter()
        .copied()
        .filter(|record| sql::is_missed(record))
        .collect();
    if !missed.is_empty() {
        all.missed(&missed);
    }
    let not_missed = records.iter().filter(|record| {
        !sql::is_missed(record) && differs(record, WrittenCall::is_missed_no_more)
    });
    let not_missed: Vec<CallId> = not_missed
        .map(|record| record.id)
        .chain(withdrawn.iter().copied())
        .collect();
    if !not_missed.is_empty() {
        all.not_missed(&not_missed);
    }
}

fn write_notifications(
    all: &mut BatchStatement,
    written: &mut WrittenRows,
    relayed: u64,
    news: &[Notification],
) {
    all.news(news);
    let (Some(first), Some(last)) = (news.first(), news.last()) else {
        return;
    };
    // In steps, so that not every batch has something to delete. What was not told yet stays until
    // it is; and so does what is written again here.
    let forgotten = (last.number.cast_signed() - sql::NEWS_KEPT)
        .min(relayed.cast_signed())
        .min(first.number.cast_signed() - 1);
    let forgotten = forgotten.div_euclid(sql::NEWS_KEPT / 10) * (sql::NEWS_KEPT / 10);
    if written.deleted_up_to != Some(forgotten) {
        written.deleted_up_to = Some(forgotten);
        all.no_news_up_to(forgotten);
    }
}

/// What the logs say of a call that is not known from having been written.
struct StoredCall {
    share: Option<CallShare>,
    place: Option<OutcomeRow>,
}

/// Those of these calls that are in the logs.
async fn stored(
    connection: &mut PgConnection,
    calls: Vec<CallId>,
) -> Result<HashMap<CallId, StoredCall>, sqlx::Error> {
    if calls.is_empty() {
        return Ok(HashMap::new());
    }
    let stored = |row: PgRow| {
        let started_at = At(row.get(2));
        let outcome = row.get::<Option<&str>, _>(4).and_then(|name| {
            OUTCOMES
                .into_iter()
                .find(|outcome| outcome_name(*outcome) == name)
        });
        let share = |outcome| {
            Some(CallShare::new(
                row.get(1),
                started_at.0,
                direction_named(row.get(3))?,
                outcome,
                row.get(5),
                row.get(6),
            ))
        };
        let stored = StoredCall {
            share: outcome.and_then(share),
            place: outcome.map(|outcome| OutcomeRow {
                outcome,
                started_at,
                ended_at: row.get::<Option<i64>, _>(7).map_or(started_at, At),
            }),
        };
        (EventId(row.get::<Uuid, _>(0).as_u128()), stored)
    };
    let sql = "SELECT call_id, site, started_at, direction, outcome, ring_us, talk_us, ended_at FROM call_logs WHERE call_id = ANY($1)";
    let found = sqlx::query(sql)
        .bind(tables::uuids(calls))
        .map(stored)
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().collect())
}
