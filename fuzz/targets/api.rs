//! Fuzz target of the API: any target and body.

#![no_main]

#[path = "../gateway.rs"]
#[expect(dead_code, reason = "each target makes one of the checks")]
mod gateway;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gateway::api(bytes));
