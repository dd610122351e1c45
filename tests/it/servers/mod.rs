//! Tests on the servers of the run.

mod call_states;
mod dead_letters;
mod examples;
mod fence;
mod foreign;
mod generations;
mod group;
mod hostile;
mod ledger;
mod live;
mod migrate;
mod mixed;
mod outbox;
mod production;
mod redelivery;
mod stations;
mod streams;
mod topology;
mod transfers;
mod unreadable;
