//! The journal as a queue: order, restarts, released records and limits.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use cordboard::adapter::journal::{AppendError, Journal, Limits, OpenError, Position};
use rustix::fs::{CWD, FileType, Mode};

use super::{ROOMY, append, follow, open, read_all, release, segments, try_append};

#[tokio::test]
async fn appended_records_are_delivered_in_order_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let sent: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n; usize::from(n)]).collect();
    for payload in &sent {
        append(&journal, payload).await;
    }
    assert_eq!(follow(&journal), sent);
    drop(journal);

    let (journal, opened) = Journal::open(folder.path(), ROOMY).unwrap();
    assert_eq!(
        (
            opened.records,
            opened.last_payload.as_ref(),
            opened.torn_bytes
        ),
        (50, sent.last(), 0)
    );
    assert_eq!(follow(&journal), sent);
    assert!(segments(folder.path()).len() > 2, "segments are small");
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());

    assert!(matches!(
        Journal::open(folder.path(), ROOMY),
        Err(OpenError::InUse { .. })
    ));
}

#[test]
fn a_pipe_or_a_link_in_its_folder_is_refused_and_blocks_nothing() {
    let pipe = |path: &Path| {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap();
    };
    let link = |path: &Path| symlink("/dev/zero", path).unwrap();

    for name in ["0000000000000001.seg", "lock", "id", "checkpoint"] {
        for make_odd in [&pipe as &dyn Fn(&Path), &link] {
            let folder = tempfile::tempdir().unwrap();
            let odd = folder.path().join(name);
            make_odd(&odd);

            for refused in [
                Journal::open(folder.path(), ROOMY).map(|_| ()),
                Journal::inspect(folder.path()).map(|_| ()),
            ] {
                let Err(OpenError::OddFile { path }) = refused else {
                    panic!("{name}: {refused:?}");
                };
                assert_eq!(path, odd);
            }
        }
    }
}

#[tokio::test]
async fn released_records_are_not_delivered_again_and_their_segments_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    for n in 0..100_u8 {
        append(&journal, &[n; 60]).await;
    }
    let before = segments(folder.path()).len();

    let mut follower = journal.follow().unwrap();
    let mut last = Position::default();
    let mut read = 0;
    while read < 60 {
        let entries = follower.read(60 - read).unwrap();
        assert!(!entries.is_empty(), "only {read} records");
        for entry in entries {
            last = entry.end;
            read += 1;
        }
    }
    follower.release(last).unwrap();
    follower.store_checkpoint().unwrap();
    assert!(segments(folder.path()).len() < before);
    drop(journal);

    let left: Vec<_> = (60..100_u8).map(|n| vec![n; 60]).collect();
    assert_eq!(follow(&open(folder.path())), left);
}

#[tokio::test]
async fn a_full_journal_refuses_and_accepts_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let tight = Limits {
        segment_bytes: 200,
        total_bytes: 1_000,
        retention: Duration::ZERO,
    };
    let (journal, _) = Journal::open(folder.path(), tight).unwrap();
    let mut accepted = 0;
    while try_append(&journal, &[1; 80]).await.is_ok() {
        accepted += 1;
        assert!(accepted < 100, "the limit is small");
    }
    assert!(matches!(
        try_append(&journal, &[1; 80]).await,
        Err(AppendError::Full)
    ));

    let mut follower = journal.follow().unwrap();
    assert_eq!(release(&mut follower, usize::MAX), accepted);
    append(&journal, &[2; 80]).await;
    assert_eq!(read_all(&mut follower), vec![vec![2; 80]]);
}

#[tokio::test]
async fn a_missing_first_segment_or_checkpoint_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    for n in 0..30_u8 {
        append(&journal, &[n; 60]).await;
    }
    drop(journal);

    fs::remove_file(&segments(folder.path())[0]).unwrap();
    fs::write(folder.path().join("checkpoint"), b"\xff\xfe junk").unwrap();
    let read = follow(&open(folder.path()));
    assert!(!read.is_empty() && read.last() == Some(&vec![29; 60]));
}

#[tokio::test]
async fn the_room_of_a_segment_is_reserved_when_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        segment_bytes: 1 << 20,
        total_bytes: 1 << 30,
        retention: Duration::ZERO,
    };
    let (journal, _) = Journal::open(folder.path(), limits).unwrap();
    append(&journal, b"little").await;

    let metadata = segments(folder.path())[0].metadata().unwrap();
    assert!(metadata.len() < 100);
    // A file system that cannot reserve room uses as much as was written, and no more.
    let reserved = metadata.blocks() * 512;
    assert!(reserved >= 1 << 20 || reserved <= 64 * 1024, "{reserved}");
}

#[tokio::test]
async fn a_complete_last_record_that_is_wrong_is_damage_and_half_a_record_is_not() {
    for (cut, flip) in [(0, true), (3, false)] {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path());
        append(&journal, b"first").await;
        append(&journal, b"second").await;
        drop(journal);

        let path = segments(folder.path()).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= u8::from(flip);
        bytes.truncate(bytes.len() - cut);
        fs::write(&path, &bytes).unwrap();

        let (journal, opened) = Journal::open(folder.path(), ROOMY).unwrap();
        assert_eq!(
            (opened.damages.len(), opened.records),
            (usize::from(flip), 1)
        );
        assert_eq!(
            folder.path().join("corrupt").exists(),
            flip,
            "bytes of a record that may have been answered are kept"
        );
        append(&journal, b"third").await;
        assert_eq!(follow(&journal), [b"first".to_vec(), b"third".to_vec()]);
    }
}
