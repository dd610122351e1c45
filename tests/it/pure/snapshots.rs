//! Snapshots of every format that is stored, or that other programs and people read. A change of
//! one is reviewed: old files and old consumers must still understand it.
//!
//! `INSTA_UPDATE=always cargo test --test it -- pure::snapshots` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cordboard::adapter::journal::{Journal, Limits};
use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::reconstruct;
use cordboard::domain::record::CallRecord;
use cordboard::domain::time::At;
use cordboard::wire::call_json::{self, CallJson};
use cordboard::wire::envelope::{BodyForm, Envelope, Trace};
use cordboard::wire::message::{IngressId, Message, Tick};
use cordboard::wire::notification;
use cordboard::wire::policy_file::Policies;
use tokio::process::Command;

use crate::support::flow::{self, Flow};
use crate::support::overlay::{self, EPOCH, Spelling};
use crate::support::service::{Service, output, run};
use crate::support::wait::{PATIENCE, within};

const ID: EventId = EventId(0x0190_0000_0000_7000_8000_0000_0000_0001);
const TARGET: &str = "/gs/cti/incoming?mac=000b82000001&local=203&remote=+4930111222&n=Ann Lee";

/// Compares a format with its snapshot.
fn assert_snapshot(name: &str, contents: &str) {
    insta::with_settings!({
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, contents);
    });
}

fn envelope(target: &str, body: &str, form: BodyForm) -> Envelope {
    Envelope::new(ID, At(EPOCH), &Site::default(), None, target, body, form)
}

/// Messages as the journal and the broker carry them, each below its name. All of them can be
/// read again.
fn messages(named: &[(&str, Message)]) -> String {
    let mut text = String::new();

    for (name, message) in named {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes).unwrap(), *message, "{name}");
        let json = String::from_utf8(bytes).unwrap();
        writeln!(text, "{name}\n{json}\n").unwrap();
    }

    text
}

#[test]
fn an_envelope_has_its_form() {
    let get = envelope(TARGET, "", BodyForm::None);
    let form = envelope(
        "/gs/cti/answered",
        "m=000b82000003&l=203&r=%2B49301",
        BodyForm::Form,
    );
    let json = envelope(
        "/gs/cti/answered",
        r#"{"mac":"000b82000003","local":203,"remote":"+49301"}"#,
        BodyForm::Json,
    );
    let mut traced = get.clone();
    traced.trace = Trace::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert!(traced.trace.is_some());
    let from = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let site = Site::parse("berlin").unwrap();
        let envelope = Envelope::new(
            ID,
            At(EPOCH),
            &site,
            Some(address),
            TARGET,
            "",
            BodyForm::None,
        );
        Message::Event(envelope)
    };

    assert_snapshot(
        "envelope",
        &messages(&[
            ("GET", Message::Event(get)),
            ("POST with a form", Message::Event(form)),
            ("POST with JSON", Message::Event(json)),
            ("with a trace", Message::Event(traced)),
            ("of a site, with an IPv4 address", from("10.1.2.3")),
            ("of a site, with an IPv6 address", from("2001:db8::15")),
        ]),
    );
}

#[test]
fn a_tick_has_its_form() {
    let tick = |ingress, leaving| {
        Message::Tick(Tick {
            at: At(EPOCH),
            ingress,
            leaving,
        })
    };

    assert_snapshot(
        "tick",
        &messages(&[
            ("of the only ingress", Message::Tick(Tick::from(At(EPOCH)))),
            ("of one of several ingresses", tick(IngressId(ID.0), false)),
            ("of an ingress that leaves", tick(IngressId(ID.0), true)),
        ]),
    );
}

/// Bytes as sixteen columns of hexadecimal digits, and as text.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();

    for line in bytes.chunks(16) {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown: String = line
            .iter()
            .map(|byte| {
                if byte.is_ascii_graphic() {
                    char::from(*byte)
                } else {
                    '.'
                }
            })
            .collect();
        writeln!(text, "{:<47}  {shown}", digits.join(" ")).unwrap();
    }

    text
}

/// The names of the files in a folder, and below it, and their bytes.
fn files(folder: &Path, shown: &str) -> String {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);

    let mut text = String::new();
    for entry in entries {
        let name = format!("{shown}{}", entry.file_name().display());
        if entry.file_type().unwrap().is_dir() {
            text += &files(&entry.path(), &format!("{name}/"));
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            writeln!(text, "{name}\n{}", hex(&bytes)).unwrap();
        }
    }

    text
}

#[tokio::test]
async fn the_files_of_a_journal_have_their_form() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        segment_bytes: 1,
        total_bytes: 1_000_000,
        retention: Duration::from_hours(1),
    };
    let (journal, _) = Journal::open(folder.path(), limits).unwrap();
    let tick = Message::Tick(Tick::from(At(EPOCH))).encode();
    for payload in [b"first".to_vec(), tick, Vec::new()] {
        within(PATIENCE, "a durable record", journal.append(payload))
            .await
            .unwrap();
    }

    let mut follower = journal.follow().unwrap();
    let first = follower.read(1).unwrap().remove(0);
    let second = follower.read(1).unwrap().remove(0);
    assert_eq!(first.payload, b"first");
    follower.release(second.end).unwrap();
    follower.store_checkpoint().unwrap();

    assert_snapshot("journal", &files(folder.path(), ""));
}

fn records(flow: &Flow) -> Vec<CallRecord> {
    let policies = Policies::parse(&flow.policy).unwrap();
    let events = flow::expand(&flow.events(), |_| 0);
    let facts = overlay::facts(flow, &events, Spelling::default(), &policies);
    let policy = Arc::clone(policies.of(&overlay::site()));

    reconstruct(overlay::site(), policy, &facts, At::END)
}

fn records_of(name: &str) -> Vec<CallRecord> {
    let flows = flow::all();
    let flow = flows.iter().find(|flow| flow.name == name);

    records(flow.unwrap_or_else(|| panic!("no flow {name}")))
}

#[test]
fn a_call_record_has_its_form() {
    for (name, flow) in [
        ("call_answered", "WZ-01"),
        ("call_missed", "missed-caller-is-called-back"),
        ("call_transferred", "customer-leaves-while-the-target-rings"),
        ("call_picked_up", "picked-up-with-a-bare-code-from-outside"),
    ] {
        let records = records_of(flow);
        let shown: Vec<CallJson<'_>> = records.iter().map(CallJson::of).collect();
        let pretty = serde_json::to_string_pretty(&shown).unwrap();

        assert_snapshot(name, &pretty);
    }
}

#[test]
fn a_notification_has_its_form() {
    let mut text = String::new();
    for kind in NoticeKind::ALL {
        writeln!(text, "{}", kind.name()).unwrap();
    }
    let record = &records_of("missed-caller-is-called-back")[0];
    let call = notification::json(record.id, None, Some(&call_json::text(record)));
    let withdrawn = notification::json(record.id, Some(&record.site), None);

    writeln!(
        text,
        "\nof a call\n{call}\n\nof a withdrawn call\n{withdrawn}"
    )
    .unwrap();
    assert_snapshot("notification", &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_printed_in_their_form() {
    let data = tempfile::tempdir().unwrap();
    let no_device = envelope("/gs/cti/incoming?remote=1", "", BodyForm::None);
    let limits = Limits {
        segment_bytes: 1_000_000,
        total_bytes: 1_000_000,
        retention: Duration::ZERO,
    };
    let (journal, _) = Journal::open(&data.path().join("journal"), limits).unwrap();
    for message in [
        no_device.encode(),
        br#"{"v":2,"kind":"of a later version"}"#.to_vec(),
        b"\xff\x00 no text\n".to_vec(),
    ] {
        within(PATIENCE, "a durable record", journal.append(message))
            .await
            .unwrap();
    }
    drop(journal);
    Service::start(data.path()).await.stop().await;

    let mut text = String::new();
    for command in ["list", "show"] {
        let output = run(data.path(), &["dead-letters", command]).await;
        assert_eq!(output.status.code(), Some(0));
        let printed = String::from_utf8(output.stdout).unwrap();
        writeln!(text, "cordboard dead-letters {command}\n{printed}").unwrap();
    }
    assert_snapshot("dead_letters", &text);
}

/// The output of a command that succeeds, without any setting of this machine.
async fn printed(arguments: &[&str]) -> String {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cordboard"));
    command
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = output(command).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");

    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_has_its_help() {
    let mut text = String::new();
    let mut left = vec![Vec::<String>::new()];

    while let Some(command) = left.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = printed(&arguments).await;
        writeln!(text, "$ cordboard {}\n\n{help}\n", arguments.join(" ")).unwrap();

        let deeper = subcommands(&help).into_iter().rev();
        left.extend(deeper.map(|name| [&command[..], &[name]].concat()));
    }

    assert_snapshot("help", &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_settings_have_their_form() {
    assert_snapshot("settings", &printed(&["config"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_of_a_fresh_service_have_their_names_and_types() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;

    // Counters and gauges are there at zero, histograms with their first value.
    for histogram in ["batch_messages", "commit_seconds"] {
        let count = format!("cordboard_worker_{histogram}_count");
        service.until_metric(&count, |values| values > 0).await;
    }
    let metrics = service.metrics().await;
    let mut types: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    types.sort_unstable();

    assert_snapshot("metrics", &types.join("\n"));
    service.stop().await;
}
