//! Fuzz target of plain reports: any routing key and body.

#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target makes one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::plain_report(bytes));
