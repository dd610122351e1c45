//! The ledger on `SQLite`: one file, one writing connection, no server.
//!
//! - **Durability**: WAL with `synchronous = FULL`; a committed batch survives a power failure.
//! - **Atomicity**: one transaction per batch, guarded by the owner of the partition.
//! - **Batches as JSON**: a whole batch is one parameter of one statement per table.
//! - **Limits**: four reading connections; a statement waits at most five seconds for another
//!   process to unlock the file.

mod accounts;
mod audit;
mod batch;
mod claims;
mod connection;
mod contacts;
mod database;
mod dead_letters;
mod desk;
mod directory;
mod heal;
mod ledger;
mod links;
mod migrations;
mod notifications;
mod read;
mod recovery;
mod repeats;
mod rows;
mod site_rules;
mod statements;
mod states;
mod transfers;
mod webhooks;
mod windows;

pub use database::SqliteLedger;
