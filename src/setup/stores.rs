//! The stores of a production worker: PostgreSQL, and Redis where the settings name it.

use std::sync::Arc;

use sqlx::PgPool;

use super::{LiveLinks, Servers};
use crate::adapter::postgres::{Partition, PostgresAddress, PostgresLedger};
use crate::adapter::redis::{Link, RedisLive};
use crate::port::ledger::Ledger;
use crate::port::live::{LiveView, NoLiveView};
use crate::port::stores::PartitionStores;
use crate::wire::partition::Layout;

/// Opens the stores of partitions. Their ledgers share a pool for reads.
pub struct PostgresStores {
    database: PostgresAddress,
    readers: PgPool,
    layout: Layout,
    live: Option<Arc<Link>>,
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
            database,
            readers,
            layout: servers.layout,
            live: live.map(|links| Arc::clone(&links.calls)),
            prefix: prefix.to_owned(),
        }
    }
}

impl PartitionStores for PostgresStores {
    fn ledger(&self, partition: u32) -> Arc<dyn Ledger> {
        let partition = Partition {
            generation: self.layout.generation,
            number: partition,
            count: self.layout.partitions,
        };

        Arc::new(PostgresLedger::new(
            &self.database,
            self.readers.clone(),
            partition,
        ))
    }

    fn live_view(&self, partition: u32) -> Arc<dyn LiveView> {
        match &self.live {
            Some(link) => Arc::new(RedisLive::new(
                Arc::clone(link),
                &self.prefix,
                &self.layout.partition_name(partition),
            )),
            None => Arc::new(NoLiveView),
        }
    }
}
