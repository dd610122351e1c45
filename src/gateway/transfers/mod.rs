//! Transfers as a protocol: a program registers a transfer of a call, and waits on any gateway until
//! the phones, another program or time decides it.

mod awaited;
mod decision;
mod routes;

pub use awaited::AwaitedTransfers;
pub(super) use routes::routes;
