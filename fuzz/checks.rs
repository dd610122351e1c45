//! What must hold for any bytes whatever. The fuzz targets call these with bytes they invent,
//! `tests/seeds.rs` with those in `seeds/`.

use std::fs;
use std::time::Duration;

use cordboard::adapter::journal::{Follower, Journal, Limits};
use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::time::At;
use cordboard::ingress::repair::LineRepair;
use cordboard::provider::grandstream::{Body, Request};
use cordboard::wire::message::Message;

/// However the bytes of a connection are cut into pieces, the parser sees the same, and not much
/// more than was sent.
pub fn repair(bytes: &[u8]) {
    let whole = repaired(bytes, bytes.len().max(1));
    let size = bytes
        .first()
        .map_or(1, |first| usize::from(*first % 16) + 1);
    assert_eq!(repaired(bytes, size), whole, "in pieces of {size}");
    // A byte becomes at most two that are escaped with three characters each.
    assert!(whole.len() <= bytes.len() * 6 + 2);
}

fn repaired(bytes: &[u8], size: usize) -> Vec<u8> {
    let (mut repair, mut output) = (LineRepair::default(), Vec::new());
    for piece in bytes.chunks(size) {
        repair.feed(piece, &mut output);
    }
    repair.finish(&mut output);
    output
}

/// A request line's target, a line break, and a body; read as no body, as a form and as JSON.
pub fn request(bytes: &[u8]) {
    let (target, body) = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or((bytes, &b""[..]), |end| bytes.split_at(end));
    let target = String::from_utf8_lossy(target);
    for body in [Body::None, Body::Form(body), Body::Json(body)] {
        let Ok(request) = Request::read(&target, body) else {
            continue;
        };
        let named = request.report.device().is_some();
        let fact = request
            .report
            .into_fact(EventId(1), At(0), Site::default(), request.kind, None);
        assert_eq!(
            fact.is_ok(),
            named,
            "a report is a fact if it names a phone, and only then"
        );
        if let Ok(fact) = fact {
            assert!(
                fact.remote
                    .is_none_or(|number| number.raw().chars().count() <= 64)
            );
            assert!(
                fact.remote_name
                    .is_none_or(|name| !name.chars().any(char::is_control))
            );
        }
    }
}

/// What can be read is written as something that reads as the same.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        let again = Message::decode(&message.encode())
            .expect("what was read can be written and read again");
        assert_eq!(again, message);
    }
}

/// A journal of any bytes opens, delivers what is whole, and goes on.
pub fn journal(bytes: &[u8]) {
    const LIMITS: Limits = Limits {
        segment_bytes: 4_096,
        total_bytes: 1 << 24,
        kept: Duration::ZERO,
    };
    let folder = tempfile::tempdir().expect("a folder for the journal");
    // The last byte says where a second segment begins.
    let cut = bytes
        .last()
        .map_or(0, |last| usize::from(*last) * bytes.len() / 256);
    fs::write(folder.path().join("0000000000000001.seg"), &bytes[..cut]).expect("a segment");
    fs::write(folder.path().join("0000000000000002.seg"), &bytes[cut..]).expect("a segment");
    let (journal, opened) =
        Journal::open(folder.path(), LIMITS).expect("it opens whatever it holds");
    let before = read(&mut journal.follow().expect("it can be read"));
    assert_eq!(before.len() as u64, opened.records);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime
        .block_on(journal.append(b"and on".to_vec()))
        .expect("it goes on");
    let mut after = read(&mut journal.follow().expect("it can be read"));
    assert_eq!(after.pop().as_deref(), Some(&b"and on"[..]));
    assert_eq!(after, before);
}

fn read(follower: &mut Follower) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let entries = follower.read(100).expect("what is there can be read");
        if entries.is_empty() {
            return all;
        }
        all.extend(entries.into_iter().map(|entry| entry.payload));
    }
}
