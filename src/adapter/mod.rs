//! Adapters: implementations of the ports on files, databases, brokers and clocks, one file or
//! folder each. Adapters never import the services that use them.

pub mod clock;
pub mod http;
pub mod journal;
pub mod memory;
pub mod postgres;
pub mod rabbit;
pub mod redis;
pub mod sql;
pub mod sqlite;
