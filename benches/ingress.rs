//! The ingress with durable answers beside a minimal server of axum, in one run on one machine:
//! `cargo bench --bench ingress`.
//!
//! The same client sends requests to both over the same number of connections, in turns. Compare
//! the ratio, not the figures. With `-- --serve` it only prints both addresses, for another client
//! such as wrk.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on must fail, and its results are its output"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Query;
use cordboard::adapter::clock::SystemClock;
use cordboard::adapter::journal::{Journal, Limits as JournalLimits};
use cordboard::domain::fact::Site;
use cordboard::domain::time::At;
use cordboard::ingress::auth::Access;
use cordboard::ingress::stamp::Stamp;
use cordboard::ingress::{Ingress, Limits, serve};
use cordboard::port::clock::Clock;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Turns of each server; the median counts.
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(4);
const PACE_PER_SECOND: u32 = 1_000;
const PACED_CONNECTIONS: u32 = 20;
const PACED: Duration = Duration::from_secs(15);

#[derive(serde::Deserialize)]
struct Event {
    mac: String,
    remote: String,
}

async fn bare(Query(event): Query<Event>) -> String {
    format!(
        "{{\"status\":\"ok\",\"length\":{}}}",
        event.mac.len() + event.remote.len()
    )
}

/// Axum with a query extractor: it checks nothing and stores nothing.
async fn start_bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/gs/cti/incoming", axum::routing::get(bare));
    tokio::spawn(async move { axum::serve(listener, router).await });

    address
}

/// The ingress with a journal on this disk and all limits, except those on one phone: here a few
/// phones are very busy.
async fn start_ingress(folder: &std::path::Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (journal, _) = Journal::open(
        folder,
        JournalLimits {
            segment_bytes: 64 << 20,
            total_bytes: 8 << 30,
            retention: Duration::ZERO,
        },
    )
    .unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let limits = Limits {
        connections: 10_000,
        connections_per_address: 10_000,
        head_bytes: 16 << 10,
        headers: 32,
        body_bytes: 16 << 10,
        head_timeout_ms: 5_000,
        request_timeout_ms: 3_000,
        per_device_per_second: 1_000_000,
        per_device_burst: 1_000_000,
        strangers_per_second: 5,
    };
    let stamp = Stamp::new(Arc::clone(&clock), At(0));
    let ingress = Arc::new(Ingress::new(
        Site::default(),
        Access::default(),
        Arc::new(journal),
        clock,
        stamp,
        limits,
    ));
    tokio::spawn(serve(listener, ingress, CancellationToken::new()));

    address
}

fn request(phone: usize) -> Vec<u8> {
    let target = format!(
        "/gs/cti/incoming?mac=000b82{phone:06x}&local=20{phone}&remote=+4930{phone:07}&c={phone:x}@10.0.0.1"
    );

    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// Sends a request and reads the whole answer.
async fn exchange(socket: &mut BufReader<TcpStream>, request: &[u8], line: &mut String) {
    socket.write_all(request).await.unwrap();

    line.clear();
    socket.read_line(line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");

    let mut length = 0;
    while line != "\r\n" {
        line.clear();
        socket.read_line(line).await.unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }

    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.unwrap();
}

async fn connect(to: SocketAddr) -> BufReader<TcpStream> {
    let socket = TcpStream::connect(to).await.unwrap();
    socket.set_nodelay(true).unwrap();

    BufReader::new(socket)
}

/// Requests per second over these connections; each sends a request after the answer to the last.
async fn throughput(server: SocketAddr, connections: usize) -> f64 {
    let until = Instant::now() + TURN;
    let clients: Vec<_> = (0..connections)
        .map(|phone| tokio::spawn(send_until(server, phone, until)))
        .collect();

    let mut requests = 0;
    for client in clients {
        requests += client.await.unwrap();
    }

    requests as f64 / TURN.as_secs_f64()
}

/// Returns the number of requests.
async fn send_until(server: SocketAddr, phone: usize, until: Instant) -> u64 {
    let mut socket = connect(server).await;
    let request = request(phone);
    let mut line = String::new();
    let mut requests = 0;

    while Instant::now() < until {
        exchange(&mut socket, &request, &mut line).await;
        requests += 1;
    }

    requests
}

/// Latencies at a fixed pace, each from the time when the request was due, in ascending order.
async fn paced(server: SocketAddr) -> Vec<Duration> {
    let gap = Duration::from_secs(1) * PACED_CONNECTIONS / PACE_PER_SECOND;
    let began = Instant::now();
    let clients: Vec<_> = (0..PACED_CONNECTIONS)
        .map(|phone| {
            let first = began + gap * phone / PACED_CONNECTIONS;
            tokio::spawn(send_paced(
                server,
                phone as usize,
                first,
                gap,
                began + PACED,
            ))
        })
        .collect();

    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.await.unwrap());
    }
    latencies.sort_unstable();

    latencies
}

async fn send_paced(
    server: SocketAddr,
    phone: usize,
    first: Instant,
    gap: Duration,
    until: Instant,
) -> Vec<Duration> {
    let mut socket = connect(server).await;
    let request = request(phone);
    let mut line = String::new();
    let mut latencies = Vec::new();
    // The interval catches up: a slow answer delays the requests after it, too, as on phones.
    let mut pace = tokio::time::interval_at(first.into(), gap);

    loop {
        let due = pace.tick().await;
        if due >= until.into() {
            return latencies;
        }

        exchange(&mut socket, &request, &mut line).await;
        latencies.push(due.elapsed());
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);

    figures[figures.len() / 2]
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let bare = start_bare().await;
    let ours = start_ingress(folder.path()).await;
    if std::env::args().any(|argument| argument == "--serve") {
        println!("bare axum  http://{bare}/gs/cti/incoming?mac=000b82000001&remote=1");
        println!("ingress    http://{ours}/gs/cti/incoming?mac=000b82000001&remote=1");
        std::future::pending::<()>().await;
    }

    println!("connections   bare axum/s   ingress/s   ratio");
    for connections in [16, 64, 256] {
        let mut least = Vec::new();
        let mut durable = Vec::new();
        for _ in 0..TURNS {
            least.push(throughput(bare, connections).await);
            durable.push(throughput(ours, connections).await);
        }

        let (least, durable) = (median(least), median(durable));
        println!(
            "{connections:>11}   {least:>11.0}   {durable:>9.0}   {:>5.2}",
            durable / least
        );
    }

    println!("at {PACE_PER_SECOND} requests/s   p50 ms   p99 ms   p99.9 ms   max ms");
    for (name, server) in [("bare axum", bare), ("ingress", ours)] {
        let latencies = paced(server).await;
        let millis = |per_thousand: usize| {
            latencies[(latencies.len() - 1) * per_thousand / 1_000].as_secs_f64() * 1e3
        };
        println!(
            "{name:<18}   {:>6.2}   {:>6.2}   {:>8.2}   {:>6.2}",
            millis(500),
            millis(990),
            millis(999),
            millis(1_000)
        );
    }
}
