//! Claims on either database: the statements are the same in both dialects.

/// One row decides: of two statements for one call the second sees the row of the first.
pub(in crate::adapter) const UPSERT_CLAIM: &str = "-- upsert_call_claim
    INSERT INTO call_claims (call_id, user_name, claimed_at, expires_at)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (call_id) DO UPDATE
    SET user_name = excluded.user_name,
        claimed_at = excluded.claimed_at,
        expires_at = excluded.expires_at
    WHERE call_claims.expires_at <= $3
        OR call_claims.user_name = $2";

pub(in crate::adapter) const DELETE_CLAIM: &str = "-- delete_call_claim
    DELETE FROM call_claims
    WHERE call_id = $1
        AND user_name = $2";

pub(in crate::adapter) const SELECT_CLAIM: &str = "-- select_call_claim
    SELECT call_id, user_name, expires_at
    FROM call_claims
    WHERE call_id = $1
        AND expires_at > $2";

/// Few calls ring at a time.
pub(in crate::adapter) const SELECT_CLAIMS: &str = "-- select_call_claims
    SELECT call_id, user_name, expires_at
    FROM call_claims
    WHERE expires_at > $1";

/// Claims of a day ago are of no use.
pub(in crate::adapter) const DELETE_OLD_CLAIMS: &str = "-- delete_old_call_claims
    DELETE FROM call_claims
    WHERE expires_at < $1";

pub(in crate::adapter) const OLD_US: i64 = 86_400_000_000;

/// Implements [`Claims`](crate::port::claims::Claims) for a ledger of this database.
macro_rules! implement_claims {
    ($ledger:ty, $row:ty) => {
        use $crate::adapter::sql::claims as statements;
        use $crate::domain::time::At;
        use $crate::port::claims::{Claim, Claims};
        use $crate::port::ledger::LedgerError;

        #[async_trait::async_trait]
        impl Claims for $ledger {
            async fn claim(&self, claim: &Claim, now: At) -> Result<bool, LedgerError> {
                let upsert = sqlx::query(statements::UPSERT_CLAIM)
                    .bind(&claim.call_id)
                    .bind(&claim.user)
                    .bind(now.0)
                    .bind(claim.expires_at.0);
                let is_won = self.execute(upsert).await? > 0;
                if is_won {
                    let before = now.0.saturating_sub(statements::OLD_US);
                    self.execute(sqlx::query(statements::DELETE_OLD_CLAIMS).bind(before))
                        .await?;
                }

                Ok(is_won)
            }

            async fn release(&self, call_id: &str, user: &str) -> Result<(), LedgerError> {
                let delete = sqlx::query(statements::DELETE_CLAIM)
                    .bind(call_id)
                    .bind(user);
                self.execute(delete).await?;

                Ok(())
            }

            async fn claims(&self, now: At) -> Result<Vec<Claim>, LedgerError> {
                let select = sqlx::query(statements::SELECT_CLAIMS).bind(now.0);
                let rows = self.select(select).await?;

                Ok(rows.iter().map(claim).collect())
            }

            async fn claim_of(&self, call_id: &str, now: At) -> Result<Option<Claim>, LedgerError> {
                let select = sqlx::query(statements::SELECT_CLAIM)
                    .bind(call_id)
                    .bind(now.0);
                let rows = self.select(select).await?;

                Ok(rows.first().map(claim))
            }
        }

        fn claim(row: &$row) -> Claim {
            Claim {
                call_id: row.get(0),
                user: row.get(1),
                expires_at: At(row.get(2)),
            }
        }
    };
}
pub(in crate::adapter) use implement_claims;
