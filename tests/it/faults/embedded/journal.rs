//! A journal that is full or damaged: accepted events are stored, rejected ones are not, and the
//! service recovers by itself.

use std::fs;
use std::path::{Path, PathBuf};

use super::{WriteLock, used};
use crate::support::http;
use crate::support::service::{Service, command};
use crate::support::sqlite::{assert_no_difference, stored_events};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_without_room_refuses_says_so_and_recovers_by_itself() {
    let data = used().await;
    let tight = [
        ("JOURNAL__SEGMENT_BYTES", "4096"),
        ("JOURNAL__TOTAL_BYTES_MAX", "16384"),
    ];
    let service = Service::begin(command(data.path(), &["serve"], &tight)).await;
    service.wait_until_ready().await;

    let event = |n: usize| {
        format!("/gs/cti/incoming?mac=000b8200{n:04}&local=2{n:03}&remote=+49301{n:05}&c={n}")
    };
    let lock = WriteLock::take(data.path()).await;
    let mut accepted = 1;
    while service.send(&event(accepted)).await.is_some() {
        accepted += 1;
        assert!(accepted < 1_000, "the journal is small");
    }

    let (status, body) = http::get(service.ingress, &event(0)).await;
    assert!(
        status == 503 && body.contains("not_durable"),
        "{status} {body}"
    );
    let (status, readiness) = service.readiness().await;
    assert_eq!(
        (status, &readiness["status"], &readiness["journal"]),
        (503, &"unready".into(), &"the journal is full".into())
    );
    let line = service.log_until("the journal takes no events").await;
    assert!(line.contains("free space"), "{line}");
    assert_eq!(service.metric("cordboard_journal_refusing").await, 1);

    lock.release().await;
    service.log_until("the journal takes events again").await;
    service.send(&event(accepted)).await.unwrap();
    service.stop().await;
    assert_eq!(
        stored_events(data.path()).await.len(),
        accepted + 1,
        "all accepted events are stored, and no rejected one"
    );
    assert_no_difference(data.path()).await;
}

/// The newest segment of a journal.
fn last_segment(journal: &Path) -> PathBuf {
    fs::read_dir(journal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "seg"))
        .max()
        .unwrap()
}

/// Flips the bits of a byte at the place of this text.
fn damage(segment: &Path, text: &[u8]) {
    let mut bytes = fs::read(segment).unwrap();
    let hit = bytes
        .windows(text.len())
        .position(|window| window == text)
        .unwrap();
    bytes[hit] ^= 0xff;

    fs::write(segment, &bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_costs_only_the_damaged_record_and_can_be_made_to_refuse() {
    let data = used().await;
    let service = Service::start(data.path()).await;
    let lock = WriteLock::take(data.path()).await;
    for n in 0..20 {
        let event = format!("mac=000b820000{n:02}&local=2{n:02}&remote=+493011100{n:02}&c={n}");
        service
            .send(&format!("/gs/cti/incoming?{event}"))
            .await
            .unwrap();
    }
    service.kill().await;
    lock.release().await;

    let journal = data.path().join("journal");
    let segment = last_segment(&journal);
    // Not the last record: damage at the very end is taken for an append that a crash interrupted.
    damage(&segment, b"+49301110007");

    let strict = [("JOURNAL__REFUSE_DAMAGED", "true")];
    let strict = Service::begin(command(data.path(), &["serve"], &strict)).await;
    let (code, log) = strict.ended().await;
    assert!(
        code == Some(69) && log.iter().any(|line| line.contains("refuse_damaged")),
        "{code:?} {log:#?}"
    );

    let service = Service::start(data.path()).await;
    let damaged = service.metric("cordboard_journal_damaged_bytes_total");
    assert!(damaged.await > 0);
    service.stop().await;
    assert_eq!(
        stored_events(data.path()).await.len(),
        20,
        "one of the 21 was damaged"
    );
    let copy = journal.join("corrupt").join(segment.file_name().unwrap());
    assert!(copy.exists());
    assert_no_difference(data.path()).await;
}
