//! The missed-call desk on either database: its statements are written once, with the few words in
//! which the dialects differ.

/// The states of some missed calls. `ids` reads their ids from a document.
macro_rules! select_states {
    (ids: $ids:literal, text: $text:literal $(,)?) => {
        concat!(
            "-- select_desk_states
    SELECT call_id",
            $text,
            ", site, coalesce(from_e164, from_number), desk_status, assigned_to, changed_at,
        changed_by
    FROM missed_call_logs
    WHERE call_id IN (",
            $ids,
            ")"
        )
    };
}
pub(in crate::adapter) use select_states;

/// The latest changes of entries.
pub(in crate::adapter) const SELECT_CHANGES: &str = "-- select_desk_changes
    SELECT DISTINCT site, changed_at
    FROM missed_call_logs
    WHERE changed_at >= $1
    ORDER BY changed_at DESC
    LIMIT $2";

/// Changes all of the entries, or none where another person has taken one of them or another call of
/// its number, or has changed one since it was read. `entries` reads the ids from a document, and locks
/// their rows where other changes may come between; `callers` reads sites and numbers from another one.
/// The person who has given an entry to a colleague may change it too.
macro_rules! update_entries {
    (entries: $entries:literal, callers: $callers:literal, is_shown: $is_shown:literal $(,)?) => {
        concat!(
            "-- update_desk_entries
    WITH entries AS ",
            $entries,
            "
    UPDATE missed_call_logs
    SET desk_status = $2,
        assigned_to = $3,
        note = nullif(coalesce($4, note), ''),
        disposition = CASE $2 WHEN 'done' THEN coalesce($5, disposition) END,
        changed_at = $6,
        changed_by = $7
    WHERE call_id IN (SELECT call_id FROM entries)
        AND NOT EXISTS (
            SELECT 1
            FROM entries
            WHERE changed_at > $11
                AND changed_by <> $7
        )
        AND (
            $8
            OR NOT EXISTS (
                SELECT 1
                FROM entries
                WHERE desk_status = 'assigned'
                    AND assigned_to <> $7
                    AND changed_by <> $7
            ) AND NOT EXISTS (
                SELECT 1
                FROM missed_call_logs AS missed
                JOIN ",
            $callers,
            " ON callers.site = missed.site
                    AND callers.number = coalesce(missed.from_e164, missed.from_number)
                WHERE ",
            $is_shown,
            "
                    AND missed.desk_status = 'assigned'
                    AND missed.reached_by IS NULL
                    AND missed.assigned_to <> $7
                    AND missed.changed_by <> $7
                    AND missed.missed_at >= $9
            )
        )"
        )
    };
}
pub(in crate::adapter) use update_entries;

/// The last id in the order of both dialects.
pub(in crate::adapter) const LAST_ID: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/// The entries of the desk, in one dialect: how it shows ids and documents as text, reads a name
/// from a record, finds calls that go on, tells shown entries, and that no site is named.
///
/// By the stage of the work, and by whether a site is named. Entries that wait have indexes of their
/// own, and so do those that are assigned.
macro_rules! select_entries {
    (
        text: $text:literal,
        name: $name:literal,
        open_calls: $open_calls:literal,
        is_shown: $is_shown:literal,
        no_site: $no_site:literal $(,)?
    ) => {
        $crate::adapter::sql::desk::select_entries!(@stages ($text, $name, $open_calls), $no_site,
            ($is_shown, " AND missed.desk_status <> 'done' AND missed.reached_by IS NULL AND "),
            ($is_shown, " AND missed.desk_status = 'assigned' AND missed.reached_by IS NULL AND "),
            ($is_shown, " AND "))
    };
    (@stages $dialect:tt, $no_site:literal, $($stage:tt),+) => {
        [$([
            $crate::adapter::sql::desk::select_entries!(@select $dialect, $stage, $no_site),
            $crate::adapter::sql::desk::select_entries!(@select $dialect, $stage,
                "missed.site = $1"),
        ]),+]
    };
    (
        @select ($text:literal, $name:literal, $open_calls:literal),
        ($is_shown:literal, $($stage:literal),+),
        $of_site:literal
    ) => {
        concat!(
            "-- select_desk_entries
    WITH entries AS (
        SELECT
            missed.call_id, missed.site, missed.from_number, missed.from_e164,
            ", $name, " AS name, missed.extensions", $text, " AS extensions,
            logs.started_at, missed.missed_at,
            CASE missed.cause WHEN 'missed' THEN logs.total_us END AS waited_us, missed.cause,
            missed.desk_status,
            missed.assigned_to, missed.note, missed.disposition, missed.changed_at,
            missed.changed_by, missed.reached_by,
            (
                SELECT later.call_id
                FROM ", $open_calls, "
                    AND later.site = missed.site
                    AND later.started_at > logs.started_at
                    AND later.ended_at IS NULL
                    AND (
                        missed.from_number IN (later.from_number, later.to_number)
                        OR missed.from_e164 IN (
                            later.from_number, later.to_number, later.from_e164, later.to_e164
                        )
                    )
                ORDER BY later.started_at
                LIMIT 1
            ) AS calling
        FROM missed_call_logs AS missed
        JOIN call_logs AS logs ON logs.call_id = missed.call_id
        WHERE ", $is_shown, $($stage,)+ $of_site, "
            AND missed.missed_at >= $2
            AND (missed.missed_at, missed.call_id) < ($3, $4)
        ORDER BY missed.missed_at DESC, missed.call_id DESC
        LIMIT $5
    )
    SELECT
        entries.call_id", $text, ", entries.site, entries.from_number, entries.from_e164,
        entries.name, entries.extensions, entries.started_at, entries.missed_at,
        entries.waited_us, entries.desk_status, entries.assigned_to, entries.note,
        entries.disposition, entries.changed_at, entries.changed_by,
        reached.call_id", $text, ",
        CASE
            WHEN reached.direction = 'inbound' OR reached.from_number = entries.from_number
                THEN reached.answered_by
            ELSE reached.from_number
        END,
        calling.call_id", $text, ",
        CASE
            WHEN calling.direction = 'inbound' OR calling.from_number = entries.from_number
                THEN calling.answered_by
            ELSE calling.from_number
        END,
        entries.cause, reached.started_at, calling.started_at
    FROM entries
    LEFT JOIN call_logs AS reached ON reached.call_id = entries.reached_by
    LEFT JOIN call_logs AS calling ON calling.call_id = entries.calling
    ORDER BY entries.missed_at DESC, entries.call_id DESC"
        )
    };
}
pub(in crate::adapter) use select_entries;

/// The answered calls with some numbers since an instant: each column that may hold a number along its
/// index. `keys` reads the numbers from a document; the expression of the site keeps the planner from
/// reading all later calls of the site instead.
macro_rules! select_answered {
    (keys: $keys:literal, text: $text:literal, differs: $differs:literal $(,)?) => {
        concat!(
            "-- select_answered_calls_with_numbers
    WITH keys AS (
        ", $keys, "
    )
    SELECT place, started_at, call_id", $text, ", extension
    FROM (
        ",
            $crate::adapter::sql::desk::select_answered!(@column
                "later.from_number = keys.number"),
            $crate::adapter::sql::desk::select_answered!(@column
                " UNION ALL ", "later.from_number = keys.e164"),
            $crate::adapter::sql::desk::select_answered!(@column
                " UNION ALL ", "later.to_number = keys.number"),
            $crate::adapter::sql::desk::select_answered!(@column
                " UNION ALL ", "later.to_number = keys.e164"),
            $crate::adapter::sql::desk::select_answered!(@column
                " UNION ALL ",
                "later.from_e164 = keys.e164 AND later.from_e164 ", $differs, " later.from_number"),
            $crate::adapter::sql::desk::select_answered!(@column
                " UNION ALL ",
                "later.to_e164 = keys.e164 AND later.to_e164 ", $differs, " later.to_number"),
            "
    ) AS answered
    ORDER BY place, started_at"
        )
    };
    (@column " UNION ALL ", $($has_number:literal),+) => {
        concat!(
            " UNION ALL ",
            $crate::adapter::sql::desk::select_answered!(@column $($has_number),+)
        )
    };
    (@column $($has_number:literal),+) => {
        concat!(
            "SELECT
            keys.place, later.started_at, later.call_id,
            CASE
                WHEN later.direction = 'inbound' OR later.from_number = keys.number
                    THEN later.answered_by
                ELSE later.from_number
            END AS extension
        FROM keys
        CROSS JOIN call_logs AS later
        WHERE ",
            $($has_number,)+
            "
            AND later.site || '' = keys.site
            AND later.started_at > keys.since
            AND later.outcome = 'answered'"
        )
    };
}
pub(in crate::adapter) use select_answered;

/// Marks of calls that are not answered calls any more, as their records were corrected.
pub(in crate::adapter) const UNMARK_REACHED: &str = "-- unmark_reached_callers
    UPDATE missed_call_logs
    SET reached_by = NULL
    WHERE missed_at >= $1
        AND reached_by IS NOT NULL
        AND NOT EXISTS (
            SELECT 1
            FROM call_logs AS later
            WHERE later.call_id = missed_call_logs.reached_by
                AND later.outcome = 'answered'
                AND later.site = missed_call_logs.site
                AND (
                    missed_call_logs.from_number IN (later.from_number, later.to_number)
                    OR missed_call_logs.from_e164 IN (
                        later.from_number, later.to_number, later.from_e164, later.to_e164
                    )
                )
        )";

/// Implements [`Desk`](crate::port::desk::Desk) for a ledger of this database. `$id` reads a call
/// id as the database has it.
///
/// That a caller was reached is marked when it is found, so that the next read passes over the entry.
macro_rules! implement_desk {
    ($ledger:ty, $row:ty, $id:expr) => {
        use $crate::adapter::sql::desk as statements;
        use $crate::adapter::sql::reached::{AnsweredCall, Callers};
        use $crate::chain::Chain;
        use $crate::domain::number::Number;
        use $crate::domain::time::At;
        use $crate::port::desk::{
            Desk, DeskChange, DeskEntry, DeskPage, DeskStage, DeskState, DeskStatus, LaterCall,
            SiteChange,
        };
        use $crate::port::ledger::LedgerError;

        #[async_trait::async_trait]
        impl Desk for $ledger {
            async fn entries(&self, page: &DeskPage) -> Result<Vec<DeskEntry>, LedgerError> {
                let (before, before_id) = match &page.before {
                    Some((at, call_id)) => (*at, $id(call_id)),
                    None => (At::END, $id(LAST_ID)),
                };
                let stage = match page.stage {
                    DeskStage::Waiting => 0,
                    DeskStage::Assigned => 1,
                    DeskStage::All => 2,
                };
                let statement = SELECT_ENTRIES[stage][usize::from(page.site.is_some())];
                let select = sqlx::query(statement)
                    .bind(&page.site)
                    .bind(page.since.0)
                    .bind(before.0)
                    .bind(before_id)
                    .bind(i64::from(page.limit));
                let _turn = self.desk_turn().await?;
                let rows = self.select(select).await?;
                let mut entries: Vec<DeskEntry> =
                    rows.iter().map(entry).collect::<Result<_, _>>()?;

                let callers = Callers::of(&entries);
                if let Some(document) = callers.document() {
                    let select = sqlx::query(SELECT_ANSWERED).bind(document);
                    let rows = self.select(select).await?;
                    let answered: Vec<AnsweredCall> = rows.iter().map(answered_call).collect();
                    if let Some(reached) = callers.set_reached(&mut entries, &answered) {
                        let mark = sqlx::query(MARK_REACHED).bind(reached);
                        // It is found again by the next read.
                        if let Err(error) = self.execute(mark).await {
                            let error = Chain(&error);
                            tracing::warn!(%error, "callers who were reached were not marked");
                        }
                    }
                }

                Ok(entries)
            }

            async fn verify_reached(&self, since: At) -> Result<u64, LedgerError> {
                let unmark = sqlx::query(statements::UNMARK_REACHED).bind(since.0);

                Ok(self.execute(unmark).await?)
            }

            async fn states(&self, call_ids: &[String]) -> Result<Vec<DeskState>, LedgerError> {
                let select = sqlx::query(SELECT_STATES).bind(document_of(call_ids));
                let rows = self.select(select).await?;

                let states = rows.iter().map(|row| {
                    Ok(DeskState {
                        call_id: row.get(0),
                        site: row.get(1),
                        number: row.get::<Option<&str>, _>(2).map(Into::into),
                        status: status(row.get(3))?,
                        assigned_to: row.get(4),
                        changed_at: row.get::<Option<i64>, _>(5).map(At),
                        changed_by: row.get(6),
                    })
                });
                states.collect()
            }

            async fn changes(
                &self,
                since: At,
                max: u32,
            ) -> Result<Vec<SiteChange>, LedgerError> {
                let select = sqlx::query(statements::SELECT_CHANGES)
                    .bind(since.0)
                    .bind(i64::from(max));
                let rows = self.select(select).await?;

                let changes = rows.iter().map(|row| SiteChange {
                    site: row.get(0),
                    changed_at: At(row.get(1)),
                });
                Ok(changes.collect())
            }

            async fn change(&self, change: &DeskChange) -> Result<bool, LedgerError> {
                let update = sqlx::query(UPDATE_ENTRIES)
                    .bind(document_of(&change.call_ids))
                    .bind(change.status.name())
                    .bind(&change.assigned_to)
                    .bind(change.note.as_deref())
                    .bind(&change.disposition)
                    .bind(change.now.0)
                    .bind(&change.by)
                    .bind(change.takes_over)
                    .bind(change.shown_since.0)
                    .bind(callers_of(change))
                    .bind(change.read_at.unwrap_or(At::END).0);

                Ok(self.execute(update).await? > 0)
            }
        }

        /// The ids of calls for a statement. No call has an id of another form.
        fn document_of(call_ids: &[String]) -> String {
            let ids = call_ids.iter().filter_map(|call_id| $id(call_id));
            let ids: Vec<String> = ids.map(|id| id.to_string()).collect();

            serde_json::to_string(&ids).unwrap_or_default()
        }

        /// The callers of a change for its statement.
        fn callers_of(change: &DeskChange) -> String {
            let callers = change.callers.iter();
            let callers = callers
                .map(|(site, number)| serde_json::json!({ "site": site, "number": &**number }));

            serde_json::Value::from_iter(callers).to_string()
        }

        fn answered_call(row: &$row) -> AnsweredCall {
            AnsweredCall {
                caller: row.get(0),
                call: LaterCall {
                    call_id: row.get(2),
                    extension: row.get(3),
                    started_at: At(row.get(1)),
                },
            }
        }

        fn entry(row: &$row) -> Result<DeskEntry, LedgerError> {
            let later = |id: usize, extension: usize, started_at: usize| {
                let call_id: Option<String> = row.get(id);
                call_id.map(|call_id| LaterCall {
                    call_id,
                    extension: row.get(extension),
                    started_at: At(row.get(started_at)),
                })
            };

            let number = row.get::<Option<&str>, _>(2);
            let is_withheld = number.is_some_and(Number::shows_none);

            Ok(DeskEntry {
                call_id: row.get(0),
                site: row.get(1),
                number: number.map(Into::into),
                e164: row.get::<Option<&str>, _>(3).map(Into::into),
                name: row.get::<Option<&str>, _>(4).map(Into::into),
                extensions: row.get(5),
                started_at: At(row.get(6)),
                missed_at: At(row.get(7)),
                waited_us: row.get(8),
                status: status(row.get(9))?,
                assigned_to: row.get(10),
                note: row.get::<Option<&str>, _>(11).map(Into::into),
                disposition: row.get(12),
                changed_at: row.get::<Option<i64>, _>(13).map(At),
                changed_by: row.get(14),
                reached: later(15, 16, 20),
                // Another caller may hide his number as well.
                calling: later(17, 18, 21).filter(|_| !is_withheld),
                cause: row.get(19),
            })
        }

        fn status(name: &str) -> Result<DeskStatus, LedgerError> {
            DeskStatus::parse(name)
                .ok_or_else(|| LedgerError::Corrupt("the status of a desk entry is unknown".into()))
        }
    };
}
pub(in crate::adapter) use implement_desk;
