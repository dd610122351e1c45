//! The layout of the partitions: how many there are, in which generation.
//!
//! All workers agree on it through the database. Partitions of an older generation cannot be taken
//! over, so a worker with outdated settings writes nothing.

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};

use super::{PartitionAddress, PostgresAddress};
use crate::port::ledger::LedgerError;
use crate::wire::partition::Layout;

const INSERT_LAYOUT: &str = "-- insert_layout
    INSERT INTO partition_layout (generation, parts)
    VALUES ($1, $2)
    ON CONFLICT DO NOTHING";

const SELECT_LAYOUT: &str = "-- select_layout
    SELECT generation, parts
    FROM partition_layout
    FOR SHARE";

const UPDATE_LAYOUT: &str = "-- update_layout
    UPDATE partition_layout
    SET generation = $1,
        parts = $2
    WHERE generation < $1";

const REVOKE_OWNERS: &str = "-- revoke_owners
    UPDATE partition_owner
    SET epoch = epoch + 1,
        owner = gen_random_uuid()
    WHERE generation < $1";

/// The watermark goes on from the lowest of the older generations.
const INSERT_PARTITIONS: &str = "-- insert_partitions
    INSERT INTO partition_owner (generation, part, epoch, owner, watermark)
    SELECT
        $1,
        part,
        0,
        gen_random_uuid(),
        (
            SELECT min(watermark)
            FROM partition_owner
            WHERE generation < $1
        )
    FROM generate_series(0, $2 - 1) AS part";

/// Checks that the partition belongs to the layout in force. The first worker puts its own layout
/// in force.
pub(super) async fn check_layout(
    transaction: &mut PgConnection,
    partition: PartitionAddress,
) -> Result<(), LedgerError> {
    sqlx::query(INSERT_LAYOUT)
        .bind(partition.generation.cast_signed())
        .bind(partition.count.cast_signed())
        .execute(&mut *transaction)
        .await?;

    let Some(layout) = select_layout(transaction).await? else {
        return Err(LedgerError::Unavailable(
            "the row of partition_layout was deleted during the take-over".into(),
        ));
    };
    let Layout {
        generation,
        partitions,
    } = layout;

    if generation > partition.generation {
        return Err(LedgerError::LayoutMismatch(format!(
            "generation {generation} of the partitions is in force, and this process is set to \
             {}: give it the settings of the other workers",
            partition.generation
        )));
    }
    if (generation, partitions) != (partition.generation, partition.count) {
        return Err(LedgerError::LayoutMismatch(format!(
            "generation {generation} of the partitions has {partitions} of them, and this process \
             is set to generation {} with {}: another number needs a new generation",
            partition.generation, partition.count
        )));
    }

    Ok(())
}

async fn select_layout(connection: &mut PgConnection) -> Result<Option<Layout>, LedgerError> {
    let found: Option<(i32, i32)> = sqlx::query_as(SELECT_LAYOUT)
        .fetch_optional(connection)
        .await?;

    Ok(found.map(|(generation, partitions)| Layout {
        generation: generation.cast_unsigned(),
        partitions: partitions.cast_unsigned(),
    }))
}

/// The layout in force; `None` before the first worker.
pub async fn layout(address: &PostgresAddress) -> Result<Option<Layout>, LedgerError> {
    let mut connection = address.writing("cordboard layout").connect().await?;
    let found = select_layout(&mut connection).await?;
    connection.close().await?;

    Ok(found)
}

/// Puts a newer layout in force. Owners of partitions of an older one can no longer write, and time
/// goes on from the lowest of their watermarks.
pub async fn adopt(address: &PostgresAddress, layout: Layout) -> Result<(), LedgerError> {
    let generation = layout.generation.cast_signed();
    let partitions = layout.partitions.cast_signed();
    let mut connection = address.writing("cordboard layout").connect().await?;
    let mut transaction = connection.begin().await?;

    let updated = sqlx::query(UPDATE_LAYOUT)
        .bind(generation)
        .bind(partitions)
        .execute(&mut *transaction)
        .await?;
    if updated.rows_affected() == 1 {
        // The new owner ids belong to no worker: the update waits for commits that are under way,
        // and the fence refuses later ones.
        sqlx::query(REVOKE_OWNERS)
            .bind(generation)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(INSERT_PARTITIONS)
            .bind(generation)
            .bind(partitions)
            .execute(&mut *transaction)
            .await?;
    }

    transaction.commit().await?;
    connection.close().await?;

    Ok(())
}
