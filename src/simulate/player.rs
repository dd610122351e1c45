//! Player: sends the requests of phones over HTTP, each at its time, those of one phone in order.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Connections shared by all phones. A phone always uses the same one, so that its reports stay in
/// order.
const CONNECTIONS: u64 = 16;
/// Time that a phone waits for a connection or an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A request of a phone.
#[derive(Clone, Debug)]
pub struct TimedRequest {
    /// Time since the beginning.
    pub at: Duration,
    pub phone: u64,
    /// Path and query.
    pub target: String,
}

/// The results of all requests.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub accepted: u64,
    pub refused: u64,
    /// Requests without an answer.
    pub failed: u64,
    /// Times from the request to its 200, sorted.
    pub latencies: Vec<Duration>,
    /// The first answer but 200, or the first error.
    pub first_refusal: Option<String>,
}

impl Outcome {
    /// The latency that this share of the answers did not exceed.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of a list in memory"
        )]
        let index = (last as f64 * share) as usize;

        self.latencies.get(index).copied().unwrap_or_default()
    }

    fn add(&mut self, other: Outcome) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.failed += other.failed;
        self.latencies.extend(other.latencies);
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
    }
}

/// Plays the requests. `progress` is called with the number of results so far.
#[must_use]
pub fn play(
    to: SocketAddr,
    requests: impl IntoIterator<Item = TimedRequest>,
    mut progress: impl FnMut(u64),
) -> Outcome {
    let mut shares: Vec<Vec<(Duration, String)>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();

    for TimedRequest { at, phone, target } in requests {
        let line = format!("GET {target} HTTP/1.1\r\nHost: {to}\r\n\r\n");
        let share = usize::try_from(phone % CONNECTIONS).unwrap_or(0);
        shares[share].push((at, line));
    }

    let (result_sender, results) = mpsc::channel();
    let began = now();
    let senders: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let result_sender = result_sender.clone();
            std::thread::spawn(move || send_all(to, &share, began, &result_sender))
        })
        .collect();

    drop(result_sender);
    for count in 1.. {
        if results.recv().is_err() {
            break;
        }
        progress(count);
    }

    let mut outcome = Outcome::default();
    for sender in senders {
        outcome.add(sender.join().unwrap_or_default());
    }
    outcome.latencies.sort_unstable();

    outcome
}

#[expect(
    clippy::disallowed_methods,
    reason = "a simulation of phones happens in real time"
)]
fn now() -> Instant {
    Instant::now()
}

fn send_all(
    to: SocketAddr,
    share: &[(Duration, String)],
    began: Instant,
    result_sender: &mpsc::Sender<()>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection: Option<BufReader<TcpStream>> = None;

    for (at, line) in share {
        wait_until(began + *at);
        let sent = now();

        match request(to, &mut connection, line) {
            Ok(200) => {
                outcome.accepted += 1;
                outcome.latencies.push(now() - sent);
            }
            Ok(status) => {
                outcome.refused += 1;
                outcome
                    .first_refusal
                    .get_or_insert_with(|| format!("status {status}"));
            }
            Err(error) => {
                outcome.failed += 1;
                outcome
                    .first_refusal
                    .get_or_insert_with(|| error.to_string());
                connection = None;
            }
        }
        // Without a receiver only the progress is missing: the outcome has the numbers.
        let _ = result_sender.send(());
    }

    outcome
}

#[expect(
    clippy::disallowed_methods,
    reason = "a simulation of phones happens in real time"
)]
fn wait_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(now()));
}

/// Sends a request and reads its status, on the open connection, or on a new one where the server
/// has closed it.
fn request(
    to: SocketAddr,
    connection: &mut Option<BufReader<TcpStream>>,
    line: &str,
) -> io::Result<u16> {
    if let Some(open) = connection
        && let Ok(status) = exchange(open, line)
    {
        return Ok(status);
    }

    let socket = TcpStream::connect_timeout(&to, TIMEOUT)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;

    exchange(connection.insert(BufReader::new(socket)), line)
}

fn exchange(connection: &mut BufReader<TcpStream>, line: &str) -> io::Result<u16> {
    connection.get_mut().write_all(line.as_bytes())?;

    let mut head = String::new();
    if connection.read_line(&mut head)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;

    let mut length = 0_u64;
    loop {
        let mut header = String::new();
        connection.read_line(&mut header)?;
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if header.trim().is_empty() {
            break;
        }
    }

    io::copy(&mut connection.by_ref().take(length), &mut io::sink())?;
    Ok(status)
}
