//! Counters and health checks: what a process knows of itself, for its operations listener.
//! Adapters and services write them, the gateway shows them. They are plain values, not ports: there
//! is nothing to replace behind them.

mod check;
mod counters;

pub use check::HealthCheck;
pub use counters::{BatchCounts, FlowCounters, FlowSnapshot};
