//! Fuzz target of ticks and other messages: any bytes of a partition's queue.

#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target makes one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::ticks(bytes));
