//! The commands of operations, as use cases: each opens what it needs, does its work, and closes
//! it. How results are printed is the command line's.

mod accounts;
mod api;
mod audit;
mod broker;
mod dead_letters;
mod doctor;
mod doctor_servers;
mod doctor_service;
mod finding;
mod migrate;
mod rebuild;
mod recorded;
mod resend;
mod streams;

pub use crate::adapter::sql::{MigrationStatus, TableStatus};
pub use crate::port::accounts::{ApiToken, User};
pub use accounts::{
    AccountError, NewUser, TokenAction, TokenResult, UserAction, UserResult, change_tokens,
    change_users,
};
pub use api::{Api, ApiError};
pub use audit::{Difference, Scope};
pub use broker::{Applied, BrokerStatus, adopt_layout, apply_broker, broker_status};
pub use dead_letters::{
    DeadLetterAction, DeadLetterFilter, DeadLetterResult, DeadLetterStore, dead_letters,
};
pub use doctor::examine;
pub use finding::{Finding, Grade};
pub use migrate::{DatabaseStatus, database_status, migrate};
pub use rebuild::{differences, rebuild};
pub use recorded::RecordedCalls;
pub use resend::{Period, resend};
pub use streams::{Inspected, inspect_streams, try_streams};
