//! The one SQL statement of a batch, or of the batches of several partitions: one round trip,
//! committed wholly or not at all.
//!
//! Each table takes its rows through a common table expression (CTE). Each row bears its partition,
//! and every CTE joins its rows with the fences: those of a partition that another owner has taken
//! over have none. All CTEs see the tables as before the statement: no two of them may touch the
//! same row. Values are bound as arrays, so the text depends on the set of CTEs alone, and the
//! server prepares it once per set.

use std::collections::BTreeMap;

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::PartitionAddress;
use super::column::Columns;
use crate::adapter::sql;
use crate::domain::time::At;
use crate::port::ledger::Changes;

/// The fences of partitions, which also advance their state.
const ADVANCE: &str = "-- commit_batch
WITH fence AS (
    UPDATE partition_owner AS stored
    SET commit_no = stored.commit_no + 1,
        watermark = greatest(stored.watermark, t.watermark),
        ticks = coalesce(t.ticks::json, stored.ticks),
        relayed = greatest(stored.relayed, t.relayed)
    FROM {fences}
    WHERE stored.generation = t.generation
        AND stored.part = t.part
        AND stored.epoch = t.epoch
        AND stored.owner = t.owner
        AND stored.commit_no = t.commit_no
    RETURNING stored.part, stored.generation, stored.watermark, stored.commit_no
)";
const FENCES: &str = "unnest({columns}) AS t (
        part, generation, epoch, owner, commit_no, watermark, ticks, relayed
    )";
/// Fences that no other transaction holds at the moment.
const FREE_FENCES: &str = "(
        SELECT t.*
        FROM unnest({columns}) AS t (
            part, generation, epoch, owner, commit_no, watermark, ticks, relayed
        )
        JOIN partition_owner AS free
            ON free.generation = t.generation
            AND free.part = t.part
        FOR UPDATE OF free SKIP LOCKED
    ) AS t";

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

/// The rows of one batch.
pub(super) struct BatchStatement<'v> {
    fence: Fence,
    watermark: At,
    ticks: Option<String>,
    published_up_to: u64,
    ctes: BTreeMap<&'static str, Cte<'v>>,
}

struct Cte<'v> {
    text: &'static str,
    columns: Columns<'v>,
}

/// The effect of a fence that another transaction holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldFence {
    Wait,
    /// The partition is left out.
    Skip,
}

impl<'v> BatchStatement<'v> {
    pub(super) fn fenced(fence: Fence, changes: &Changes) -> BatchStatement<'v> {
        BatchStatement {
            fence,
            watermark: changes.watermark.unwrap_or(At::START),
            ticks: (!changes.ticks.is_empty()).then(|| sql::ticks_text(&changes.ticks)),
            published_up_to: changes.published_up_to,
            ctes: BTreeMap::new(),
        }
    }

    /// Adds a CTE, which comes after those whose names are before its own. In its text `{rows}`
    /// stands for the rows, whose first column is their partition.
    pub(super) fn add_cte(
        &mut self,
        name: &'static str,
        text: &'static str,
        add_columns: impl FnOnce(&mut Columns<'v>),
    ) {
        let mut columns = Columns::default();
        add_columns(&mut columns);

        self.ctes.insert(name, Cte { text, columns });
    }

    pub(super) fn into_owned(self) -> BatchStatement<'static> {
        let owned = |(name, cte): (&'static str, Cte<'v>)| {
            let columns = cte.columns.into_owned();
            (
                name,
                Cte {
                    text: cte.text,
                    columns,
                },
            )
        };

        BatchStatement {
            fence: self.fence,
            watermark: self.watermark,
            ticks: self.ticks,
            published_up_to: self.published_up_to,
            ctes: self.ctes.into_iter().map(owned).collect(),
        }
    }

    pub(super) fn partition(&self) -> u32 {
        self.fence.partition.number
    }

    /// The most rows that it has for a table.
    pub(super) fn rows(&self) -> usize {
        let rows = self.ctes.values().map(|cte| cte.columns.rows());

        rows.max().unwrap_or(0)
    }

    /// Runs the statement and returns its number; `None` when the fence refused it.
    pub(super) async fn run(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Option<i64>, sqlx::Error> {
        let numbers = run_all(&[self], HeldFence::Wait, connection).await?;

        Ok(numbers.into_values().next())
    }
}

/// Runs the statements of different partitions as one. Returns the number of each that was
/// committed, by its partition.
pub(super) async fn run_all(
    statements: &[&BatchStatement<'_>],
    held: HeldFence,
    connection: &mut PgConnection,
) -> Result<BTreeMap<u32, i64>, sqlx::Error> {
    let mut query = QueryBuilder::new("");
    push_fences(statements, held, &mut query);

    let mut ctes: BTreeMap<&str, Vec<(i32, &Cte<'_>)>> = BTreeMap::new();
    for statement in statements {
        for (name, cte) in &statement.ctes {
            ctes.entry(name)
                .or_default()
                .push((statement.partition().cast_signed(), cte));
        }
    }
    for (name, of_partitions) in ctes {
        push_cte(name, &of_partitions, &mut query);
    }
    query.push("\nSELECT part, commit_no\nFROM fence");

    // All rows are fetched, though none may exist: the server reports the commit after the last row.
    let rows = query.build().fetch_all(connection).await?;

    let number = |row: &sqlx::postgres::PgRow| (row.get::<i32, _>(0).cast_unsigned(), row.get(1));
    Ok(rows.iter().map(number).collect())
}

fn push_fences(
    statements: &[&BatchStatement<'_>],
    held: HeldFence,
    query: &mut QueryBuilder<Postgres>,
) {
    let fences = match held {
        HeldFence::Wait => FENCES,
        HeldFence::Skip => FREE_FENCES,
    };
    let mut columns = Columns::default();
    columns
        .places(statements, |one| one.fence.partition.number as usize)
        .places(statements, |one| one.fence.partition.generation as usize)
        .numbers(statements, |one| one.fence.epoch)
        .uuids(statements, |one| one.fence.owner)
        .numbers(statements, |one| one.fence.last_commit_no)
        .numbers(statements, |one| one.watermark.0)
        .optional_texts(statements, |one| one.ticks.as_deref())
        .numbers(statements, |one| one.published_up_to.cast_signed());

    push_text(ADVANCE, "{fences}", query, |query| {
        push_text(fences, "{columns}", query, |query| columns.bind(query));
    });
}

/// Adds the rows of all partitions for one table.
fn push_cte(name: &str, of_partitions: &[(i32, &Cte<'_>)], query: &mut QueryBuilder<Postgres>) {
    let Some((_, Cte { text, .. })) = of_partitions.first() else {
        return;
    };
    query.push(",\n").push(name).push(" AS (");

    push_text(text, "{rows}", query, |query| {
        let parts: Vec<i32> = of_partitions
            .iter()
            .flat_map(|(part, cte)| std::iter::repeat_n(*part, cte.columns.rows()))
            .collect();
        query.push("unnest(").push_bind(parts).push(", ");
        match of_partitions {
            [(_, only)] => only.columns.bind(query),
            several => {
                let mut columns = Columns::default();
                for (_, cte) in several {
                    columns.append(&cte.columns);
                }
                columns.bind(query);
            }
        }
        query.push(")");
    });
    query.push("\n)");
}

/// Adds a text, and what stands in it for a mark.
fn push_text(
    text: &str,
    mark: &str,
    query: &mut QueryBuilder<Postgres>,
    push_marked: impl FnOnce(&mut QueryBuilder<Postgres>),
) {
    match text.split_once(mark) {
        Some((before, after)) => {
            query.push(before);
            push_marked(query);
            query.push(after);
        }
        None => {
            query.push(text);
        }
    }
}
