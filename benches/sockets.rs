//! What it costs that many watch while nothing happens: sockets that stay open, the memory of the
//! gateway that holds them, and whether it lets one go.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on must fail, and its results are its output"
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::cluster::Cluster;
use support::servers::Servers;
use support::service::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The key is that of the standard's example; the answer to it is not checked.
const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// One that watches, until it is let go.
async fn watch(people: SocketAddr, open: Arc<AtomicUsize>) {
    let mut socket = TcpStream::connect(people).await.unwrap();
    socket.write_all(UPGRADE).await.unwrap();
    let mut heard = [0; 4_096];
    let read = socket.read(&mut heard).await.unwrap();
    assert!(
        heard[..read].starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&heard[..read])
    );
    open.fetch_add(1, Ordering::AcqRel);
    while socket.read(&mut heard).await.is_ok_and(|read| read > 0) {}
    open.fetch_sub(1, Ordering::AcqRel);
}

fn resident_mib(service: &Service) -> i64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", service.pid().as_raw_nonzero()))
            .unwrap();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<i64>()
                .ok()
        })
        .unwrap()
        / 1_024
}

fn main() {
    let asked = |name: &str| {
        std::env::args().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let (sockets, minutes) = (
        asked("sockets").unwrap_or(5_000),
        asked("minutes").unwrap_or(10),
    );
    let servers = Servers::start(&[]);
    let cluster = Cluster::on(&servers.urls);
    let gateway = cluster.start("gateway", "gateway");
    println!("without a watcher: {} MiB", resident_mib(&gateway));
    let open = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for number in 1..=sockets {
            tokio::spawn(watch(gateway.people, Arc::clone(&open)));
            // As many as a listening socket lets wait.
            while open.load(Ordering::Acquire) + 100 < number {
                ticks.tick().await;
            }
        }
        let mut minute = tokio::time::interval(Duration::from_mins(1));
        for passed in 0..=minutes {
            minute.tick().await;
            while passed == 0 && open.load(Ordering::Acquire) < sockets {
                ticks.tick().await;
            }
            println!(
                "after {passed} minutes: {} of {sockets} open, {} MiB",
                open.load(Ordering::Acquire),
                resident_mib(&gateway)
            );
        }
    });
    gateway.stop();
}
