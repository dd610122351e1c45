//! The missed-call desk on either database: columns and changes are the same in both dialects, the
//! statement that finds later calls is each adapter's own.

pub(in crate::adapter) const SELECT_STATE: &str = "-- select_desk_state
    SELECT site, desk_status, assigned_to
    FROM missed_call_logs
    WHERE call_id = $1";

pub(in crate::adapter) const UPDATE_ENTRY: &str = "-- update_desk_entry
    UPDATE missed_call_logs
    SET desk_status = $2,
        assigned_to = $3,
        note = coalesce($4, note),
        disposition = coalesce($5, disposition),
        changed_at = $6,
        changed_by = $7
    WHERE call_id = $1
        AND ($8 OR desk_status <> 'assigned' OR assigned_to = $7)";

/// Implements [`Desk`](crate::port::desk::Desk) for a ledger of this database. `$id` reads a call
/// id as the database has it.
macro_rules! implement_desk {
    ($ledger:ty, $row:ty, $entries:expr, $id:expr) => {
        use $crate::adapter::sql::desk as statements;
        use $crate::domain::time::At;
        use $crate::port::desk::{Desk, DeskChange, DeskEntry, DeskState, DeskStatus, LaterCall};
        use $crate::port::ledger::LedgerError;

        #[async_trait::async_trait]
        impl Desk for $ledger {
            async fn entries(
                &self,
                site: Option<&str>,
                since: At,
                limit: u32,
            ) -> Result<Vec<DeskEntry>, LedgerError> {
                let select = sqlx::query($entries)
                    .bind(site)
                    .bind(since.0)
                    .bind(i64::from(limit));
                let rows = self.select(select).await?;

                rows.iter().map(entry).collect()
            }

            async fn state(&self, call_id: &str) -> Result<Option<DeskState>, LedgerError> {
                let Some(id) = $id(call_id) else {
                    return Ok(None);
                };
                let rows = self
                    .select(sqlx::query(statements::SELECT_STATE).bind(id))
                    .await?;
                let Some(row) = rows.first() else {
                    return Ok(None);
                };

                Ok(Some(DeskState {
                    site: row.get(0),
                    status: status(row.get(1))?,
                    assigned_to: row.get(2),
                }))
            }

            async fn change(&self, change: &DeskChange) -> Result<bool, LedgerError> {
                let Some(id) = $id(&change.call_id) else {
                    return Ok(false);
                };
                let update = sqlx::query(statements::UPDATE_ENTRY)
                    .bind(id)
                    .bind(change.status.name())
                    .bind(&change.assigned_to)
                    .bind(change.note.as_deref())
                    .bind(&change.disposition)
                    .bind(change.now.0)
                    .bind(&change.by)
                    .bind(change.takes_over);

                Ok(self.execute(update).await? > 0)
            }
        }

        fn entry(row: &$row) -> Result<DeskEntry, LedgerError> {
            let later = |id: usize, extension: usize| {
                let call_id: Option<String> = row.get(id);
                call_id.map(|call_id| LaterCall {
                    call_id,
                    extension: row.get(extension),
                })
            };

            Ok(DeskEntry {
                call_id: row.get(0),
                site: row.get(1),
                number: row.get::<Option<&str>, _>(2).map(Into::into),
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
                reached: later(15, 16),
                calling: later(17, 18),
            })
        }

        fn status(name: &str) -> Result<DeskStatus, LedgerError> {
            DeskStatus::parse(name)
                .ok_or_else(|| LedgerError::Corrupt("the status of a desk entry is unknown".into()))
        }
    };
}
pub(in crate::adapter) use implement_desk;
