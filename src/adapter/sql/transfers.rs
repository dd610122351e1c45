//! Transfers of other programs on either database: the statements are the same in both dialects.

/// A partial index admits one row of a call that is under way.
pub(in crate::adapter) const INSERT_TRANSFER: &str = "-- insert_transfer
    INSERT INTO registered_transfers (
        transfer_id, original_call_id, site, context, initiated_at, expires_at, facts_after
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING";

pub(in crate::adapter) const SELECT_TRANSFER: &str = "-- select_transfer
    SELECT
        transfer_id, original_call_id, site, context, initiated_at, expires_at, facts_after, result
    FROM registered_transfers
    WHERE transfer_id = $1";

pub(in crate::adapter) const SELECT_TRANSFER_OF_CALL: &str = "-- select_transfer_of_call
    SELECT
        transfer_id, original_call_id, site, context, initiated_at, expires_at, facts_after, result
    FROM registered_transfers
    WHERE original_call_id = $1
        AND decided_at IS NULL";

pub(in crate::adapter) const SELECT_UNDER_WAY: &str = "-- select_transfers_under_way
    SELECT
        transfer_id, original_call_id, site, context, initiated_at, expires_at, facts_after, result
    FROM registered_transfers
    WHERE decided_at IS NULL
    ORDER BY initiated_at, transfer_id
    LIMIT $1";

pub(in crate::adapter) const DECIDE_TRANSFER: &str = "-- decide_transfer
    UPDATE registered_transfers
    SET result = $2,
        decided_at = $3
    WHERE transfer_id = $1
        AND decided_at IS NULL";

pub(in crate::adapter) const FORGET_TRANSFERS: &str = "-- forget_transfers
    DELETE FROM registered_transfers
    WHERE decided_at < $1";

/// Implements [`Transfers`](crate::port::transfers::Transfers) for a ledger of this database.
macro_rules! implement_transfers {
    ($ledger:ty, $row:ty) => {
        use $crate::adapter::sql::transfers as statements;
        use $crate::domain::time::At;
        use $crate::port::ledger::LedgerError;
        use $crate::port::transfers::{RegisteredTransfer, Transfers};

        fn transfer_of(row: &$row) -> RegisteredTransfer {
            RegisteredTransfer {
                id: row.get(0),
                call_id: row.get(1),
                site: row.get(2),
                context: row.get(3),
                initiated_at: At(row.get(4)),
                expires_at: At(row.get(5)),
                facts_after: At(row.get(6)),
                result: row.get(7),
            }
        }

        #[async_trait::async_trait]
        impl Transfers for $ledger {
            async fn begin(
                &self,
                transfer: &RegisteredTransfer,
            ) -> Result<Option<String>, LedgerError> {
                let insert = sqlx::query(statements::INSERT_TRANSFER)
                    .bind(&transfer.id)
                    .bind(&transfer.call_id)
                    .bind(&transfer.site)
                    .bind(&transfer.context)
                    .bind(transfer.initiated_at.0)
                    .bind(transfer.expires_at.0)
                    .bind(transfer.facts_after.0);
                if self.execute(insert).await? > 0 {
                    return Ok(None);
                }

                let of_call = self.transfer_of_call(&transfer.call_id).await?;
                Ok(Some(
                    of_call.map_or_else(|| transfer.id.clone(), |first| first.id),
                ))
            }

            async fn transfer(&self, id: &str) -> Result<Option<RegisteredTransfer>, LedgerError> {
                let rows = self
                    .select(sqlx::query(statements::SELECT_TRANSFER).bind(id))
                    .await?;

                Ok(rows.first().map(transfer_of))
            }

            async fn transfer_of_call(
                &self,
                call_id: &str,
            ) -> Result<Option<RegisteredTransfer>, LedgerError> {
                let rows = self
                    .select(sqlx::query(statements::SELECT_TRANSFER_OF_CALL).bind(call_id))
                    .await?;

                Ok(rows.first().map(transfer_of))
            }

            async fn transfers_under_way(
                &self,
                max: u32,
            ) -> Result<Vec<RegisteredTransfer>, LedgerError> {
                let rows = self
                    .select(sqlx::query(statements::SELECT_UNDER_WAY).bind(i64::from(max)))
                    .await?;

                Ok(rows.iter().map(transfer_of).collect())
            }

            async fn decide(&self, id: &str, result: &str, now: At) -> Result<bool, LedgerError> {
                let decide = sqlx::query(statements::DECIDE_TRANSFER)
                    .bind(id)
                    .bind(result)
                    .bind(now.0);

                Ok(self.execute(decide).await? > 0)
            }

            async fn forget_transfers(&self, before: At) -> Result<(), LedgerError> {
                self.execute(sqlx::query(statements::FORGET_TRANSFERS).bind(before.0))
                    .await?;

                Ok(())
            }
        }
    };
}
pub(in crate::adapter) use implement_transfers;
