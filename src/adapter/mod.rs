//! The outside world behind the ports: one file or folder each. Adapters never know the services
//! that use them.

pub mod clock;
pub mod journal;
pub mod memory;
pub mod postgres;
pub mod rabbit;
pub mod redis;
pub mod sql;
pub mod sqlite;
