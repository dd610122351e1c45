//! Requests that are carried out once, on either database: the statements are the same in both
//! dialects.

pub(in crate::adapter) const DELETE_EXPIRED: &str = "-- delete_expired_repeatable_requests
    DELETE FROM repeatable_requests
    WHERE begun_at < $1";

/// One row decides: of two statements with one key the second finds the row of the first.
pub(in crate::adapter) const INSERT_REQUEST: &str = "-- begin_repeatable_request
    INSERT INTO repeatable_requests (owner, key, digest, begun_at)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (owner, key) DO UPDATE
    SET begun_at = excluded.begun_at
    WHERE repeatable_requests.status IS NULL
        AND repeatable_requests.begun_at < $5
        AND repeatable_requests.digest = excluded.digest";

pub(in crate::adapter) const SELECT_REQUEST: &str = "-- select_repeatable_request
    SELECT digest, status, content_type, body
    FROM repeatable_requests
    WHERE owner = $1
        AND key = $2";

pub(in crate::adapter) const UPDATE_BEGUN: &str = "-- renew_repeatable_request
    UPDATE repeatable_requests
    SET begun_at = $4
    WHERE owner = $1
        AND key = $2
        AND begun_at = $3
        AND status IS NULL";

pub(in crate::adapter) const UPDATE_ANSWER: &str = "-- keep_answer_of_request
    UPDATE repeatable_requests
    SET status = $4,
        content_type = $5,
        body = $6
    WHERE owner = $1
        AND key = $2
        AND begun_at = $3";

pub(in crate::adapter) const DELETE_REQUEST: &str = "-- forget_repeatable_request
    DELETE FROM repeatable_requests
    WHERE owner = $1
        AND key = $2
        AND begun_at = $3";

/// Implements [`Repeats`](crate::port::repeats::Repeats) for a ledger of this database.
macro_rules! implement_repeats {
    ($ledger:ty) => {
        use $crate::adapter::sql::repeats as statements;
        use $crate::domain::time::At;
        use $crate::port::ledger::LedgerError;
        use $crate::port::repeats::{Begun, KeptAnswer, RepeatableRequest, Repeats};

        #[async_trait::async_trait]
        impl Repeats for $ledger {
            async fn begin(
                &self,
                request: &RepeatableRequest,
                now: At,
                stale: At,
                expired: At,
            ) -> Result<Begun, LedgerError> {
                let delete = sqlx::query(statements::DELETE_EXPIRED).bind(expired.0);
                self.execute(delete).await?;
                let insert = sqlx::query(statements::INSERT_REQUEST)
                    .bind(&request.owner)
                    .bind(&request.key)
                    .bind(&request.digest)
                    .bind(now.0)
                    .bind(stale.0);
                if self.execute(insert).await? > 0 {
                    return Ok(Begun::New);
                }

                let select = sqlx::query(statements::SELECT_REQUEST)
                    .bind(&request.owner)
                    .bind(&request.key);
                let rows = self.select(select).await?;
                let Some(row) = rows.first() else {
                    // It was forgotten meanwhile: the client asks again.
                    return Ok(Begun::UnderWay);
                };
                if row.get::<&str, _>(0) != request.digest {
                    return Ok(Begun::Other);
                }
                Ok(match row.get::<Option<i32>, _>(1) {
                    None => Begun::UnderWay,
                    Some(status) => Begun::Answered(KeptAnswer {
                        status: u16::try_from(status).unwrap_or_default(),
                        content_type: row.get(2),
                        body: row.get(3),
                    }),
                })
            }

            async fn renew(
                &self,
                request: &RepeatableRequest,
                begun_at: At,
                now: At,
            ) -> Result<bool, LedgerError> {
                let update = sqlx::query(statements::UPDATE_BEGUN)
                    .bind(&request.owner)
                    .bind(&request.key)
                    .bind(begun_at.0)
                    .bind(now.0);

                Ok(self.execute(update).await? > 0)
            }

            async fn keep_answer(
                &self,
                request: &RepeatableRequest,
                begun_at: At,
                answer: &KeptAnswer,
            ) -> Result<(), LedgerError> {
                let update = sqlx::query(statements::UPDATE_ANSWER)
                    .bind(&request.owner)
                    .bind(&request.key)
                    .bind(begun_at.0)
                    .bind(i32::from(answer.status))
                    .bind(answer.content_type.as_deref())
                    .bind(&answer.body);
                self.execute(update).await?;

                Ok(())
            }

            async fn forget(
                &self,
                request: &RepeatableRequest,
                begun_at: At,
            ) -> Result<(), LedgerError> {
                let delete = sqlx::query(statements::DELETE_REQUEST)
                    .bind(&request.owner)
                    .bind(&request.key)
                    .bind(begun_at.0);
                self.execute(delete).await?;

                Ok(())
            }
        }
    };
}
pub(in crate::adapter) use implement_repeats;
