//! Fuzz target of sockets: any bytes of a client after the upgrade.

#![no_main]

#[path = "../gateway.rs"]
#[expect(dead_code, reason = "each target makes one of the checks")]
mod gateway;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gateway::socket(bytes));
