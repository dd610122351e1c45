//! Fuzz target of the repair of request lines: any bytes of a connection.

#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target makes one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::repair(bytes));
