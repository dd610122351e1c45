//! Migrations are part of the binary: a new one must rebuild it. So is the time of the build, before
//! which no clock can be right.

use std::time::{SystemTime, UNIX_EPOCH};

#[expect(
    clippy::disallowed_methods,
    reason = "a build happens at a time, in an environment"
)]
fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");

    // Reproducible builds set the time.
    let seconds = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.unwrap_or_default().as_secs().to_string()
    });
    println!("cargo::rustc-env=CORDBOARD_BUILT_AT={seconds}");
}
