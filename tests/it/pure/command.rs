//! The commands as people use them: help, mistakes, streams and exit codes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::support::service::{Service, command, output};
use crate::support::wait::{PATIENCE, within};

/// One call between two phones: second, event, phone, own number, other number, leg.
const FACTS: [[&str; 6]; 5] = [
    ["00.000", "outgoing", "000b82000001", "1045", "1001", "a"],
    ["00.110", "incoming", "000b82000002", "1001", "1045", "b"],
    ["02.950", "answered", "000b82000002", "1001", "1045", "b"],
    ["05.360", "hangup", "000b82000002", "1001", "1045", "b"],
    ["05.370", "hangup", "000b82000001", "1045", "1001", "a"],
];

fn facts() -> String {
    let lines = FACTS.map(|[second, event, mac, local, remote, leg]| {
        json!({
            "at": format!("2026-01-01T00:00:{second}Z"),
            "event": event,
            "mac": mac,
            "local": local,
            "remote": remote,
            "call_id": leg,
        })
        .to_string()
    });

    lines.join("\n") + "\n"
}

/// The facts in the opposite order.
fn backwards() -> String {
    let facts = facts();
    let lines: Vec<&str> = facts.lines().rev().collect();

    lines.join("\n")
}

fn spawn(arguments: &[&str]) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("cordboard"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Writes the input of a child, and waits for its end.
async fn end(mut child: Child, input: &[u8]) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    let write = async move {
        // The process may end before it has read everything.
        let _ = stdin.write_all(input).await;
    };
    let end = async { tokio::join!(write, child.wait_with_output()).1 };

    within(PATIENCE, "the end of the command", end)
        .await
        .unwrap()
}

/// Runs a command to its end.
async fn run(arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
    end(spawn(arguments), input.as_ref()).await
}

fn records(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_comes_out_of_the_facts_of_two_phones() {
    let output = run(&["reconstruct"], facts()).await;

    let calls = records(&output);
    assert_eq!(
        (output.status.code(), calls.len(), errors(&output)),
        (Some(0), 1, String::new())
    );
    assert_eq!(calls[0]["direction"], "internal");
    assert_eq!(calls[0]["answered_by"]["mac"], "000b82000002");
    assert_eq!(calls[0]["ring_seconds"].as_f64(), Some(2.95));
    assert_eq!(calls[0]["talk_seconds"].as_f64(), Some(2.42));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_the_lines_does_not_matter() {
    let twice = format!("{}\n{}", backwards(), facts());

    assert_eq!(
        run(&["reconstruct"], twice).await.stdout,
        run(&["reconstruct"], facts()).await.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sorted_input_gives_the_same_records_and_refuses_a_line_out_of_order() {
    assert_eq!(
        run(&["reconstruct", "--sorted"], facts()).await.stdout,
        run(&["reconstruct"], facts()).await.stdout
    );

    let output = run(&["reconstruct", "--sorted"], backwards()).await;
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(65));
    assert!(
        errors.contains("line 2 is earlier than the line before it"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_is_named_and_harms_no_neighbour() {
    let facts = facts();
    let lines: Vec<&str> = facts.lines().collect();
    let mut input = lines[..2].join("\n").into_bytes();
    input.extend(b"\n{\"at\":\"never\"}\n\xff\xfe\n\nnot json\n");
    input.extend(lines[2..].join("\n").bytes());

    let output = run(&["reconstruct"], input).await;
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(output.stdout, run(&["reconstruct"], &facts).await.stdout);
    for expected in [
        "line 3 `at` is no instant",
        "line 4 is not UTF-8",
        "line 6 is not JSON",
        "3 lines were skipped",
    ] {
        assert!(errors.contains(expected), "{expected}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watermark_can_be_stopped() {
    let at = async |instant: &str| records(&run(&["reconstruct", "--at", instant], facts()).await);

    assert_eq!(at("2026-01-01T00:00:01Z").await[0]["status"], "ringing");
    let talking = at("2026-01-01T00:00:04Z").await;
    assert_eq!(talking[0]["status"], "answered");
    assert_eq!(talking[0]["total_seconds"], Value::Null);
    assert_eq!(at("2025-01-01T00:00:00Z").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_call_is_decided_only_after_its_delay() {
    let line = |second: &str, event: &str| {
        json!({
            "at": format!("2026-01-01T00:00:{second}Z"),
            "event": event,
            "mac": "000b82000001",
            "local": "201",
            "remote": "+15551230000",
        })
    };
    let incoming = line("00.000", "incoming");
    let missed = line("08.000", "missed");
    let facts = format!("{incoming}\n{missed}\n");
    let outcome = async |at: &str| {
        let output = run(&["reconstruct", "--at", at], &facts).await;
        records(&output)[0]["outcome"].clone()
    };

    assert_eq!(outcome("2026-01-01T00:00:12.900Z").await, Value::Null);
    assert_eq!(outcome("2026-01-01T00:00:14.001Z").await, "missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_file_changes_the_rules_and_its_mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let policy = file.to_str().unwrap();

    fs::write(&file, "region = \"FR\"\n").unwrap();
    let facts_to_france = facts().replace("\"remote\":\"1001\"", "\"remote\":\"0612345678\"");
    let first = facts_to_france.lines().next().unwrap();
    let calls = records(&run(&["reconstruct", "--policy", policy], first).await);
    assert_eq!(calls[0]["to"]["e164"], "+33612345678");

    fs::write(&file, "region = \"FR\"\nmised_delay_ms = 5\n").unwrap();
    let output = run(&["reconstruct", "--policy", policy], facts()).await;
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        errors.contains("mised_delay_ms") && errors.lines().count() == 1,
        "{errors}"
    );

    let output = run(&["reconstruct", "--policy", "/nonexistent"], facts()).await;
    assert_eq!(output.status.code(), Some(78));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_the_story_of_one_call() {
    let output = run(&["explain"], facts()).await;

    let story = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for expected in [
        "internal 1045 -> 1001, answered",
        "[joined_caller]",
        "[answered_first]",
        "Answered by 1001 after 2.950 s",
        "Talk 2.420 s",
    ] {
        assert!(story.contains(expected), "{expected}: {story}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_asks_which_call_when_there_are_several() {
    let first = facts();
    let second = first.replace("2026-01-01", "2026-01-02");
    let both = format!("{first}{second}");
    let calls = records(&run(&["reconstruct"], &both).await);
    let id = calls[1]["id"].as_str().unwrap();

    let output = run(&["explain"], &both).await;
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(64));
    assert!(errors.contains(id), "{errors}");

    let output = run(&["explain", &id[..30]], &both).await;
    let story = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(story.contains(id), "{story}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_on_the_command_line_are_one_clear_line() {
    for (arguments, expected) in [
        (&["reconstruct", "--nope"][..], "--nope"),
        (&["frobnicate"], "frobnicate"),
        (&["reconstruct", "--policy"], "--policy"),
        (&["reconstruct", "--at", "soon"], "soon"),
    ] {
        let output = run(arguments, "").await;
        let errors = errors(&output);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(
            errors.contains(expected) && errors.lines().count() == 1,
            "{errors}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_explains_itself() {
    for arguments in [
        &["--help"][..],
        &["reconstruct", "--help"],
        &["explain", "--help"],
        &["--version"],
    ] {
        let output = run(arguments, "").await;
        assert_eq!(
            (output.status.code(), errors(&output)),
            (Some(0), String::new()),
            "{arguments:?}"
        );
        assert!(!output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_output_is_no_crash() {
    let day = |n: usize| {
        let date = format!("2026-{:02}-{:02}", n / 28 + 1, n % 28 + 1);
        facts()
            .replace("000b8200000", &format!("000b82{n:03}00"))
            .replace("2026-01-01", &date)
    };
    let many: String = (0..300).map(day).collect();

    let mut child = spawn(&["reconstruct"]);
    drop(child.stdout.take());
    let output = end(child, many.as_bytes()).await;
    assert_eq!(
        (output.status.code(), errors(&output)),
        (Some(0), String::new())
    );
}

#[tokio::test]
async fn a_variable_that_is_not_utf_8_is_named() {
    let data = tempfile::tempdir().unwrap();
    let mut doctor = command(data.path(), &["doctor"], &[]);
    doctor.env("AMQP_URL", OsString::from_vec(b"amqp://hush\xff".to_vec()));

    let output = output(doctor).await;

    assert_eq!(output.status.code(), Some(78));
    let error = errors(&output);
    assert!(error.contains("`AMQP_URL` is not UTF-8"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_asks_the_running_service() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let operations = service.operations.to_string();
    let listen = [("OPERATIONS__LISTEN", operations.as_str())];

    let output = output(command(data.path(), &["doctor"], &listen)).await;

    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("running, ready"), "{printed}");
    service.stop().await;
}
