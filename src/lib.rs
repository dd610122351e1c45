//! Cordboard: what Grandstream phones and PBXs report becomes one true record per call.

pub mod adapter;
pub mod cli;
pub mod domain;
pub mod ingress;
pub mod port;
pub mod provider;
pub mod wire;
pub mod worker;
