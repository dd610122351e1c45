//! Signals to the process, and its messages to a service manager.

use std::path::Path;

use rustix::process::Signal;
use tokio::net::UnixDatagram;

use super::{WriteLock, used};
use crate::support::service::{Service, command};
use crate::support::sqlite::stored_events;
use crate::support::wait::{PATIENCE, within};

/// The socket on which a service manager listens.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Manager {
        Manager(UnixDatagram::bind(path).unwrap())
    }

    async fn next(&self) -> String {
        let mut buffer = [0; 200];
        let length = within(PATIENCE, "a notification", self.0.recv(&mut buffer))
            .await
            .unwrap();

        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Reads up to a notification that begins like this.
    async fn until(&self, expected: &str) {
        let search = async {
            loop {
                if self.next().await.starts_with(expected) {
                    return;
                }
            }
        };

        within(PATIENCE, expected, search).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_what_a_first_one_would_wait_for() {
    let data = used().await;
    let service = Service::start(data.path()).await;
    let lock = WriteLock::take(data.path()).await;
    let id = service
        .send("/gs/cti/incoming?mac=000b82000002&local=202&remote=+4930111333&c=b")
        .await
        .unwrap();

    service.signal(Signal::INT);
    service.log_until("stopping").await;
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.0, Some(0), "the stop was requested");

    lock.release().await;
    Service::start(data.path()).await.stop().await;
    assert!(
        stored_events(data.path()).await.contains(&id),
        "the next process stores events that were accepted before"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_is_notified_of_every_stage_and_its_watchdog_is_fed() {
    let data = tempfile::tempdir().unwrap();
    let socket = data.path().join("manager");
    let manager = Manager::at(&socket);
    let mut command = command(data.path(), &["serve"], &[]);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "3000000");
    let service = Service::begin(command).await;
    service.wait_until_ready().await;

    manager.until("READY=1").await;
    manager.until("WATCHDOG=1").await;
    manager.until("WATCHDOG=1").await;
    service.signal(Signal::TERM);
    manager.until("STOPPING=1").await;
    assert_eq!(service.ended().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_is_not_kept_waiting_for_a_database() {
    let data = used().await;
    let socket = data.path().join("manager");
    let manager = Manager::at(&socket);
    let lock = WriteLock::take(data.path()).await;
    let mut command = command(data.path(), &["serve"], &[]);
    command.env("NOTIFY_SOCKET", &socket);
    let service = Service::begin(command).await;

    let first = manager.next().await;
    assert!(
        first.starts_with("READY=1"),
        "events are accepted: {first:?}"
    );
    lock.release().await;
    service.wait_until_ready().await;
    service.stop().await;
}
