//! The cost of many idle clients: the memory of a gateway that holds their web sockets, and
//! whether it closes one.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on must fail, and its results are its output"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]

#[path = "support/process.rs"]
#[expect(dead_code, reason = "this benchmark reads memory only")]
mod process;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "a benchmark uses a part of the test support")]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::cluster::Cluster;
use support::servers::Servers;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections that a listening socket lets wait.
const PENDING_MAX: usize = 100;
/// The key is that of the standard's example; the answer to it is not checked.
const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// One client, until the gateway closes its socket.
async fn watch(gateway: SocketAddr, open: Arc<AtomicUsize>) {
    let mut socket = TcpStream::connect(gateway).await.unwrap();
    socket.write_all(UPGRADE).await.unwrap();

    let mut buffer = [0; 4_096];
    let read = socket.read(&mut buffer).await.unwrap();
    assert!(
        buffer[..read].starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&buffer[..read])
    );

    open.fetch_add(1, Ordering::AcqRel);
    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    open.fetch_sub(1, Ordering::AcqRel);
}

#[tokio::main]
async fn main() {
    let argument = |name: &str| {
        std::env::args().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let sockets = argument("sockets").unwrap_or(5_000);
    let minutes = argument("minutes").unwrap_or(10);

    let servers = Servers::start(&[]).await;
    let cluster = Cluster::on(&servers.urls).await;
    // All clients share one address.
    let limits = "[gateway]\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let gateway = cluster.start_with("gateway", "gateway", limits).await;
    println!(
        "without a client: {} MiB",
        process::memory_mib(&gateway, "VmRSS")
    );

    let open = Arc::new(AtomicUsize::new(0));
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    for number in 1..=sockets {
        tokio::spawn(watch(gateway.gateway, Arc::clone(&open)));
        while open.load(Ordering::Acquire) + PENDING_MAX < number {
            looks.tick().await;
        }
    }
    while open.load(Ordering::Acquire) < sockets {
        looks.tick().await;
    }

    let mut clock = tokio::time::interval(Duration::from_mins(1));
    for minute in 0..=minutes {
        clock.tick().await;
        println!(
            "after {minute} minutes: {} of {sockets} open, {} MiB",
            open.load(Ordering::Acquire),
            process::memory_mib(&gateway, "VmRSS")
        );
    }

    gateway.stop().await;
}
