//! Tests on the servers of the run.

mod broker;
mod fence;
mod live;
mod production;
