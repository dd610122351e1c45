//! Links that people made or removed, on either database: the statements are the same in both
//! dialects.

pub(in crate::adapter) const SELECT_CHANGES: &str = "-- select_link_changes
    SELECT call_id, linked_call_id, is_removed, changed_by, changed_at
    FROM link_changes
    WHERE call_id = $1
    ORDER BY changed_at, linked_call_id";

/// A call has at most `$6` changed links.
pub(in crate::adapter) const UPSERT_CHANGE: &str = "-- upsert_link_change
    INSERT INTO link_changes (call_id, linked_call_id, is_removed, changed_by, changed_at)
    SELECT $1, $2, $3, $4, $5
    WHERE (
        SELECT count(*)
        FROM link_changes
        WHERE call_id = $1
            AND linked_call_id <> $2
    ) < $6
    ON CONFLICT (call_id, linked_call_id) DO UPDATE
    SET is_removed = excluded.is_removed,
        changed_by = excluded.changed_by,
        changed_at = excluded.changed_at";

pub(in crate::adapter) const CHANGES_MAX: i64 = 100;

/// Implements [`Links`](crate::port::links::Links) for a ledger of this database.
macro_rules! implement_links {
    ($ledger:ty) => {
        use $crate::adapter::sql::links as statements;
        use $crate::domain::time::At;
        use $crate::port::ledger::LedgerError;
        use $crate::port::links::{LinkChange, Links};

        #[async_trait::async_trait]
        impl Links for $ledger {
            async fn link_changes(&self, call_id: &str) -> Result<Vec<LinkChange>, LedgerError> {
                let select = sqlx::query(statements::SELECT_CHANGES).bind(call_id);
                let rows = self.select(select).await?.into_iter();

                Ok(rows
                    .map(|row| LinkChange {
                        call_id: row.get(0),
                        linked_call_id: row.get(1),
                        is_removed: row.get::<Flag, _>(2) == 1,
                        changed_by: row.get(3),
                        changed_at: At(row.get(4)),
                    })
                    .collect())
            }

            async fn change_link(&self, change: &LinkChange) -> Result<bool, LedgerError> {
                let upsert = sqlx::query(statements::UPSERT_CHANGE)
                    .bind(&change.call_id)
                    .bind(&change.linked_call_id)
                    .bind(Flag::from(change.is_removed))
                    .bind(&change.changed_by)
                    .bind(change.changed_at.0)
                    .bind(statements::CHANGES_MAX);

                Ok(self.execute(upsert).await? > 0)
            }
        }
    };
}
pub(in crate::adapter) use implement_links;
