//! The commands as a person uses them: help, mistakes, streams and exit codes.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const FACTS: &str = r#"{"at":"2026-01-01T00:00:00.000Z","event":"outgoing","mac":"000b82000001","local":"1045","remote":"1001","call_id":"a"}
{"at":"2026-01-01T00:00:00.110Z","event":"incoming","mac":"000b82000002","local":"1001","remote":"1045","call_id":"b"}
{"at":"2026-01-01T00:00:02.950Z","event":"answered","mac":"000b82000002","local":"1001","remote":"1045","call_id":"b"}
{"at":"2026-01-01T00:00:05.360Z","event":"hangup","mac":"000b82000002","local":"1001","remote":"1045","call_id":"b"}
{"at":"2026-01-01T00:00:05.370Z","event":"hangup","mac":"000b82000001","local":"1045","remote":"1001","call_id":"a"}
"#;

fn started(arguments: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cordboard"));
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn cordboard(arguments: &[&str], input: &str) -> Output {
    let mut child = started(arguments);
    // The process may end before it has read everything: that is its right.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn records(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn one_call_comes_out_of_the_facts_of_two_phones() {
    let output = cordboard(&["reconstruct"], FACTS);
    let calls = records(&output);
    assert_eq!(
        (output.status.code(), calls.len(), told(&output)),
        (Some(0), 1, String::new())
    );
    assert_eq!(calls[0]["direction"], "internal");
    assert_eq!(calls[0]["answered_by"]["mac"], "000b82000002");
    assert_eq!(
        (
            calls[0]["ring_seconds"].as_f64(),
            calls[0]["talk_seconds"].as_f64()
        ),
        (Some(2.95), Some(2.42))
    );
}

#[test]
fn the_order_of_the_lines_does_not_matter() {
    let backwards: Vec<&str> = FACTS.lines().rev().collect();
    let twice = format!("{}\n{FACTS}", backwards.join("\n"));
    assert_eq!(
        cordboard(&["reconstruct"], &twice).stdout,
        cordboard(&["reconstruct"], FACTS).stdout
    );
}

#[test]
fn sorted_input_gives_the_same_records_and_refuses_a_line_out_of_order() {
    assert_eq!(
        cordboard(&["reconstruct", "--sorted"], FACTS).stdout,
        cordboard(&["reconstruct"], FACTS).stdout
    );
    let backwards: Vec<&str> = FACTS.lines().rev().collect();
    let output = cordboard(&["reconstruct", "--sorted"], &backwards.join("\n"));
    assert_eq!(output.status.code(), Some(65));
    assert!(
        told(&output).contains("line 2 is earlier than the line before it"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_bad_line_is_named_and_harms_no_neighbour() {
    let lines: Vec<&str> = FACTS.lines().collect();
    let mut input = lines[..2].join("\n").into_bytes();
    input.extend(b"\n{\"at\":\"never\"}\n\xff\xfe\n\nnot json\n");
    input.extend(lines[2..].join("\n").bytes());
    let mut child = started(&["reconstruct"]);
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(output.stdout, cordboard(&["reconstruct"], FACTS).stdout);
    for expected in [
        "line 3 `at` is no instant",
        "line 4 is not UTF-8",
        "line 6 is not JSON",
        "3 lines were skipped",
    ] {
        assert!(
            told(&output).contains(expected),
            "{expected}: {}",
            told(&output)
        );
    }
}

#[test]
fn the_watermark_can_be_stopped() {
    let at = |instant: &str| records(&cordboard(&["reconstruct", "--at", instant], FACTS));
    assert_eq!(at("2026-01-01T00:00:01Z")[0]["status"], "ringing");
    let talking = at("2026-01-01T00:00:04Z");
    assert_eq!(
        (&talking[0]["status"], &talking[0]["total_seconds"]),
        (&Value::from("answered"), &Value::Null)
    );
    assert_eq!(at("2025-01-01T00:00:00Z").len(), 0);
}

#[test]
fn a_missed_call_is_decided_only_after_its_delay() {
    let line = |at: &str, event: &str| {
        format!(
            r#"{{"at":"2026-01-01T00:00:{at}Z","event":"{event}","mac":"000b82000001","local":"201","remote":"+15551230000"}}"#
        )
    };
    let facts = format!(
        "{}\n{}\n",
        line("00.000", "incoming"),
        line("08.000", "missed")
    );
    let outcome =
        |at: &str| records(&cordboard(&["reconstruct", "--at", at], &facts))[0]["outcome"].clone();
    assert_eq!(outcome("2026-01-01T00:00:12.900Z"), Value::Null);
    assert_eq!(outcome("2026-01-01T00:00:14.001Z"), "missed");
}

#[test]
fn a_policy_file_changes_the_rules_and_its_mistakes_are_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"region = \"FR\"\n").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let facts = FACTS
        .replace("\"remote\":\"1001\"", "\"remote\":\"0612345678\"")
        .lines()
        .take(1)
        .collect::<String>();
    let calls = records(&cordboard(&["reconstruct", "--policy", &path], &facts));
    assert_eq!(calls[0]["to"]["e164"], "+33612345678");
    file.write_all(b"mised_delay_ms = 5\n").unwrap();
    let output = cordboard(&["reconstruct", "--policy", &path], FACTS);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        told(&output).contains("mised_delay_ms") && told(&output).lines().count() == 1,
        "{}",
        told(&output)
    );
    assert_eq!(
        cordboard(&["reconstruct", "--policy", "/nonexistent"], FACTS)
            .status
            .code(),
        Some(78)
    );
}

#[test]
fn explain_tells_the_story_of_one_call() {
    let output = cordboard(&["explain"], FACTS);
    let story = String::from_utf8_lossy(&output.stdout).into_owned();
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

#[test]
fn explain_asks_which_call_when_there_are_several() {
    let other = FACTS.replace("2026-01-01", "2026-01-02");
    let both = format!("{FACTS}{other}");
    let output = cordboard(&["explain"], &both);
    assert_eq!(output.status.code(), Some(64));
    let id = records(&cordboard(&["reconstruct"], &both))[1]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(told(&output).contains(&id), "{}", told(&output));
    let one = cordboard(&["explain", &id[..30]], &both);
    assert_eq!(
        (
            one.status.code(),
            String::from_utf8_lossy(&one.stdout).contains(&id)
        ),
        (Some(0), true)
    );
}

#[test]
fn mistakes_on_the_command_line_are_one_clear_line() {
    for (arguments, expected) in [
        (&["reconstruct", "--nope"][..], "--nope"),
        (&["frobnicate"], "frobnicate"),
        (&["reconstruct", "--policy"], "--policy"),
        (&["reconstruct", "--at", "soon"], "soon"),
    ] {
        let output = cordboard(arguments, "");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(
            told(&output).contains(expected) && told(&output).lines().count() == 1,
            "{}",
            told(&output)
        );
    }
}

#[test]
fn every_command_explains_itself() {
    for arguments in [
        &["--help"][..],
        &["reconstruct", "--help"],
        &["explain", "--help"],
        &["--version"],
    ] {
        let output = cordboard(arguments, "");
        assert_eq!(
            (output.status.code(), told(&output)),
            (Some(0), String::new()),
            "{arguments:?}"
        );
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn a_closed_output_is_no_crash() {
    let line = |n: usize| {
        FACTS
            .replace("000b8200000", &format!("000b82{n:03}00"))
            .replace(
                "2026-01-01",
                &format!("2026-{:02}-{:02}", n / 28 + 1, n % 28 + 1),
            )
    };
    let many: String = (0..300).map(line).collect();
    let mut child = started(&["reconstruct"]);
    drop(child.stdout.take());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(many.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), told(&output)),
        (Some(0), String::new())
    );
}
