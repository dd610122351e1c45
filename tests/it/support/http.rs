//! HTTP as phones and programs speak it, byte for byte, with a deadline for every exchange.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// From the first byte of a request to the last byte of its answer.
const EXCHANGE: Duration = Duration::from_secs(15);

/// Status and body of a `GET` on a connection of its own.
pub async fn get(address: SocketAddr, target: &str) -> (u16, String) {
    try_get(address, target)
        .await
        .unwrap_or_else(|error| panic!("GET {target} at {address}: {error}"))
}

/// The same for a server that may be gone at any moment.
pub async fn try_get(address: SocketAddr, target: &str) -> io::Result<(u16, String)> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");

    exchange(address, request.as_bytes()).await
}

/// Status and body of a request with a JSON body.
pub async fn call(address: SocketAddr, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, body) = exchange(address, request.as_bytes())
        .await
        .unwrap_or_else(|error| panic!("{method} {target} at {address}: {error}"));

    (status, serde_json::from_str(&body).unwrap_or_default())
}

/// The answer to a request with headers and an optional JSON body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

/// Sends a request with these headers; each ends with `\r\n`.
pub async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: Option<&Value>,
) -> Answer {
    let body = body.map_or_else(String::new, Value::to_string);
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (head, body) = whole_answer(address, request.as_bytes())
        .await
        .unwrap_or_else(|error| panic!("{method} {target} at {address}: {error}"));

    Answer {
        status: status_of(&head).unwrap_or_else(|| panic!("{method} {target}: {head}")),
        head,
        body: serde_json::from_str(&body).unwrap_or_default(),
    }
}

/// Status and body of the answer to these bytes, on a connection that is closed after it.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<(u16, String)> {
    let (head, body) = whole_answer(address, request).await?;
    let status = status_of(&head).ok_or(io::ErrorKind::InvalidData)?;

    Ok((status, body))
}

/// Head and body of the answer to these bytes.
async fn whole_answer(address: SocketAddr, request: &[u8]) -> io::Result<(String, String)> {
    let answer = timeout(EXCHANGE, async {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(request).await?;

        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    })
    .await
    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;

    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;

    Ok((head.to_owned(), body.to_owned()))
}

fn status_of(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}

/// A connection on which one request follows the other.
pub struct KeptAlive(BufReader<TcpStream>);

impl KeptAlive {
    pub async fn connect(address: SocketAddr) -> KeptAlive {
        KeptAlive::try_connect(address)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    pub async fn try_connect(address: SocketAddr) -> io::Result<KeptAlive> {
        let socket = timeout(EXCHANGE, TcpStream::connect(address)).await??;

        Ok(KeptAlive::on(socket))
    }

    pub fn on(socket: TcpStream) -> KeptAlive {
        KeptAlive(BufReader::new(socket))
    }

    /// Sends a part of a request, or all of it.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes).await
    }

    /// Status and body of the next answer, which states its length.
    pub async fn answer(&mut self) -> io::Result<(u16, String)> {
        timeout(EXCHANGE, self.read_answer())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Sends a `GET` and reads its answer.
    pub async fn get(&mut self, target: &str) -> io::Result<(u16, String)> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.send(request.as_bytes()).await?;

        self.answer().await
    }

    async fn read_answer(&mut self) -> io::Result<(u16, String)> {
        let mut head = String::new();
        let mut length = 0;
        while !head.ends_with("\r\n\r\n") {
            let from = head.len();
            if self.0.read_line(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = head[from..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }

        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        let status = status_of(&head).ok_or(io::ErrorKind::InvalidData)?;

        Ok((status, String::from_utf8(body).map_err(io::Error::other)?))
    }
}
