//! Windows of agents on either database: but for the rows of a gateway, the statements are the same
//! in both dialects.

/// Windows that closed so long ago are forgotten.
pub(in crate::adapter) const FORGOTTEN_US: i64 = 30 * 86_400_000_000;

/// The literal reads the lines from the document `$3`.
macro_rules! upsert_windows {
    ($lines:literal) => {
        const UPSERT_WINDOWS: &str = concat!(
            "-- upsert_agent_windows
    INSERT INTO agent_windows (gateway, site, extension, is_open, seen_at)
    SELECT $1, site, extension, 1, $2
    FROM ",
            $lines,
            "
    WHERE true
    ON CONFLICT (gateway, site, extension) DO UPDATE
    SET is_open = 1,
        seen_at = excluded.seen_at"
        );
    };
}
pub(in crate::adapter) use upsert_windows;

pub(in crate::adapter) const CLOSE_WINDOWS: &str = "-- close_agent_windows
    UPDATE agent_windows
    SET is_open = 0,
        seen_at = $2
    WHERE gateway = $1
        AND is_open = 1
        AND seen_at < $2";

pub(in crate::adapter) const DELETE_WINDOWS: &str = "-- delete_agent_windows
    DELETE FROM agent_windows
    WHERE seen_at < $1";

pub(in crate::adapter) const SELECT_WINDOWS: &str = "-- select_last_agent_windows
    SELECT
        site,
        extension,
        max(CASE WHEN is_open = 1 AND seen_at >= $2 THEN 1 ELSE 0 END),
        max(seen_at)
    FROM agent_windows
    WHERE $1 = ''
        OR site = $1
    GROUP BY site, extension";

/// Implements [`Windows`](crate::port::windows::Windows) for a ledger of this database.
macro_rules! implement_windows {
    ($ledger:ty) => {
        use $crate::adapter::sql::windows as statements;
        use $crate::domain::time::At;
        use $crate::port::ledger::LedgerError;
        use $crate::port::windows::{LastWindow, Line, Windows};

        #[async_trait::async_trait]
        impl Windows for $ledger {
            async fn keep_windows(
                &self,
                gateway: &str,
                lines: &[Line],
                now: At,
            ) -> Result<(), LedgerError> {
                let documents = lines.iter().map(|line| {
                    serde_json::json!({ "site": line.site, "extension": line.extension })
                });
                let document = documents.collect::<serde_json::Value>().to_string();
                if !lines.is_empty() {
                    let upsert = sqlx::query(UPSERT_WINDOWS)
                        .bind(gateway)
                        .bind(now.0)
                        .bind(document);
                    self.execute(upsert).await?;
                }

                let close = sqlx::query(statements::CLOSE_WINDOWS)
                    .bind(gateway)
                    .bind(now.0);
                self.execute(close).await?;
                let forgotten = now.0.saturating_sub(statements::FORGOTTEN_US);
                self.execute(sqlx::query(statements::DELETE_WINDOWS).bind(forgotten))
                    .await?;

                Ok(())
            }

            async fn last_windows(
                &self,
                site: Option<&str>,
                alive: At,
            ) -> Result<Vec<LastWindow>, LedgerError> {
                let select = sqlx::query(statements::SELECT_WINDOWS)
                    .bind(site.unwrap_or_default())
                    .bind(alive.0);
                let rows = self.select(select).await?.into_iter();

                Ok(rows
                    .map(|row| LastWindow {
                        line: Line {
                            site: row.get(0),
                            extension: row.get(1),
                        },
                        is_open: row.get::<i32, _>(2) == 1,
                        seen_at: At(row.get(3)),
                    })
                    .collect())
            }
        }
    };
}
pub(in crate::adapter) use implement_windows;
