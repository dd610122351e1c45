//! The integration tests, in three tiers that can be run alone: `tests/run pure`, `tests/run
//! servers`, `tests/run faults`.
//!
//! `pure` needs nothing but this program and takes seconds. `servers` uses the RabbitMQ, Redis and
//! PostgreSQL of the run. `faults` kills, freezes, parts and fills up servers of each test's own;
//! what it does to the embedded service needs no server. Tests that need servers are compiled with
//! the feature `server-tests`, which `tests/run` sets: `cargo test` alone runs all the others.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod faults;
mod ledger;
mod pure;
#[cfg(feature = "server-tests")]
mod servers;
#[cfg_attr(
    not(feature = "server-tests"),
    expect(dead_code, reason = "some of it is only for tests that need servers")
)]
mod support;
