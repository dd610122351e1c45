//! Small batches of the partitions of one process, committed together.
//!
//! A live event makes a batch of its own, and a statement costs the same for one event as for
//! twenty. While one statement runs, the batches of other partitions gather; the next one takes them
//! all. Nothing waits for company longer than that.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, oneshot};

use super::PostgresAddress;
use super::statement::{BatchStatement, HeldFence, run_all};
use super::time_limits::{CONNECT_LIMIT, with_timeout};
use crate::chain::Chain;
use crate::port::ledger::LedgerError;

/// A batch of more rows than these for any table is committed alone: it is worth a statement.
pub(super) const ROWS_MAX: usize = 64;
/// After a statement with so many batches, the buffers of the connection are released.
const LARGE_GROUP: usize = 8;

/// A batch that waits for the next statement.
struct Waiting {
    statement: Arc<BatchStatement<'static>>,
    /// Its number once it is committed.
    committed: oneshot::Sender<i64>,
}

/// Shared by the ledgers of a process.
pub struct CommitGroup {
    options: PgConnectOptions,
    waiting: Mutex<Vec<Waiting>>,
    /// Held while a statement runs. `None` before the first one, and after a failure.
    connection: AsyncMutex<Option<PgConnection>>,
}

impl CommitGroup {
    /// A group whose connection is opened for the first batch.
    #[must_use]
    pub fn new(address: &PostgresAddress) -> CommitGroup {
        CommitGroup {
            options: address.writing("cordboard group"),
            waiting: Mutex::default(),
            connection: AsyncMutex::default(),
        }
    }

    /// Commits a batch beside those of other partitions, and returns the number of its statement.
    ///
    /// `None` where it was left out or the statement failed, whatever the reason: committed alone,
    /// the batch shows it, and the fence refuses it if it was committed after all.
    pub(super) async fn commit(&self, statement: &Arc<BatchStatement<'static>>) -> Option<i64> {
        let (committed, mut number) = oneshot::channel();
        self.waiting.lock().push(Waiting {
            statement: Arc::clone(statement),
            committed,
        });

        let connection = tokio::select! {
            biased;
            number = &mut number => return number.ok(),
            connection = self.connection.lock() => connection,
        };
        // The one before may have taken it with its own.
        if let Err(oneshot::error::TryRecvError::Empty) = number.try_recv() {
            self.run(connection).await;
        }

        number.try_recv().ok()
    }

    /// Commits what waits.
    async fn run(&self, mut idle: MutexGuard<'_, Option<PgConnection>>) {
        let mut group = std::mem::take(&mut *self.waiting.lock());
        let batches = group.len();
        // A former owner in the same process may still commit: each of the two is committed alone.
        let mut partitions = HashSet::new();
        group.retain(|one| partitions.insert(one.statement.partition()));

        // A connection on which something failed, or whose statement was abandoned, is closed.
        match self.run_over(idle.take(), group).await {
            Ok(connection) => *idle = Some(connection),
            Err(error) => tracing::debug!(
                error = %Chain(&error),
                batches,
                "batches were not committed together, each is committed alone"
            ),
        }
    }

    async fn run_over(
        &self,
        connection: Option<PgConnection>,
        group: Vec<Waiting>,
    ) -> Result<PgConnection, LedgerError> {
        let mut connection = match connection {
            Some(connection) => connection,
            None => Box::pin(with_timeout(CONNECT_LIMIT, self.options.connect())).await?,
        };

        let statements: Vec<&BatchStatement<'_>> =
            group.iter().map(|one| &*one.statement).collect();
        let numbers = run_all(&statements, HeldFence::Skip, &mut connection).await?;

        if group.len() >= LARGE_GROUP {
            connection.shrink_buffers();
        }
        for one in group {
            if let Some(number) = numbers.get(&one.statement.partition()) {
                // Its partition may have given up meanwhile.
                let _ = one.committed.send(*number);
            }
        }

        Ok(connection)
    }
}
