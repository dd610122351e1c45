//! The ledger on PostgreSQL.
//!
//! Sites are spread over partitions, and each partition has one owner among many workers. The owner
//! writes over one connection for each of its partitions, and small batches of all of them over a
//! common one; reads share a pool of the process.

mod accounts;
mod audit;
mod batch;
mod call_page;
mod call_rows;
mod claims;
mod column;
mod commit_group;
mod contacts;
mod dead_letters;
mod desk;
mod directory;
mod fact_rows;
mod heal;
mod layout;
mod ledger;
mod links;
mod migrations;
mod notifications;
mod read;
mod reader;
mod recovery;
mod repeats;
mod site_rules;
mod statement;
mod states;
mod stats;
mod time_limits;
mod transfers;
mod upkeep;
mod webhooks;
mod windows;
mod writer;
mod written_rows;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use uuid::Uuid;

use crate::domain::fact::Site;
use crate::port::ledger::LedgerError;
use crate::wire::partition::{Layout, partition_of};
pub use commit_group::CommitGroup;
pub use layout::{adopt, layout};
pub use migrations::{migrate, migrations, tables};
use reader::Reader;
use time_limits::{
    BATCH_STATEMENT_TIMEOUT, CONNECT_LIMIT, HISTORY_LIMIT, READ_LIMIT, READ_STATEMENT_TIMEOUT,
};
use writer::Writer;

const READERS_MAX: u32 = 8;

/// Every query has an index that leads to its rows. A sequential scan that was planned while a
/// table was small, or before its rows were counted, costs more with every stored call. If no
/// other plan exists, the planner still takes one of these at a very high estimate, and would then
/// compile it just in time, which takes a hundred times longer than its execution.
const BY_INDEX: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The place of a partition in the database: its generation of the layout, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionAddress {
    pub generation: u32,
    pub number: u32,
    pub count: u32,
}

impl PartitionAddress {
    #[must_use]
    pub fn of(layout: Layout, number: u32) -> PartitionAddress {
        PartitionAddress {
            generation: layout.generation,
            number,
            count: layout.partitions,
        }
    }

    /// Whether the site belongs to the partition.
    fn contains(self, site: &Site) -> bool {
        partition_of(site, self.count) == self.number
    }
}

/// The ledger of one partition.
pub struct PostgresLedger {
    partition: PartitionAddress,
    writer: Writer,
    /// Commits small batches beside those of other partitions.
    group: Option<Arc<CommitGroup>>,
    readers: PgPool,
    /// The longest wait for the answer to a short read.
    read_limit: Duration,
    /// The last take-over by this ledger: its epoch, and an owner id that is never used again.
    owner: Mutex<(i64, Uuid)>,
    /// The number of the last batch of this owner that the database has confirmed.
    acknowledged: AtomicI64,
}

/// Validated connection options.
#[derive(Clone, Debug)]
pub struct PostgresAddress(PgConnectOptions);

impl FromStr for PostgresAddress {
    type Err = String;

    fn from_str(url: &str) -> Result<PostgresAddress, String> {
        // The parser's error may quote the address, and with it a password.
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            "it is not of the form postgres://user:password@host/database".to_owned()
        })?;

        Ok(PostgresAddress(options.disable_statement_logging()))
    }
}

impl PostgresAddress {
    fn named(&self, name: &str) -> PgConnectOptions {
        self.0.clone().application_name(name)
    }

    /// Options for writes. A statement takes a whole batch, and its plan is made once for all
    /// values.
    fn writing(&self, name: &str) -> PgConnectOptions {
        self.named(name).options(BY_INDEX).options([
            ("statement_timeout", BATCH_STATEMENT_TIMEOUT),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "3s"),
            ("plan_cache_mode", "force_generic_plan"),
        ])
    }
}

/// The pool for all reads of this process. Connections are opened on demand.
#[must_use]
pub fn readers(address: &PostgresAddress) -> PgPool {
    let options = address.named("cordboard read").options(BY_INDEX);
    // The best index depends on the filter, so every read is planned with its values. A page is too
    // little work for parallel processes.
    let options = options.options([
        ("statement_timeout", READ_STATEMENT_TIMEOUT),
        ("default_transaction_read_only", "on"),
        ("plan_cache_mode", "force_custom_plan"),
        ("max_parallel_workers_per_gather", "0"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(CONNECT_LIMIT);

    pool.connect_lazy_with(options)
}

impl PostgresLedger {
    /// The ledger of one partition. Its connection is opened at the first write.
    #[must_use]
    pub fn new(
        address: &PostgresAddress,
        readers: PgPool,
        partition: PartitionAddress,
    ) -> PostgresLedger {
        let name = format!("cordboard p{:02}", partition.number);
        let writer = Writer::new(address.writing(&name));

        PostgresLedger {
            partition,
            writer,
            group: None,
            readers,
            read_limit: READ_LIMIT,
            owner: Mutex::default(),
            acknowledged: AtomicI64::default(),
        }
    }

    /// The same ledger, which commits small batches together with the other ledgers of the group.
    #[must_use]
    pub fn in_group(self, group: Arc<CommitGroup>) -> PostgresLedger {
        PostgresLedger {
            group: Some(group),
            ..self
        }
    }

    /// Opens the whole database as of one moment: later writes stay invisible.
    pub async fn open_snapshot(
        address: &PostgresAddress,
        partition: PartitionAddress,
    ) -> Result<PostgresLedger, LedgerError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(CONNECT_LIMIT);
        let pool = pool.after_connect(|connection, _| {
            let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
            Box::pin(async move { sqlx::query(begin).execute(connection).await.map(|_| ()) })
        });
        let readers = pool
            .connect_with(address.named("cordboard rebuild"))
            .await?;
        let ledger = PostgresLedger::new(address, readers, partition);

        Ok(PostgresLedger {
            read_limit: HISTORY_LIMIT,
            ..ledger
        })
    }

    /// Closes all connections, also those of the shared pool.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    fn owner(&self) -> (i64, Uuid) {
        *self.owner.lock()
    }

    /// Leases a connection for short reads.
    async fn reader(&self) -> Result<Reader, LedgerError> {
        Reader::lease(&self.readers, self.read_limit).await
    }

    /// Leases a connection for long reads of a history.
    async fn slow_reader(&self) -> Result<Reader, LedgerError> {
        Reader::lease_slow(&self.readers).await
    }
}
