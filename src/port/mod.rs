//! What the services need from the outside world: a handful of coarse traits, each named for its
//! caller and with errors named by what the caller does next.
//!
//! Types that carry what phones said have no debug form, so that no log line can hold it by
//! accident.

pub mod broker;
pub mod changes;
pub mod clock;
pub mod dead_letters;
pub mod error;
pub mod intake;
pub mod ledger;
pub mod live;
pub mod outbox;
pub mod query;
pub mod states;
pub mod stores;
pub mod watch;
