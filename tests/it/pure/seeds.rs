//! The checks of the fuzz targets hold for their seeds: every request line that phones are known
//! to send, and the findings of fuzzing.

#[path = "../../../fuzz/checks.rs"]
mod checks;
#[path = "../../../fuzz/gateway.rs"]
mod gateway;

use std::fs;
use std::path::Path;

fn check_every_seed(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let seeds: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert!(seeds.len() > 2, "there are seeds for {target}");

    for seed in seeds {
        check(&fs::read(&seed).unwrap_or_else(|error| panic!("{}: {error}", seed.display())));
    }
}

#[test]
fn any_piece_of_a_connection_is_repaired_alike() {
    check_every_seed("repair", checks::repair);
}

#[test]
fn any_request_is_a_fact_or_is_none() {
    check_every_seed("request", checks::request);
}

#[test]
fn any_message_reads_as_it_was_written() {
    check_every_seed("message", checks::message);
}

#[test]
fn any_journal_opens_and_goes_on() {
    check_every_seed("journal", checks::journal);
}

#[test]
fn time_passes_within_the_window_whatever_comes() {
    check_every_seed("ticks", checks::ticks);
}

#[test]
fn any_plain_report_reads_back() {
    check_every_seed("plain_report", checks::plain_report);
}

#[test]
fn any_request_to_the_api_has_an_answer() {
    check_every_seed("api", gateway::api);
}

#[test]
fn any_bytes_on_a_socket_end_it_in_order() {
    check_every_seed("socket", gateway::socket);
}
