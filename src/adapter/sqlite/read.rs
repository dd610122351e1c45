//! Queries of the interfaces.

use async_trait::async_trait;
use futures_util::FutureExt;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::database::SqliteLedger;
use super::statements;
use crate::adapter::sql;
use crate::adapter::sql::devices::{self, StoredDevice};
use crate::port::ledger::LedgerError;
use crate::port::query::{
    CallFilter, HourStats, NamedParty, OperationCounts, Query, ReportedDevice, ReportedExtension,
    SilentExtension, StoredCall,
};

#[async_trait]
impl Query for SqliteLedger {
    async fn calls(&self, filter: &CallFilter) -> Result<Vec<StoredCall>, LedgerError> {
        self.search(filter, |reader, filter| select_page(reader, filter).boxed())
            .await
    }

    async fn call(&self, id: &str) -> Result<Option<String>, LedgerError> {
        Ok(sqlx::query_scalar(statements::SELECT_RECORD)
            .bind(id)
            .fetch_optional(&self.readers)
            .await?)
    }

    async fn stats(
        &self,
        site: Option<&str>,
        since: i64,
        until: i64,
    ) -> Result<Vec<HourStats>, LedgerError> {
        self.search(&(site, since, until), |reader, (site, since, until)| {
            sqlx::query(statements::SELECT_CALL_STATS)
                .bind(*since)
                .bind(*until)
                .bind(sql::HOUR_US)
                .bind(*site)
                .bind(sql::begin_of_hours(*since))
                .map(|row| hour_stats(&row))
                .fetch_all(reader)
                .boxed()
        })
        .await
    }

    async fn sites(&self) -> Result<Vec<String>, LedgerError> {
        Ok(sqlx::query_scalar(statements::SELECT_SITES)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn devices(&self, site: &str) -> Result<Vec<ReportedDevice>, LedgerError> {
        let stored: Vec<StoredDevice> = sqlx::query_as(statements::SELECT_DEVICES)
            .bind(site)
            .fetch_all(&self.readers)
            .await?;

        Ok(stored.into_iter().map(devices::reported).collect())
    }

    async fn do_not_disturb(
        &self,
        site: Option<&str>,
    ) -> Result<Vec<SilentExtension>, LedgerError> {
        let stored: Vec<(String, String, i64)> =
            sqlx::query_as(statements::SELECT_SILENT_EXTENSIONS)
                .bind(site)
                .fetch_all(&self.readers)
                .await?;

        Ok(stored.into_iter().map(devices::silent).collect())
    }

    async fn extensions(&self, site: &str) -> Result<Vec<ReportedExtension>, LedgerError> {
        let extension = |row: SqliteRow| ReportedExtension {
            extension: row.get(0),
            first_report: row.get(1),
            agent: row.get(2),
            name: row.get::<Option<&str>, _>(3).map(Into::into),
        };

        Ok(sqlx::query(statements::SELECT_EXTENSIONS)
            .bind(site)
            .map(extension)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn counts(&self) -> Result<OperationCounts, LedgerError> {
        let counts = |row: SqliteRow| OperationCounts {
            live: row.get(0),
            missed_pending: row.get(1),
            dead: row.get(2),
        };

        Ok(sqlx::query(statements::COUNT_OPERATIONS)
            .map(counts)
            .fetch_one(&self.readers)
            .await?)
    }
}

fn hour_stats(row: &SqliteRow) -> HourStats {
    HourStats {
        site: row.get(0),
        hour: row.get(1),
        direction: row.get(2),
        calls: row.get(3),
        answered: row.get(4),
        missed: row.get(5),
        ring_us: row.get(6),
        talk_us: row.get(7),
    }
}

/// The newest calls among which a page of an extension is looked for first.
const NEWEST: u32 = 20_000;

/// Selects one page of calls.
async fn select_page(
    reader: &mut SqliteConnection,
    filter: &CallFilter,
) -> Result<Vec<StoredCall>, sqlx::Error> {
    let stored_call = |row: SqliteRow| StoredCall {
        started_at: row.get(0),
        id: row.get(1),
        record: row.get(2),
    };

    if let Some(extension) = &filter.extension {
        let mut newest = select_newest_of(filter, extension);
        let found = newest.build().map(stored_call).fetch_all(&mut *reader);
        let found = found.await?;
        if found.len() == filter.limit as usize {
            return Ok(found);
        }
    }

    let mut query = select_calls(filter);
    query.build().map(stored_call).fetch_all(reader).await
}

/// Builds the query for the calls of an extension among the newest: a page of one that has many
/// calls is full with them, and one that has few is found along its own index.
fn select_newest_of(filter: &CallFilter, extension: &str) -> QueryBuilder<Sqlite> {
    let of_all = CallFilter {
        extension: None,
        number: None,
        limit: NEWEST,
        ..filter.clone()
    };
    let mut query = QueryBuilder::new(statements::SELECT_CALLS);

    query.push(
        "\nAND call_id IN (SELECT call_id FROM (SELECT started_at, call_id FROM call_logs WHERE true",
    );
    if let Some(number) = &filter.number {
        query
            .push("\nAND ")
            .push_bind(number.clone())
            .push(" IN (from_number, from_e164, to_number, to_e164)");
    }
    push_conditions(&mut query, &of_all);
    push_page(&mut query, &of_all);
    query
        .push(
            ") AS page\nWHERE EXISTS (SELECT 1 FROM call_participants AS party \
             WHERE party.call_id = page.call_id AND party.extension = ",
        )
        .push_bind(extension.to_owned())
        .push(")");
    push_page(&mut query, filter);
    query.push(")");

    push_page(&mut query, filter);
    query
}

/// Columns that hold a number; each has an index in the order of pages.
const NUMBER_COLUMNS: [&str; 4] = ["from_number", "from_e164", "to_number", "to_e164"];

/// Builds the query for one page of calls, the newest first.
fn select_calls(filter: &CallFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(statements::SELECT_CALLS);

    if let Some(number) = &filter.number {
        // A page of each column, along its index: a number may be that of most calls.
        query.push("\nAND call_id IN (");
        for (index, column) in NUMBER_COLUMNS.iter().enumerate() {
            if index > 0 {
                query.push("\nUNION ALL ");
            }
            query
                .push("SELECT call_id FROM (SELECT call_id FROM call_logs WHERE ")
                .push(column)
                .push(" = ")
                .push_bind(number.clone());
            // The condition of the partial index on the international form.
            if let Some(party) = column.strip_suffix("e164") {
                query.push(format_args!(" AND {column} IS NOT {party}number"));
            }
            push_conditions(&mut query, filter);
            push_page(&mut query, filter);
            query.push(")");
        }
        query.push(")");
    } else {
        push_conditions(&mut query, filter);
    }

    push_page(&mut query, filter);
    query
}

/// Adds the conditions of the filter, its number left aside.
fn push_conditions(query: &mut QueryBuilder<Sqlite>, filter: &CallFilter) {
    let columns = [
        ("site", &filter.site),
        ("direction", &filter.direction),
        ("outcome", &filter.outcome),
        ("status", &filter.status),
    ];
    for (column, value) in columns {
        if let Some(value) = value {
            query
                .push("\nAND ")
                .push(column)
                .push(" = ")
                .push_bind(value.clone());
        }
    }

    if let Some(since) = filter.since {
        query.push("\nAND started_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push("\nAND started_at < ").push_bind(until);
    }
    if let Some(text) = &filter.text {
        push_text(query, text, &filter.named);
    }
    let of_participants = [
        ("extension", &filter.extension),
        ("call_ref", &filter.call_ref),
    ];
    for (column, value) in of_participants {
        if let Some(value) = value {
            query
                .push("\nAND call_id IN (SELECT call_id FROM call_participants WHERE ")
                .push(column)
                .push(" = ")
                .push_bind(value.clone())
                .push(")");
        }
    }
    if filter.live {
        // Few calls go on, and the planner would look for them among all.
        query.push(
            "\nAND call_id IN (SELECT call_id FROM call_logs INDEXED BY call_logs_open \
             WHERE is_final = 0 AND ended_at IS NULL)",
        );
    }
    if let Some((started_at, id)) = &filter.after {
        query
            .push("\nAND (started_at, call_id) < (")
            .push_bind(*started_at)
            .push(", ")
            .push_bind(id.clone())
            .push(")");
    }
}

fn push_page(query: &mut QueryBuilder<Sqlite>, filter: &CallFilter) {
    query
        .push("\nORDER BY started_at DESC, call_id DESC\nLIMIT ")
        .push_bind(filter.limit);
}

/// Adds the condition on a part of a number or a name.
fn push_text(query: &mut QueryBuilder<Sqlite>, text: &str, named: &[NamedParty]) {
    let pattern = sql::pattern(text);
    query
        .push("\nAND (json_extract(record, '$.from.name') LIKE ")
        .push_bind(pattern.clone());
    query
        .push(" ESCAPE '\\' OR answered_by = ")
        .push_bind(text.to_owned());
    for column in NUMBER_COLUMNS {
        query
            .push(format_args!(" OR {column} LIKE "))
            .push_bind(pattern.clone())
            .push(" ESCAPE '\\'");
    }
    push_named(query, named);
    query.push(")");
}

/// Adds the calls of parties that have the name which is searched for.
fn push_named(query: &mut QueryBuilder<Sqlite>, named: &[NamedParty]) {
    if named.is_empty() {
        return;
    }

    let parties = named.iter().map(|party| json!([party.site, party.number]));
    let parties = parties.collect::<Value>().to_string();
    for column in NUMBER_COLUMNS.into_iter().chain(["answered_by"]) {
        query
            .push(format_args!(
                "\nOR (site, {column}) IN (SELECT value->>0, value->>1 FROM json_each("
            ))
            .push_bind(parties.clone())
            .push("))");
    }
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;

    /// The planner's way to the calls of a page.
    async fn plan(ledger: &SqliteLedger, filter: &CallFilter) -> String {
        let query = format!("EXPLAIN QUERY PLAN {}", select_calls(filter).sql().as_str());
        let rows = sqlx::query(AssertSqlSafe(query))
            .fetch_all(&ledger.readers)
            .await
            .unwrap();

        rows.iter()
            .map(|row| row.get::<String, _>(3) + "\n")
            .collect()
    }

    #[tokio::test]
    async fn pages_of_any_length_are_read_along_an_index_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("x.db"))
            .await
            .unwrap();
        ledger.migrate().await.unwrap();
        let page = CallFilter {
            limit: 1,
            ..CallFilter::default()
        };

        let all = plan(&ledger, &page).await;
        assert!(all.contains("call_logs_by_time"), "{all}");
        assert!(!all.contains("TEMP B-TREE"), "{all}");
        let of_site = CallFilter {
            site: Some("berlin".to_owned()),
            ..page.clone()
        };
        let of_site = plan(&ledger, &of_site).await;
        assert!(of_site.contains("call_logs_by_site"), "{of_site}");
        assert!(!of_site.contains("TEMP B-TREE"), "{of_site}");

        let live = CallFilter {
            live: true,
            ..page.clone()
        };
        let live = plan(&ledger, &live).await;
        assert!(
            live.contains("SEARCH call_logs USING INDEX sqlite"),
            "{live}"
        );
        assert!(live.contains("call_logs_open"), "{live}");

        let of_number = CallFilter {
            number: Some("+4930111".to_owned()),
            ..page
        };
        let of_number = plan(&ledger, &of_number).await;
        for index in ["by_from ", "by_from_e164", "by_to ", "by_to_e164"] {
            assert!(of_number.contains(index), "{index}: {of_number}");
        }
        assert!(!of_number.contains("SCAN call_logs"), "{of_number}");
        ledger.close().await;
    }

    #[tokio::test]
    async fn a_quick_query_does_not_wait_for_searches() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("x.db"))
            .await
            .unwrap();
        ledger.migrate().await.unwrap();
        let all = ledger.searches.available_permits();
        let _searches = ledger
            .searches
            .acquire_many(u32::try_from(all).unwrap())
            .await
            .unwrap();

        // The history that a popup shows.
        let of_caller = CallFilter {
            number: Some("+4930111".to_owned()),
            site: Some("default".to_owned()),
            limit: 5,
            ..CallFilter::default()
        };
        assert!(ledger.calls(&of_caller).await.unwrap().is_empty());
        assert!(ledger.stats(None, 0, i64::MAX).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_query_that_takes_too_long_is_ended_and_the_next_one_is_not() {
        const ENDLESS: &str = "
            WITH RECURSIVE numbers (n) AS (
                SELECT 1 UNION ALL SELECT n + 1 FROM numbers
            )
            SELECT max(n) FROM numbers";
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("x.db"))
            .await
            .unwrap();
        ledger.migrate().await.unwrap();

        let mut reader = ledger.reader().await.unwrap();
        let ended = sqlx::query(ENDLESS).fetch_all(&mut *reader).await;
        assert!(ended.unwrap_err().to_string().contains("interrupt"));
        drop(reader);
        assert!(ledger.sites().await.unwrap().is_empty());
        ledger.close().await;
    }
}
