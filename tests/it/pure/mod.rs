//! Tests that need no server and take seconds together.

mod accounts;
mod backlog;
mod command;
mod contacts;
mod end_to_end;
mod fixtures;
mod flows;
mod gateway;
mod ingress;
mod journal;
mod laws;
mod ledger;
mod open_calls;
mod openapi;
mod partition;
mod people;
mod popups;
mod seeds;
mod service;
mod sign_in;
mod snapshots;
mod tidy;
mod transfers;
mod webhooks;
mod worker;
mod world;
