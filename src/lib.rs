//! Cordboard: what Grandstream phones and PBXs report becomes one true record per call.

pub mod adapter;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod gateway;
pub mod health;
pub mod ingress;
pub mod net;
pub mod port;
pub mod provider;
pub mod simulate;
pub mod telemetry;
pub mod wire;
pub mod worker;
