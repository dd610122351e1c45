//! Databases of tests' own on the PostgreSQL of the run.

use cordboard::adapter::postgres::{self, PartitionAddress, PostgresAddress, PostgresLedger};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::servers;

/// The only partition there is.
pub const WHOLE: PartitionAddress = PartitionAddress {
    generation: 1,
    number: 0,
    count: 1,
};

/// Counts derived rows that differ from their logs: statistics, outcomes, participants.
pub const WRONG_COPIES: &str = "
WITH logged AS (
    SELECT
        site,
        started_at - started_at % 60000000 AS minute,
        direction,
        count(*) AS calls,
        count(*) FILTER (WHERE outcome = 'answered') AS answered,
        count(*) FILTER (WHERE outcome = 'missed') AS missed,
        coalesce(sum(ring_us), 0)::bigint AS ring_us,
        coalesce(sum(talk_us), 0)::bigint AS talk_us
    FROM call_logs
    WHERE outcome IS NOT NULL
    GROUP BY 1, 2, 3
),
counted AS (
    SELECT site, minute, direction, calls, answered, missed, ring_us, talk_us
    FROM call_stats
),
finished AS (
    SELECT call_id, outcome, started_at, site, coalesce(ended_at, started_at) AS ended_at
    FROM call_logs
    WHERE outcome IS NOT NULL
)
SELECT
    (SELECT count(*) FROM (
        (TABLE logged EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE logged)
    ) AS wrong)
    + (SELECT count(*)
       FROM finished
       FULL JOIN call_outcomes USING (call_id, outcome, started_at, site, ended_at)
       WHERE finished IS NULL OR call_outcomes IS NULL)
    + (SELECT count(*)
       FROM call_participants
       LEFT JOIN call_logs USING (call_id, site, started_at)
       WHERE call_logs.call_id IS NULL)";

/// A new database, migrated.
pub async fn database() -> String {
    let url = new_database(&servers::shared().database).await;
    postgres::migrate(&url.parse().unwrap()).await.unwrap();

    url
}

/// A new empty database on a server; its URL.
pub async fn new_database(server: &str) -> String {
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    execute(server, format!("CREATE DATABASE {name}")).await;
    let (server, _) = server.rsplit_once('/').unwrap();

    format!("{server}/{name}")
}

pub fn ledger(url: &str, partition: PartitionAddress) -> PostgresLedger {
    let address: PostgresAddress = url.parse().unwrap();
    let readers = postgres::readers(&address);

    PostgresLedger::new(&address, readers, partition)
}

/// One value of one row.
pub async fn value<T>(url: &str, sql: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    try_value(url, sql).await.unwrap()
}

/// The same on a server that may be away.
pub async fn try_value<T>(url: &str, sql: &'static str) -> Result<T, sqlx::Error>
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let mut connection = PgConnection::connect(url).await?;
    let value = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;

    Ok(value)
}

/// Executes a statement on a connection of its own.
pub async fn execute(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
