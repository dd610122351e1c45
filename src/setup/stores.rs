//! The stores of a production worker: PostgreSQL, and Redis where the settings name it.

use std::sync::Arc;

use sqlx::PgPool;

use super::{LiveLinks, Servers};
use crate::adapter::postgres::{CommitGroup, PostgresAddress, PostgresLedger};
use crate::adapter::redis::{RedisLink, RedisLive};
use crate::port::ledger::Ledger;
use crate::port::live::{LiveView, NoLiveView};
use crate::port::stores::PartitionStores;

/// Opens the stores of partitions. Their ledgers share a pool for reads, and commit small batches
/// together.
pub struct PostgresStores {
    database: PostgresAddress,
    readers: PgPool,
    group: Arc<CommitGroup>,
    servers: Servers,
    live: Option<Arc<RedisLink>>,
    /// Begins all keys of the live view.
    prefix: String,
}

impl PostgresStores {
    #[must_use]
    pub fn new(
        servers: &Servers,
        database: PostgresAddress,
        readers: PgPool,
        live: Option<&LiveLinks>,
        prefix: &str,
    ) -> PostgresStores {
        PostgresStores {
            group: Arc::new(CommitGroup::new(&database)),
            database,
            readers,
            servers: servers.clone(),
            live: live.map(|links| Arc::clone(&links.calls)),
            prefix: prefix.to_owned(),
        }
    }
}

impl PartitionStores for PostgresStores {
    fn ledger(&self, partition: u32) -> Arc<dyn Ledger> {
        let partition = self.servers.partition(partition);
        let ledger = PostgresLedger::new(&self.database, self.readers.clone(), partition);

        Arc::new(ledger.in_group(Arc::clone(&self.group)))
    }

    fn live_view(&self, partition: u32) -> Arc<dyn LiveView> {
        match &self.live {
            Some(link) => Arc::new(RedisLive::new(
                Arc::clone(link),
                &self.prefix,
                &self.servers.layout.partition_name(partition),
            )),
            None => Arc::new(NoLiveView),
        }
    }
}
