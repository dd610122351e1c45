//! Released segments: they are kept for a while, and never at the cost of a new event.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use cordboard::adapter::journal::{self, Journal, Limits};

use super::disk::FaultyDisk;
use super::{ROOMY, append, follow, release, segments};

/// The records of kept segments and of the journal itself.
fn history(folder: &Path) -> Vec<Vec<u8>> {
    journal::history(folder)
        .unwrap()
        .flat_map(Result::unwrap)
        .collect()
}

/// Appends these one by one, and releases all records.
async fn pass(journal: &Journal, numbers: Range<u8>) {
    for n in numbers {
        append(journal, &[n; 60]).await;
    }

    release(&mut journal.follow().unwrap(), usize::MAX);
}

fn size(folder: &Path) -> u64 {
    segments(folder)
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum()
}

#[tokio::test]
async fn released_records_are_kept_for_a_while_and_do_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        retention: Duration::from_hours(1),
        ..ROOMY
    };
    let (journal, _) = Journal::open(folder.path(), limits).unwrap();
    pass(&journal, 0..50).await;
    append(&journal, &[50; 60]).await;
    let all: Vec<Vec<u8>> = (0..51_u8).map(|n| vec![n; 60]).collect();
    assert_eq!(history(folder.path()), all);
    drop(journal);

    let (journal, opened) = Journal::open(folder.path(), limits).unwrap();
    assert_eq!((opened.unreleased, opened.damages), (1, vec![]));
    assert_eq!(follow(&journal), [vec![50; 60]]);

    // Two segments are from two hours ago: they are deleted when the next one is released.
    let kept = segments(&folder.path().join("kept"));
    for path in &kept[..2] {
        let file = File::options().write(true).open(path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - Duration::from_hours(2))
            .unwrap();
    }
    pass(&journal, 51..60).await;
    let left = segments(&folder.path().join("kept"));
    assert!(!left.contains(&kept[1]) && left.contains(&kept[2]));
    assert_eq!(history(folder.path()).last(), Some(&vec![59; 60]));
}

#[tokio::test]
async fn kept_segments_never_take_the_room_of_new_records() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let limits = Limits {
        segment_bytes: 400,
        total_bytes: 2_000,
        retention: Duration::from_hours(1),
    };
    let (journal, _) = Journal::open_on(Box::new(disk.clone()), folder.path(), limits).unwrap();
    for n in 0..10_u8 {
        pass(&journal, 10 * n..10 * n + 10).await;
    }
    let kept = size(&folder.path().join("kept"));
    assert!(
        kept > 0 && kept + size(folder.path()) <= limits.total_bytes,
        "{kept}"
    );

    // The disk has no room for one more segment until two kept ones are deleted.
    let before = segments(&folder.path().join("kept")).len();
    disk.faults().creates = 2;
    for n in 0..6_u8 {
        append(&journal, &[n; 60]).await;
    }
    assert_eq!(segments(&folder.path().join("kept")).len(), before - 2);
}
