//! The one SQL statement of a batch: one round trip, committed wholly or not at all.
//!
//! Each table takes its rows through a common table expression (CTE). Every CTE joins its rows with
//! the fence, so it has none where the fence is another owner's. All CTEs see the tables as before
//! the statement: no two of them may touch the same row. Values are bound as arrays, so the text
//! depends on the set of CTEs alone, and the server prepares it once per set.

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::PartitionAddress;
use crate::adapter::sql;
use crate::domain::time::At;
use crate::port::ledger::Changes;

/// The owner of a statement, and the statement before it. With another owner or another number in
/// the database the statement writes nothing.
#[derive(Clone, Copy)]
pub(super) struct Fence {
    pub partition: PartitionAddress,
    pub epoch: i64,
    pub owner: Uuid,
    /// The last statement known to the owner. A statement whose answer never came may still commit.
    /// If it commits late, its number is outdated and it writes nothing. If it commits first, the
    /// owner's next statement is outdated and writes nothing.
    pub last_commit_no: i64,
}

pub(super) struct BatchStatement(QueryBuilder<Postgres>);

pub(super) type Columns<'c> = Separated<'c, Postgres, &'static str>;

impl BatchStatement {
    /// Begins a statement with its fence, which also advances the state of the partition.
    pub(super) fn fenced(fence: Fence, changes: &Changes) -> BatchStatement {
        let watermark = changes.watermark.unwrap_or(At::START).0;
        let ticks = (!changes.ticks.is_empty()).then(|| sql::ticks_text(&changes.ticks));

        let mut query = QueryBuilder::new(
            "-- commit_batch
WITH fence AS (
    UPDATE partition_owner
    SET commit_no = commit_no + 1,
        watermark = greatest(watermark, ",
        );
        query.push_bind(watermark);
        query.push("),\n        ticks = coalesce(").push_bind(ticks);
        query
            .push("::json, ticks),\n        relayed = greatest(relayed, ")
            .push_bind(changes.published_up_to.cast_signed());
        query
            .push(")\n    WHERE generation = ")
            .push_bind(fence.partition.generation.cast_signed());
        query
            .push("\n        AND part = ")
            .push_bind(fence.partition.number.cast_signed());
        query.push("\n        AND epoch = ").push_bind(fence.epoch);
        query.push("\n        AND owner = ").push_bind(fence.owner);
        query
            .push("\n        AND commit_no = ")
            .push_bind(fence.last_commit_no);
        query.push("\n    RETURNING generation, part, watermark, commit_no\n)");

        BatchStatement(query)
    }

    /// Adds a CTE. In its text `{rows}` stands for the rows, given as one array per column.
    pub(super) fn add_cte(
        &mut self,
        name: &'static str,
        text: &'static str,
        columns: impl FnOnce(&mut Columns<'_>),
    ) {
        let BatchStatement(query) = self;
        query.push(",\n").push(name).push(" AS (");

        match text.split_once("{rows}") {
            Some((before, after)) => {
                query.push(before).push("unnest(");
                columns(&mut query.separated(", "));
                query.push(")").push(after);
            }
            None => {
                query.push(text);
            }
        }

        query.push("\n)");
    }

    /// Runs the statement and returns its number; `None` when the fence refused it.
    pub(super) async fn run(
        self,
        connection: &mut PgConnection,
    ) -> Result<Option<i64>, sqlx::Error> {
        let BatchStatement(mut query) = self;
        query.push("\nSELECT commit_no\nFROM fence");

        // All rows are fetched, though at most one exists: the server reports the commit after the
        // last row.
        let rows = query.build().fetch_all(connection).await?;

        Ok(rows.first().map(|row| row.get(0)))
    }
}
