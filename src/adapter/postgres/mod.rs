//! The ledger on PostgreSQL: many workers, each with the partitions it owns and one connection for
//! each of them.

mod batch;
mod batch_sql;
mod dead_letters;
mod layout;
mod read;
mod reader;
mod recovery;
mod statement;
mod states;
mod stats;
mod tables;
mod upkeep;
mod write;
mod writer;
mod written_rows;

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::sql::MigrationStatus;
use crate::domain::fact::Site;
use crate::port::ledger::LedgerError;
use crate::wire::partition::partition_of;
pub use layout::{Layout, adopt, layout};
use reader::Reader;
use writer::Writer;

/// Tables of a later version are ours as well: it only adds to them as long as this version may run
/// beside it.
static MIGRATIONS: Migrator = Migrator {
    ignore_missing: true,
    ..sqlx::migrate!("migrations/postgres")
};

const READERS_MAX: u32 = 8;
/// To connect, and to be given a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// Questions of the interfaces are ended by the server after this long.
const READ_TIMEOUT: &str = "2s";
/// The server ends what it can; a server that says nothing at all is given up after this long.
const READ_PATIENCE: Duration = Duration::from_secs(5);
const WRITE_PATIENCE: Duration = Duration::from_secs(15);
/// A statement is a whole batch: where the disk is slow, it may take what ten small ones would.
/// Ended sooner it would never be done.
const BATCH_TIMEOUT: &str = "12s";
/// A whole history may be read at once when records are compared.
const SNAPSHOT_PATIENCE: Duration = Duration::from_hours(1);

/// Whatever is asked has an index that leads to it. A plan that walks through a table because it
/// was small once, or because nobody has counted its rows yet, costs more with every call there is.
/// Such plans look dear to the planner where nothing else is allowed; compiling them, which it does
/// then, takes a hundred times longer than they do.
const BY_INDEX: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// One of the partitions into which sites are spread, in one way of spreading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    pub generation: u32,
    pub number: u32,
    pub count: u32,
}

impl Partition {
    /// Whether a site belongs to it.
    fn contains(self, site: &Site) -> bool {
        partition_of(site, self.count) == self.number
    }
}

/// One partition of the database.
pub struct PostgresLedger {
    partition: Partition,
    writer: Writer,
    readers: PgPool,
    patience: Duration,
    /// Who took the partition over last, as far as this ledger knows: the epoch, and an id that
    /// nobody else ever has.
    owner: Mutex<(i64, uuid::Uuid)>,
}

/// How to connect, checked.
#[derive(Clone, Debug)]
pub struct PostgresAddress(PgConnectOptions);

impl FromStr for PostgresAddress {
    type Err = String;

    fn from_str(url: &str) -> Result<PostgresAddress, String> {
        let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
        Ok(PostgresAddress(options.disable_statement_logging()))
    }
}

impl PostgresAddress {
    fn named(&self, name: &str) -> PgConnectOptions {
        self.0.clone().application_name(name)
    }

    /// Every statement takes a batch, and its plan is made once, for any values.
    fn writing(&self, name: &str) -> PgConnectOptions {
        self.named(name).options(BY_INDEX).options([
            ("statement_timeout", BATCH_TIMEOUT),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "3s"),
            ("plan_cache_mode", "force_generic_plan"),
        ])
    }
}

/// Connections for questions, shared by everything in this process that asks; opened when they are
/// needed.
#[must_use]
pub fn readers(address: &PostgresAddress) -> PgPool {
    let options = address.named("cordboard read").options(BY_INDEX);
    // What leads to the fewest rows depends on what is asked for; and a page is no work for several
    // processes.
    let options = options.options([
        ("statement_timeout", READ_TIMEOUT),
        ("default_transaction_read_only", "on"),
        ("plan_cache_mode", "force_custom_plan"),
        ("max_parallel_workers_per_gather", "0"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(CONNECT_PATIENCE);
    pool.connect_lazy_with(options)
}

impl PostgresLedger {
    /// One partition; its connection is opened when it is needed first.
    #[must_use]
    pub fn new(address: &PostgresAddress, readers: PgPool, partition: Partition) -> PostgresLedger {
        let name = format!("cordboard p{:02}", partition.number);
        let writer = Writer::new(address.writing(&name));
        PostgresLedger {
            partition,
            writer,
            readers,
            patience: READ_PATIENCE,
            owner: Mutex::default(),
        }
    }

    /// The whole database, to be read as it stands at one moment, whatever is written meanwhile.
    pub async fn open_snapshot(
        address: &PostgresAddress,
        part: Partition,
    ) -> Result<PostgresLedger, LedgerError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(CONNECT_PATIENCE);
        let pool = pool.after_connect(|connection, _| {
            let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
            Box::pin(async move { sqlx::query(begin).execute(connection).await.map(|_| ()) })
        });
        let readers = pool
            .connect_with(address.named("cordboard rebuild"))
            .await?;
        let ledger = PostgresLedger::new(address, readers, part);
        Ok(PostgresLedger {
            patience: SNAPSHOT_PATIENCE,
            ..ledger
        })
    }

    /// Lets its own connection go; those it shares stay.
    pub async fn release(self) {
        self.writer.close().await;
    }

    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    fn owner(&self) -> (i64, uuid::Uuid) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leases a connection for short reads.
    async fn reader(&self) -> Result<Reader, LedgerError> {
        Reader::lease(&self.readers, self.patience).await
    }

    /// Leases a connection for reads that may take long, because they read a history.
    async fn slow_reader(&self) -> Result<Reader, LedgerError> {
        Reader::lease_slow(&self.readers).await
    }
}

/// Brings the database up to date. Needs the owner of the tables.
pub async fn migrate(address: &PostgresAddress) -> Result<(), LedgerError> {
    // A migration waits for no lock: whoever works goes on working, and the migration is tried
    // again.
    let mut connection = address
        .named("cordboard migrate")
        .options([("lock_timeout", "2s")])
        .connect()
        .await?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => LedgerError::Corrupt(other.to_string()),
        })?;
    connection.close().await?;
    Ok(())
}

/// Which migrations there are, and which the database has.
pub async fn migrations(address: &PostgresAddress) -> Result<Vec<MigrationStatus>, LedgerError> {
    let mut connection = address.named("cordboard migrate").connect().await?;
    let exists: Option<String> = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text")
        .fetch_one(&mut connection)
        .await?;
    let applied: Vec<i64> = match exists {
        None => Vec::new(),
        Some(_) => {
            sqlx::query_scalar(
                "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version",
            )
            .fetch_all(&mut connection)
            .await?
        }
    };
    connection.close().await?;
    let up = MIGRATIONS
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration());
    let status = up.map(|migration| MigrationStatus {
        version: migration.version,
        description: migration.description.to_string(),
        applied: applied.contains(&migration.version),
    });
    Ok(status.collect())
}
