//! From settings to open stores and servers: which profile the settings name, and the adapters that
//! it needs. Used by the service and by the commands of operations.

mod backends;
mod error;
mod journal;
mod ledger;
mod live;
mod machine;
mod partitions;
mod roles;
mod stores;

pub use backends::{
    DatabaseAddress, Servers, check_addresses, database, layout, require_servers, servers,
};
pub use error::SetupError;
pub use journal::{OpenJournal, is_clock_behind, last_receipt, open_journal};
pub use ledger::open_ledger_of;
pub use live::LiveLinks;
pub use machine::{check_clock, earliest_now, is_in_memory, is_open_to_others};
pub use partitions::check_partitions;
pub use roles::Roles;
pub use stores::PostgresStores;

use std::sync::Arc;

use crate::adapter::clock::SystemClock;
use crate::port::clock::Clock;

/// The clock of this machine.
#[must_use]
pub fn machine_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}
