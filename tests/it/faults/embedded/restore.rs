//! A database that is new or restored from a backup gets the events that the journal still keeps.

use std::fs;
use std::path::Path;

use super::used;
use crate::support::service::{Service, command, run};
use crate::support::sqlite::{assert_no_difference, stored_events};

/// The file of the database and those that SQLite keeps beside it.
const FILES: [&str; 3] = ["cordboard.db", "cordboard.db-wal", "cordboard.db-shm"];
/// A time before the journal began.
const EVER: &str = "2000-01-01T00:00:00Z";

fn remove_database(data: &Path) {
    for name in FILES {
        // SQLite removes the files beside the database when the last connection is closed.
        let _ = fs::remove_file(data.join(name));
    }
}

/// Copies a database that is not in use.
fn copy_database(from: &Path, to: &Path) {
    remove_database(to);
    fs::copy(from.join(FILES[0]), to.join(FILES[0])).unwrap();

    for name in &FILES[1..] {
        // Only a database that was not closed has these.
        let _ = fs::copy(from.join(name), to.join(name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_gets_all_events_that_the_journal_still_keeps() {
    let data = used().await;
    remove_database(data.path());

    let service = Service::begin(command(data.path(), &["serve"], &[])).await;
    service
        .log_until("the database is new and the journal is not")
        .await;
    service.stop().await;

    assert_eq!(stored_events(data.path()).await.len(), 1);
    assert_no_difference(data.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_gets_all_events_that_the_journal_still_keeps() {
    let data = used().await;
    let backup = tempfile::tempdir().unwrap();
    copy_database(data.path(), backup.path());

    let service = Service::start(data.path()).await;
    let later = service
        .send("/gs/cti/answered?mac=000b82000001&local=201&remote=+4930111000&c=old")
        .await
        .unwrap();
    let beside = run(data.path(), &["resend", "--since", EVER]).await;
    assert_eq!(
        (beside.status.code(), &*beside.stdout),
        (Some(0), &b"2 events sent again\n"[..]),
        "beside the running service"
    );
    service.stop().await;

    copy_database(backup.path(), data.path());
    assert!(!stored_events(data.path()).await.contains(&later));
    for (more, expected) in [
        // Those that were sent again are in the journal a second time.
        (&["--dry-run"][..], "4 events would be sent again\n"),
        (&[], "4 events sent again\n"),
    ] {
        let arguments = [&["resend", "--since", EVER], more].concat();
        let output = run(data.path(), &arguments).await;
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            (output.status.code(), printed.as_str()),
            (Some(0), expected)
        );
    }

    let service = Service::start(data.path()).await;
    service
        .eventually("the event after the backup is stored", async |_| {
            let stored = stored_events(data.path()).await;
            if stored.contains(&later) {
                Ok(())
            } else {
                Err(format!("{stored:?}"))
            }
        })
        .await;
    service.stop().await;
    assert_eq!(stored_events(data.path()).await.len(), 2);
    assert_no_difference(data.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_without_an_instant_or_a_journal_is_rejected() {
    let data = used().await;

    let output = run(data.path(), &["resend", "--since", "yesterday"]).await;
    assert_eq!(output.status.code(), Some(64));

    let nowhere = data.path().join("nowhere");
    let output = run(&nowhere, &["resend", "--since", EVER]).await;
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(69) && message.contains("settings of an ingress"),
        "{message}"
    );
}
