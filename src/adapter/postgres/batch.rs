//! Makes the statement of a batch. Rows that are already stored unchanged are skipped.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::column::uuids;
use super::statement::{BatchStatement, Fence};
use super::stats::{CallShare, parse_direction};
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

/// Old notifications are deleted in steps of this many, so that not every batch deletes some.
const NOTIFICATIONS_DELETED_STEP: i64 = sql::NOTIFICATIONS_STORED / 10;

const SELECT_STORED_CALLS: &str = "-- select_stored_calls
    SELECT call_id, site, started_at, direction, outcome, ring_us, talk_us, ended_at
    FROM call_logs
    WHERE call_id = ANY($1)";

/// The statement that writes the changes of a batch. `new` are facts that are not in the database.
///
/// The statement writes nothing when the partition has another owner, or another one was committed
/// since `last_commit_no` was read: what this function has read may then be outdated, too.
pub(super) async fn statement<'c>(
    connection: &mut PgConnection,
    written: &mut WrittenRows,
    fence: Fence,
    changes: &'c Changes,
    new: &HashSet<EventId>,
) -> Result<BatchStatement<'c>, sqlx::Error> {
    let latest = changes.latest_calls();
    let rewritten: HashSet<CallId> = latest.iter().map(|call| call.record.id).collect();
    let withdrawn: Vec<CallId> = changes
        .withdrawn_calls
        .iter()
        .copied()
        .filter(|call| !rewritten.contains(call))
        .collect();
    for call in &changes.withdrawn_calls {
        written.remove_call(*call);
    }

    // A call bears the id of a fact, or one derived from it: the call of a new fact is new as well.
    let uncached = latest
        .iter()
        .map(|call| call.record.id)
        .filter(|id| written.call(*id).is_none() && !new.contains(id));
    let to_read = uncached.chain(withdrawn.iter().copied()).collect();
    let stored = read_stored_calls(connection, to_read).await?;

    let mut statement = BatchStatement::fenced(fence, changes);
    if !changes.facts.is_empty() {
        statement.insert_events(&changes.facts);
        write_entities(&mut statement, &written.take_new_entities(&changes.facts));
    }
    if !changes.rejected.is_empty() {
        statement.insert_dead_events(&changes.rejected);
    }
    if !latest.is_empty() || !withdrawn.is_empty() {
        let shares = write_calls(&mut statement, written, &stored, &latest, &withdrawn);
        written
            .stats
            .write(connection, &mut statement, shares)
            .await?;
    }
    if !changes.notifications.is_empty() {
        write_notifications(
            &mut statement,
            written,
            changes.published_up_to,
            &changes.notifications,
        );
    }

    Ok(statement)
}

/// Inserts sites, and upserts devices and extensions.
fn write_entities(statement: &mut BatchStatement<'_>, new: &NewEntities) {
    if !new.sites.is_empty() {
        statement.insert_sites(&new.sites);
    }
    if !new.devices.is_empty() {
        statement.upsert_devices(&new.devices);
    }
    if !new.extensions.is_empty() {
        statement.upsert_extensions(&new.extensions);
    }
}

/// Writes calls to every table except the statistics, and updates the cache. Returns the share of
/// each call in the statistics before and after the batch.
fn write_calls<'c>(
    statement: &mut BatchStatement<'c>,
    written: &mut WrittenRows,
    stored: &HashMap<CallId, StoredCall>,
    latest: &[&'c CallUpdate],
    withdrawn: &[CallId],
) -> Vec<(Option<CallShare>, Option<CallShare>)> {
    // A call that only became final has the same log: just its state changes.
    let changed: Vec<&'c CallUpdate> = latest
        .iter()
        .copied()
        .filter(|call| !written.is_written(call))
        .collect();
    let changed_open: Vec<&'c CallUpdate> = changed
        .iter()
        .copied()
        .filter(|call| !call.is_final)
        .collect();
    let (closed, open): (Vec<&'c CallUpdate>, Vec<&'c CallUpdate>) =
        latest.iter().copied().partition(|call| call.is_final);
    let records: Vec<&'c CallRecord> = changed.iter().map(|call| &call.record).collect();
    let earlier = EarlierRows { written, stored };

    if !changed.is_empty() {
        statement.upsert_call_logs(&changed);
    }
    if !changed_open.is_empty() {
        statement.upsert_open_states(&changed_open);
    }
    if !closed.is_empty() {
        statement.close_states(&closed);
    }
    if !withdrawn.is_empty() {
        statement.delete_withdrawn_calls(withdrawn);
    }
    write_participants(statement, &earlier, &records, withdrawn);
    write_links(statement, &earlier, &records, withdrawn);
    write_missed_calls(statement, &earlier, &records, withdrawn);
    write_outcomes(statement, &earlier, &records, withdrawn);

    let shares = records
        .iter()
        .map(|record| (earlier.share(record.id), CallShare::of(record)))
        .chain(withdrawn.iter().map(|call| (earlier.share(*call), None)))
        .collect();
    for call in open {
        written.insert_call(call);
    }
    for call in closed {
        written.remove_call(call.record.id);
    }

    shares
}

/// The rows of calls before the batch: cached rows, and for uncached calls the stored log.
struct EarlierRows<'r> {
    written: &'r WrittenRows,
    stored: &'r HashMap<CallId, StoredCall>,
}

impl EarlierRows<'_> {
    fn share(&self, id: CallId) -> Option<CallShare> {
        match self.written.call(id) {
            Some(call) => call.share.clone(),
            None => self.stored.get(&id)?.share.clone(),
        }
    }

    fn outcome_row(&self, id: CallId) -> Option<OutcomeRow> {
        match self.written.call(id) {
            Some(call) => call.outcome_row,
            None => self.stored.get(&id)?.outcome_row,
        }
    }

    /// The written participant at a position, if the whole row can still be the same: it contains
    /// the start of the call.
    fn participant(&self, record: &CallRecord, position: usize) -> Option<&Participant> {
        self.written
            .call(record.id)
            .filter(|written| written.started_at == record.started_at)
            .and_then(|written| written.participants.get(position))
    }

    /// Whether a call has rows that its record contradicts. They are assumed for a call that is
    /// stored and uncached: the state of its other rows is unknown.
    fn has_stale_rows(
        &self,
        record: &CallRecord,
        contradicts: fn(&WrittenCall, &CallRecord) -> bool,
    ) -> bool {
        match self.written.call(record.id) {
            Some(call) => contradicts(call, record),
            None => self.stored.contains_key(&record.id),
        }
    }
}

/// Upserts changed participants, and deletes those beyond the present number.
fn write_participants<'c>(
    statement: &mut BatchStatement<'c>,
    earlier: &EarlierRows<'_>,
    records: &[&'c CallRecord],
    withdrawn: &[CallId],
) {
    let all = records.iter().flat_map(|record| {
        let participants = record.participants.iter().enumerate();
        participants.map(move |(position, participant)| (*record, position, participant))
    });
    let changed: Vec<(&CallRecord, usize, &Participant)> = all
        .filter(|(record, position, participant)| {
            earlier.participant(record, *position) != Some(*participant)
        })
        .collect();
    if !changed.is_empty() {
        statement.upsert_participants(&changed);
    }

    let shrunk = records
        .iter()
        .filter(|record| earlier.has_stale_rows(record, WrittenCall::has_more_participants))
        .map(|record| (record.id, record.participants.len()));
    let counts: Vec<(CallId, usize)> = shrunk
        .chain(withdrawn.iter().map(|call| (*call, 0)))
        .collect();
    if !counts.is_empty() {
        statement.delete_surplus_participants(&counts);
    }
}

/// Upserts links, and deletes those that the records no longer have.
fn write_links<'c>(
    statement: &mut BatchStatement<'c>,
    earlier: &EarlierRows<'_>,
    records: &[&'c CallRecord],
    withdrawn: &[CallId],
) {
    let links: Vec<(CallId, &Link)> = records
        .iter()
        .flat_map(|record| record.links.iter().map(|link| (record.id, link)))
        .collect();
    if !links.is_empty() {
        statement.upsert_links(&links);
    }

    let relinked: Vec<&CallRecord> = records
        .iter()
        .copied()
        .filter(|record| earlier.has_stale_rows(record, WrittenCall::has_other_links))
        .collect();
    let retained = relinked
        .iter()
        .flat_map(|record| record.links.iter().map(|link| (record.id, Some(link))));
    let calls = relinked
        .iter()
        .map(|record| record.id)
        .chain(withdrawn.iter().copied());
    let current: Vec<(CallId, Option<&Link>)> =
        retained.chain(calls.map(|call| (call, None))).collect();
    if !current.is_empty() {
        statement.delete_stale_links(&current);
    }
}

/// Upserts missed calls, and retracts those that were answered after all.
fn write_missed_calls<'c>(
    statement: &mut BatchStatement<'c>,
    earlier: &EarlierRows<'_>,
    records: &[&'c CallRecord],
    withdrawn: &[CallId],
) {
    let (missed, others): (Vec<&CallRecord>, Vec<&CallRecord>) = records
        .iter()
        .copied()
        .partition(|record| record.call_back_cause().is_some());
    if !missed.is_empty() {
        statement.upsert_missed_calls(&missed);
    }

    let retracted: Vec<CallId> = others
        .iter()
        .filter(|record| earlier.has_stale_rows(record, WrittenCall::is_no_longer_missed))
        .map(|record| record.id)
        .chain(withdrawn.iter().copied())
        .collect();
    if !retracted.is_empty() {
        statement.retract_missed_calls(&retracted);
    }
}

/// Upserts changed outcomes, and deletes the earlier row where its primary key changed.
fn write_outcomes<'c>(
    statement: &mut BatchStatement<'c>,
    earlier: &EarlierRows<'_>,
    records: &[&'c CallRecord],
    withdrawn: &[CallId],
) {
    let changed: Vec<(&CallRecord, Option<OutcomeRow>)> = records
        .iter()
        .map(|record| (*record, OutcomeRow::of(record)))
        .filter(|(record, row)| earlier.outcome_row(record.id) != *row)
        .collect();
    let rows: Vec<(&CallRecord, OutcomeRow)> = changed
        .iter()
        .filter_map(|(record, row)| Some((*record, (*row)?)))
        .collect();
    if !rows.is_empty() {
        statement.upsert_outcomes(&rows);
    }

    let replaced: Vec<(CallId, OutcomeRow)> = changed
        .iter()
        .map(|(record, row)| (record.id, *row))
        .chain(withdrawn.iter().map(|call| (*call, None)))
        .filter_map(|(call, row)| {
            let former = earlier.outcome_row(call)?;
            (!former.has_key_of(row)).then_some((call, former))
        })
        .collect();
    if !replaced.is_empty() {
        statement.delete_outcomes(&replaced);
    }
}

/// Upserts notifications, and deletes old ones. Unpublished notifications stay until they are
/// published, and so do those that this batch writes again.
fn write_notifications<'c>(
    statement: &mut BatchStatement<'c>,
    written: &mut WrittenRows,
    published_up_to: u64,
    notifications: &'c [Notification],
) {
    statement.upsert_notifications(notifications);

    let (Some(first), Some(last)) = (notifications.first(), notifications.last()) else {
        return;
    };
    let deletable_up_to = (last.number.cast_signed() - sql::NOTIFICATIONS_STORED)
        .min(published_up_to.cast_signed())
        .min(first.number.cast_signed() - 1);
    let delete_up_to =
        deletable_up_to.div_euclid(NOTIFICATIONS_DELETED_STEP) * NOTIFICATIONS_DELETED_STEP;

    if written.deleted_up_to != Some(delete_up_to) {
        written.deleted_up_to = Some(delete_up_to);
        statement.delete_notifications_up_to(delete_up_to);
    }
}

/// The log of a call that is not in the cache.
struct StoredCall {
    share: Option<CallShare>,
    outcome_row: Option<OutcomeRow>,
}

/// Reads the logs of calls. Calls without a log are left out.
async fn read_stored_calls(
    connection: &mut PgConnection,
    calls: Vec<CallId>,
) -> Result<HashMap<CallId, StoredCall>, sqlx::Error> {
    if calls.is_empty() {
        return Ok(HashMap::new());
    }

    let found = sqlx::query(SELECT_STORED_CALLS)
        .bind(uuids(calls))
        .map(|row: PgRow| stored_call(&row))
        .fetch_all(connection)
        .await?;

    Ok(found.into_iter().collect())
}

fn stored_call(row: &PgRow) -> (CallId, StoredCall) {
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
            parse_direction(row.get(3))?,
            outcome,
            row.get(5),
            row.get(6),
        ))
    };
    let stored = StoredCall {
        share: outcome.and_then(share),
        outcome_row: outcome.map(|outcome| OutcomeRow {
            outcome,
            started_at,
            ended_at: row.get::<Option<i64>, _>(7).map_or(started_at, At),
        }),
    };

    (EventId(row.get::<Uuid, _>(0).as_u128()), stored)
}
