//! Into how many partitions sites are spread. All workers agree on it here: of an older generation
//! nobody can take a partition over, so a worker that was told otherwise writes nothing.

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};

use super::{Partition, PostgresAddress};
use crate::port::ledger::LedgerError;

/// A way of spreading sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub generation: u32,
    pub partitions: u32,
}

/// Whether a partition may be taken over. The first worker ever lays the partitions out.
pub(super) async fn check(
    transaction: &mut PgConnection,
    part: Partition,
) -> Result<(), LedgerError> {
    let sql =
        "INSERT INTO partition_layout (generation, parts) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    sqlx::query(sql)
        .bind(part.generation.cast_signed())
        .bind(part.count.cast_signed())
        .execute(&mut *transaction)
        .await?;
    match read(transaction).await? {
        Some(Layout {
            generation,
            partitions: parts,
        }) if (generation, parts) == (part.generation, part.count) => Ok(()),
        Some(Layout { generation, .. }) if generation > part.generation => {
            Err(LedgerError::LayoutMismatch(format!(
                "generation {generation} of the partitions is in force, and this process was told {}: give it the settings of the others",
                part.generation
            )))
        }
        Some(Layout {
            generation,
            partitions: parts,
        }) => Err(LedgerError::LayoutMismatch(format!(
            "generation {generation} of the partitions has {parts} of them, and this process was told generation {} with {}: another number needs a new generation",
            part.generation, part.count
        ))),
        None => Err(LedgerError::Unavailable(
            "the layout of the partitions was removed under way".to_owned(),
        )),
    }
}

async fn read(transaction: &mut PgConnection) -> Result<Option<Layout>, LedgerError> {
    let found: Option<(i32, i32)> =
        sqlx::query_as("SELECT generation, parts FROM partition_layout FOR SHARE")
            .fetch_optional(&mut *transaction)
            .await?;
    Ok(found.map(|(generation, parts)| Layout {
        generation: generation.cast_unsigned(),
        partitions: parts.cast_unsigned(),
    }))
}

/// The layout in force; none before the first worker.
pub async fn layout(address: &PostgresAddress) -> Result<Option<Layout>, LedgerError> {
    let mut connection = address.writing("cordboard layout").connect().await?;
    let found = read(&mut connection).await?;
    connection.close().await?;
    Ok(found)
}

/// Puts a newer layout in force. Whoever owns a partition of the older one writes nothing any more;
/// time goes on from where the last of them stood.
pub async fn adopt(address: &PostgresAddress, layout: Layout) -> Result<(), LedgerError> {
    let mut connection = address.writing("cordboard layout").connect().await?;
    let mut transaction = connection.begin().await?;
    let (generation, parts) = (
        layout.generation.cast_signed(),
        layout.partitions.cast_signed(),
    );
    let moved = sqlx::query(
        "UPDATE partition_layout SET generation = $1, parts = $2 WHERE generation < $1",
    )
    .bind(generation)
    .bind(parts)
    .execute(&mut *transaction)
    .await?;
    if moved.rows_affected() == 1 {
        // Taken by nobody: every commit under way is waited for, and every later one is refused.
        sqlx::query("UPDATE partition_owner SET epoch = epoch + 1, owner = gen_random_uuid() WHERE generation < $1")
            .bind(generation)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO partition_owner (generation, part, epoch, owner, watermark)
             SELECT $1, part, 0, gen_random_uuid(), (SELECT min(watermark) FROM partition_owner WHERE generation < $1) FROM generate_series(0, $2 - 1) AS part",
        )
        .bind(generation)
        .bind(parts)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}
