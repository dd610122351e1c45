//! Keys of the live view that could not be written, on either database. Each adapter has `execute` and
//! `select` for its connections.

pub(in crate::adapter) const NOTE_OUTDATED: &str = "-- note_outdated_state
    INSERT INTO outdated_states (kind, name)
    VALUES ($1, $2)
    ON CONFLICT (kind, name) DO UPDATE
    SET times = outdated_states.times + 1";

pub(in crate::adapter) const SELECT_OUTDATED: &str = "-- select_outdated_states
    SELECT kind, name, times
    FROM outdated_states
    ORDER BY kind, name
    LIMIT $1";

pub(in crate::adapter) const FORGET_OUTDATED: &str = "-- forget_outdated_state
    DELETE FROM outdated_states
    WHERE kind = $1
        AND name = $2
        AND times = $3";

/// Implements [`OutdatedStates`](crate::port::states::OutdatedStates) for a ledger of this database.
macro_rules! implement_outdated_states {
    ($ledger:ty) => {
        use $crate::adapter::sql::outdated_states as outdated;
        use $crate::port::states::{OutdatedState, OutdatedStates, StateName};

        #[async_trait]
        impl OutdatedStates for $ledger {
            async fn note_outdated(&self, name: &StateName) -> Result<(), LedgerError> {
                let (kind, name) = name.parts();
                let note = sqlx::query(outdated::NOTE_OUTDATED).bind(kind).bind(name);
                self.execute(note).await?;

                Ok(())
            }

            async fn outdated(&self, max: u32) -> Result<Vec<OutdatedState>, LedgerError> {
                let select = sqlx::query(outdated::SELECT_OUTDATED).bind(i64::from(max));
                let rows = self.select(select).await?;

                Ok(rows
                    .iter()
                    .map(|row| OutdatedState {
                        name: StateName::from_parts(row.get(0), row.get(1)),
                        times: row.get(2),
                    })
                    .collect())
            }

            async fn forget_outdated(
                &self,
                outdated_state: &OutdatedState,
            ) -> Result<(), LedgerError> {
                let (kind, name) = outdated_state.name.parts();
                let forget = sqlx::query(outdated::FORGET_OUTDATED)
                    .bind(kind)
                    .bind(name)
                    .bind(outdated_state.times);
                self.execute(forget).await?;

                Ok(())
            }
        }
    };
}
pub(in crate::adapter) use implement_outdated_states;
