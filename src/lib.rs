//! Cordboard turns the HTTP events of Grandstream phones and PBXs into one true record per call.
//!
//! Start reading at [`domain`]: it defines calls, and has no IO. The services [`ingress`],
//! [`worker`] and [`gateway`] see the outside only through the traits of [`port`]; [`app`] joins
//! everything. ARCHITECTURE.md has the vocabulary, the way of one event, and the invariants.

pub mod access;
pub mod adapter;
pub mod app;
pub mod chain;
pub mod cli;
pub mod config;
pub mod domain;
pub mod gateway;
pub mod health;
pub mod ingress;
pub mod net;
pub mod ops;
pub mod port;
pub mod provider;
pub mod retry;
pub mod setup;
pub mod simulate;
pub mod telemetry;
pub mod wire;
pub mod worker;
