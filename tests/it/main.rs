//! The integration tests, in four tiers that can be run alone: `tests/run pure`, `tests/run
//! browser`, `tests/run servers`, `tests/run faults`.
//!
//! `pure` needs nothing but this program and takes seconds. `browser` looks at the page with
//! headless Chromium. `servers` uses the RabbitMQ, Redis and
//! PostgreSQL of the run. `faults` kills, freezes, parts and fills up servers of each test's own;
//! what it does to the embedded service needs no server. Tests that need servers or the browser are
//! compiled with the feature `server-tests`, which `tests/run` sets: `cargo test` alone runs all the others.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[cfg(feature = "server-tests")]
mod browser;
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

/// The allocator of the program.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
