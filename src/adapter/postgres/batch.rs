//! One batch: every part takes all of it, and what stands already is not written again.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::parts;
use super::statement::{Everything, Fence};
use super::stats::{Share, direction_named};
use super::written::{Call, Place, Strangers, Written};
use crate::adapter::sql;
use crate::domain::fact::{CallId, EventId};
use crate::domain::link::Link;
use crate::domain::record::{CallRecord, Outcome, Participant};
use crate::domain::time::At;
use crate::port::fanout::News;
use crate::port::ledger::{CallNow, Changes};
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
    written: &mut Written,
    fence: Fence,
    changes: &Changes,
    new: &HashSet<EventId>,
) -> Result<Option<i64>, sqlx::Error> {
    let last = sql::last_words(changes);
    let rewritten: HashSet<CallId> = last.iter().map(|call| call.record.id).collect();
    let withdrawn: Vec<CallId> = changes
        .withdrawn
        .iter()
        .copied()
        .filter(|call| !rewritten.contains(call))
        .collect();
    for call in &changes.withdrawn {
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

    let mut all = Everything::behind(fence, changes);
    if !changes.facts.is_empty() {
        all.events(&changes.facts);
        write_down(&mut all, &written.strangers(&changes.facts));
    }
    if !changes.dead.is_empty() {
        all.dead(&changes.dead);
    }
    if !last.is_empty() || !withdrawn.is_empty() {
        write_calls(connection, &mut all, written, &stored, &last, withdrawn).await?;
    }
    if !changes.news.is_empty() {
        write_news(&mut all, written, changes.relayed, &changes.news);
    }
    all.run(connection).await
}

/// Who there is.
fn write_down(all: &mut Everything, strangers: &Strangers) {
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
    all: &mut Everything,
    written: &mut Written,
    stored: &HashMap<CallId, Stored>,
    last: &[&CallNow],
    withdrawn: Vec<CallId>,
) -> Result<(), sqlx::Error> {
    // That nothing can change it any more says nothing new of a call.
    let new: Vec<&CallNow> = last
        .iter()
        .copied()
        .filter(|call| !written.is_written(call))
        .collect();
    let (over, going_on): (Vec<&CallNow>, Vec<&CallNow>) =
        last.iter().copied().partition(|call| call.is_final);
    let records: Vec<&CallRecord> = new.iter().map(|call| &call.record).collect();
    let open: Vec<&CallNow> = new.iter().copied().filter(|call| !call.is_final).collect();
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
    let mut shares: Vec<(Option<Share>, Option<Share>)> = records
        .iter()
        .map(|record| (before(record.id), Share::of(record)))
        .collect();
    shares.extend(withdrawn.iter().map(|call| (before(*call), None)));
    for call in going_on {
        written.wrote(call);
    }
    for call in over {
        written.forget(call.record.id);
    }
    written.stats.write(connection, all, shares).await
}

/// What became of calls.
fn write_outcomes(
    all: &mut Everything,
    written: &Written,
    stored: &HashMap<CallId, Stored>,
    records: &[&CallRecord],
    withdrawn: &[CallId],
) {
    let before = |id: CallId| match written.call(id) {
        Some(call) => call.place,
        None => stored.get(&id)?.place,
    };
    let moved: Vec<&CallRecord> = records
        .iter()
        .copied()
        .filter(|record| before(record.id) != Place::of(record))
        .collect();
    let now: Vec<(&CallRecord, Place)> = moved
        .iter()
        .filter_map(|record| Some((*record, Place::of(record)?)))
        .collect();
    if !now.is_empty() {
        all.outcomes(&now);
    }
    let no_more = moved
        .iter()
        .map(|record| (record.id, Place::of(record)))
        .chain(withdrawn.iter().map(|call| (*call, None)));
    let no_more = no_more.filter_map(|(call, now)| {
        Some((call, before(call).filter(|before| !before.is_where(now))?))
    });
    let no_more: Vec<(CallId, Place)> = no_more.collect();
    if !no_more.is_empty() {
        all.no_more_outcomes(&no_more);
    }
}

/// Who took part in calls, what they are linked to, who missed them.
fn write_parties(
    all: &mut Everything,
    written: &Written,
    stored: &HashMap<CallId, Stored>,
    records: &[&CallRecord],
    withdrawn: &[CallId],
) {
    // Of what is unknown here and stands there nobody knows how.
    let differs = |record: &&&CallRecord, differs: fn(&Call, &CallRecord) -> bool| {
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
        .filter(|record| differs(record, Call::has_more_participants));
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
        .filter(|record| differs(record, Call::has_other_links))
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
    let not_missed = records
        .iter()
        .filter(|record| !sql::is_missed(record) && differs(record, Call::is_missed_no_more));
    let not_missed: Vec<CallId> = not_missed
        .map(|record| record.id)
        .chain(withdrawn.iter().copied())
        .collect();
    if !not_missed.is_empty() {
        all.not_missed(&not_missed);
    }
}

fn write_news(all: &mut Everything, written: &mut Written, relayed: u64, news: &[News]) {
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
    if written.forgotten != Some(forgotten) {
        written.forgotten = Some(forgotten);
        all.no_news_up_to(forgotten);
    }
}

/// What the logs say of a call that is not known from having been written.
struct Stored {
    share: Option<Share>,
    place: Option<Place>,
}

/// Those of these calls that are in the logs.
async fn stored(
    connection: &mut PgConnection,
    calls: Vec<CallId>,
) -> Result<HashMap<CallId, Stored>, sqlx::Error> {
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
            Some(Share::new(
                row.get(1),
                started_at.0,
                direction_named(row.get(3))?,
                outcome,
                row.get(5),
                row.get(6),
            ))
        };
        let stored = Stored {
            share: outcome.and_then(share),
            place: outcome.map(|outcome| Place {
                outcome,
                started_at,
                ended_at: row.get::<Option<i64>, _>(7).map_or(started_at, At),
            }),
        };
        (EventId(row.get::<Uuid, _>(0).as_u128()), stored)
    };
    let sql = "SELECT call_id, site, started_at, direction, outcome, ring_us, talk_us, ended_at FROM call_logs WHERE call_id = ANY($1)";
    let found = sqlx::query(sql)
        .bind(parts::uuids(calls))
        .map(stored)
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().collect())
}
