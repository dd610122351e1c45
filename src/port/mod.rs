//! Ports: one trait for each use of the outside world by a service. Each error variant is named by
//! the caller's next step, or says it in its doc comment.
//!
//! Types with the content of reports have no debug form, or a redacted one, so that no log line
//! shows it by accident.

pub mod accounts;
pub mod broker;
pub mod changes;
pub mod claims;
pub mod clock;
pub mod dead_letters;
pub mod desk;
pub mod directory;
pub mod error;
pub mod event_log;
pub mod intake;
pub mod ledger;
pub mod live;
pub mod outbox;
pub mod query;
pub mod states;
pub mod stores;
pub mod transfers;
pub mod watch;
pub mod webhooks;
