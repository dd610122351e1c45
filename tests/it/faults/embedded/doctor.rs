//! The doctor: its findings beside a running service, without one, and about a broken database.

use std::path::Path;

use super::{WriteLock, used};
use crate::support::service::{Service, run};
use crate::support::sqlite::write;

/// Asserts the exit code of the doctor and a part of its findings.
async fn assert_findings(data: &Path, code: i32, expected: &[&str]) {
    let output = run(data, &["doctor"]).await;
    let findings = String::from_utf8_lossy(&output.stdout);

    assert_eq!(output.status.code(), Some(code), "{findings}");
    for part in expected {
        assert!(findings.contains(part), "{part}: {findings}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_nothing_wrong_beside_a_running_service_nor_without_one() {
    let data = used().await;
    assert_findings(data.path(), 0, &["0 of them wait"]).await;

    let service = Service::start(data.path()).await;
    assert_findings(data.path(), 0, &["in use by a running service"]).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_a_database_that_takes_no_writes_or_comes_from_the_future() {
    let data = used().await;

    let lock = WriteLock::take(data.path()).await;
    assert_findings(data.path(), 69, &["problem  database", "locked"]).await;
    lock.release().await;

    write(
        data.path(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .await;
    assert_findings(data.path(), 69, &["problem  database", "newer"]).await;
}
