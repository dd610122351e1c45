//! A database that is locked, damaged or without room: the ingress accepts events meanwhile, and
//! all of them are stored afterwards.

use std::fs;

use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tokio::process::Command;

use super::{WriteLock, used};
use crate::support::http::KeptAlive;
use crate::support::service::{Service, command, run};
use crate::support::sqlite::{assert_no_difference, stored_events};

/// The beginning of a request, and the rest of it.
const CALLS: [&[u8]; 2] = [
    b"GET /api/v1/calls HTTP/1.1\r\nHost: ",
    b"localhost\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_are_served_while_the_database_is_locked_at_the_start() {
    let data = used().await;
    let lock = WriteLock::take(data.path()).await;
    let service = Service::begin(command(data.path(), &["serve"], &[])).await;

    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .await
        .unwrap();
    let (status, readiness) = service.readiness().await;
    assert_eq!(
        (status, &readiness["status"]),
        (200, &"degraded".into()),
        "events are accepted"
    );

    let mut client = KeptAlive::connect(service.gateway).await;
    let [begin, rest] = CALLS;
    client.send(begin).await.unwrap();
    client.send(rest).await.unwrap();
    let (status, _) = client.answer().await.unwrap();
    assert_eq!(status, 503, "there is nothing to show yet");

    client.send(begin).await.unwrap();
    lock.release().await;
    service.wait_until_ready().await;
    client.send(rest).await.unwrap();
    let (status, _) = client.answer().await.unwrap();
    assert_eq!(status, 200, "a request that had begun is answered");

    service
        .send("/gs/cti/answered?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .await
        .unwrap();
    service.stop().await;
    assert_eq!(stored_events(data.path()).await.len(), 3);
    assert_no_difference(data.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_locked_meanwhile_holds_the_batch_and_loses_nothing() {
    let data = used().await;
    let service = Service::start(data.path()).await;
    let mut events = service.watch(None).await;

    let lock = WriteLock::take(data.path()).await;
    service
        .send("/gs/cti/incoming?mac=000b82000002&local=202&remote=+4930111333&c=b")
        .await
        .unwrap();
    assert_eq!(
        stored_events(data.path()).await.len(),
        1,
        "the event waits in the journal"
    );
    assert!(service.metric("cordboard_journal_depth_records").await >= 1);
    service
        .log_until("database unavailable, the batch waits")
        .await;
    let (status, readiness) = service.readiness().await;
    assert_eq!(
        (status, &readiness["status"]),
        (200, &"degraded".into()),
        "{readiness}"
    );
    assert_eq!(service.metric("cordboard_conservation").await, 0);

    lock.release().await;
    let (_, started) = events.until("call.started").await;
    assert_eq!(started["call"]["from"]["e164"], "+4930111333");
    assert_eq!(service.readiness().await.1["status"], "ready");
    service.stop().await;
    assert_no_difference(data.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_are_served_beside_a_damaged_database_and_log_and_doctor_name_it() {
    let data = used().await;
    fs::write(data.path().join("cordboard.db"), vec![0x5a; 64 * 1024]).unwrap();
    for name in ["cordboard.db-wal", "cordboard.db-shm"] {
        // SQLite removes these files itself when the last connection is closed.
        let _ = fs::remove_file(data.path().join(name));
    }

    let service = Service::begin(command(data.path(), &["serve"], &[])).await;
    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .await
        .unwrap();
    let waiting = service
        .log_until("database unavailable; events are accepted")
        .await;
    assert!(waiting.contains("not a database"), "{waiting}");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.0, Some(0));

    let output = run(data.path(), &["doctor"]).await;
    let findings = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.code() == Some(69)
            && findings.contains("problem  database")
            && findings.contains("backup"),
        "{findings}"
    );
}

/// Limits the size of every file of the process, as a full disk would.
fn limit_files(service: &Service, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };

    prlimit(Some(service.pid()), Resource::Fsize, limit).unwrap();
}

/// The command in a shell that ignores the signal of a file that is too large: the process sees a
/// failed write, as on a full disk.
fn ignoring_file_limits(command: &Command) -> Command {
    let inner = command.as_std();
    let mut outer = Command::new("sh");
    outer
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args())
        .kill_on_drop(true);
    for (key, value) in inner.get_envs() {
        outer.env(key, value.expect("no variable is removed"));
    }

    outer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_for_want_of_room_is_repeated_when_there_is_room() {
    let data = used().await;
    let small_segments = [("JOURNAL__SEGMENT_BYTES", "65536")];
    let serve = command(data.path(), &["serve"], &small_segments);
    let service = Service::begin(ignoring_file_limits(&serve)).await;
    service.wait_until_ready().await;

    let event = |n: usize| {
        format!("/gs/cti/incoming?mac=000b8201{n:04}&local=3{n:03}&remote=+49302{n:05}&c={n}")
    };
    let log_of_writes = data.path().join("cordboard.db-wal");
    let size = fs::metadata(log_of_writes).unwrap().len();
    limit_files(&service, Some(size + 20_000));
    let mut sent = 0;
    while !service.log.has("database unavailable, the batch waits") {
        service.send(&event(sent)).await.unwrap();
        sent += 1;
        assert!(sent < 2_000, "the room is small");
    }
    assert_eq!(service.readiness().await.1["status"], "degraded");

    service.send(&event(sent)).await.unwrap();
    limit_files(&service, None);
    service.log_until("database available again").await;
    service.stop().await;
    assert_eq!(stored_events(data.path()).await.len(), sent + 2);
    assert_no_difference(data.path()).await;
}
