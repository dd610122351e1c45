//! Days of a world that knows the truth: the command plays them, and nearly all records are right.

use crate::support::service::{command, output};

/// Records that are right in every field, in hundredths of a percent.
const EXACT_MIN: u64 = 9_900;
/// False missed calls of 10,000; most are park slots that are taken for a short while
/// (docs/accuracy.md).
const FALSE_MISSED_MAX: u64 = 35;

/// A number of the table.
fn count(table: &str, name: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("{name} in {table}"));

    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_recorded_as_they_were() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["simulate-days", "--sites", "6", "--load", "light"];

    let output = output(command(data.path(), &arguments, &[])).await;

    let table = String::from_utf8(output.stdout).unwrap();
    let calls = count(&table, "calls ");
    let exact = count(&table, "exact ");
    assert!(
        calls >= 1_800 && exact * 10_000 >= calls * EXACT_MIN,
        "{table}"
    );
    assert!(
        count(&table, "false missed") * 10_000 <= calls * FALSE_MISSED_MAX,
        "{table}"
    );
    assert!(
        count(&table, "lost missed") * 10_000 <= calls * 6,
        "{table}"
    );
}
