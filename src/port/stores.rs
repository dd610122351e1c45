//! The stores of a worker process.

use std::sync::Arc;

use super::ledger::Ledger;
use super::live::LiveView;

/// Ledgers of the partitions of a process, and where their calls are shown.
pub trait PartitionStores: Send + Sync {
    fn ledger(&self, partition: u32) -> Arc<dyn Ledger>;

    fn live_view(&self, partition: u32) -> Arc<dyn LiveView>;
}
