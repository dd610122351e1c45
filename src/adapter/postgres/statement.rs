//! Everything that a batch writes as one statement: one question and one answer, all of it or
//! nothing.

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::Partition;
use crate::adapter::sql;
use crate::domain::time::At;
use crate::port::ledger::Changes;

/// By whom a statement is written, and after which one: whoever sees another owner here, or another
/// number, writes nothing.
#[derive(Clone, Copy)]
pub(super) struct Fence {
    pub part: Partition,
    pub epoch: i64,
    pub owner: Uuid,
    /// The last statement that this owner knows of. One that was given up, and comes through after
    /// all, finds a later one here.
    pub after: i64,
}

/// Parts take their rows from the fence as well, so there are none where the fence is another's.
/// They see the tables as they were before the statement: no two of them may touch the same row.
pub(super) struct BatchStatement(QueryBuilder<Postgres>);

pub(super) type Columns<'c> = Separated<'c, Postgres, &'static str>;

impl BatchStatement {
    pub(super) fn fenced(fence: Fence, changes: &Changes) -> BatchStatement {
        let mut query = QueryBuilder::new(
            "WITH fence AS (UPDATE partition_owner SET commit_no = commit_no + 1, watermark = greatest(watermark, ",
        );
        query.push_bind(changes.watermark.unwrap_or(At::START).0);
        let ticks = (!changes.ticks.is_empty()).then(|| sql::ticks_text(&changes.ticks));
        query
            .push("), ticks = coalesce(")
            .push_bind(ticks)
            .push("::json, ticks)");
        query
            .push(", relayed = greatest(relayed, ")
            .push_bind(changes.published_up_to.cast_signed());
        query
            .push(") WHERE generation = ")
            .push_bind(fence.part.generation.cast_signed());
        query
            .push(" AND part = ")
            .push_bind(fence.part.number.cast_signed());
        query.push(" AND epoch = ").push_bind(fence.epoch);
        query.push(" AND owner = ").push_bind(fence.owner);
        query.push(" AND commit_no = ").push_bind(fence.after);
        query.push(" RETURNING generation, part, watermark, commit_no)");
        BatchStatement(query)
    }

    /// One more part. In its text `{rows}` stands for the rows whose columns are given, each of
    /// them an array.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        text: &'static str,
        columns: impl FnOnce(&mut Columns<'_>),
    ) {
        let BatchStatement(query) = self;
        query.push(", ").push(name).push(" AS (");
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
        query.push(")");
    }

    /// The number of the statement; `None` when the fence was another's, and nothing was written.
    pub(super) async fn run(
        self,
        connection: &mut PgConnection,
    ) -> Result<Option<i64>, sqlx::Error> {
        let BatchStatement(mut query) = self;
        query.push(" SELECT commit_no FROM fence");
        // All rows, though there is one: the server ends its answer only when it has committed.
        let rows = query.build().fetch_all(connection).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }
}
