//! Counters and health checks: the state of a process, as its operations listener reports it.
//!
//! Adapters and services write them, the gateway reads them. They are plain values, not ports:
//! there is no implementation to replace behind them.

mod check;
mod counters;

pub use check::HealthCheck;
pub use counters::{BatchCounts, FlowCounters, FlowSnapshot};
