//! What the tests share: call flows, what phones make of them, arbitrary traffic, and the
//! comparison of records.
#![allow(dead_code, reason = "every test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "the numbers of a flow are small"
)]

pub mod batches;
pub mod cluster;
pub mod failing;
pub mod fleet;
pub mod flow;
pub mod ingress;
pub mod ledger;
pub mod load;
pub mod overlay;
pub mod play;
pub mod postgres;
pub mod proxy;
pub mod rabbit;
pub mod scene;
pub mod servers;
pub mod service;
pub mod traffic;
pub mod verdict;
