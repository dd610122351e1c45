//! A TCP proxy between two programs that closes connections, or silently discards their bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const CHUNK_BYTES: usize = 16 * 1024;

/// Forwards connections to a server.
pub struct Proxy {
    pub address: SocketAddr,
    wire: Arc<Wire>,
}

#[derive(Default)]
struct Wire {
    /// Bytes of the client are read and discarded.
    loses_requests: AtomicBool,
    /// Bytes of the server are read and discarded.
    loses_answers: AtomicBool,
    /// Cancelled to close the connections of the moment.
    connections: Mutex<CancellationToken>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::<Wire>::default();

        tokio::spawn(accept(listener, server, Arc::clone(&wire)));

        Proxy { address, wire }
    }

    /// The URL of a server, with this proxy in front of it.
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap();
        let user = authority
            .rsplit_once('@')
            .map(|(user, _)| format!("{user}@"))
            .unwrap_or_default();

        format!("{scheme}://{user}{}/{path}", self.address)
    }

    /// Closes all connections; new ones are forwarded.
    pub fn cut(&self) {
        let mut connections = self.wire.connections.lock().unwrap();
        connections.cancel();
        *connections = CancellationToken::new();
    }

    /// Discards the bytes of both sides, and keeps their connections open.
    pub fn lose_everything(&self) {
        self.lose_requests();
        self.lose_answers();
    }

    /// Discards only the bytes of the client.
    pub fn lose_requests(&self) {
        self.wire.loses_requests.store(true, Ordering::SeqCst);
    }

    /// Discards only the bytes of the server.
    pub fn lose_answers(&self) {
        self.wire.loses_answers.store(true, Ordering::SeqCst);
    }

    /// Forwards bytes again, on new connections: the discarded ones are lost.
    pub fn restore(&self) {
        self.wire.loses_requests.store(false, Ordering::SeqCst);
        self.wire.loses_answers.store(false, Ordering::SeqCst);
        self.cut();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, wire: Arc<Wire>) {
    while let Ok((client, _)) = listener.accept().await {
        let wire = Arc::clone(&wire);
        let cut = wire.connections.lock().unwrap().clone();

        tokio::spawn(async move { forward(client, server, &wire, cut).await });
    }
}

/// Forwards a connection until one of its sides ends, or it is cut.
async fn forward(client: TcpStream, server: SocketAddr, wire: &Wire, cut: CancellationToken) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();

    tokio::select! {
        _ = pass(from_client, to_server, &wire.loses_requests) => {}
        _ = pass(from_server, to_client, &wire.loses_answers) => {}
        () = cut.cancelled() => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    lost: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK_BYTES];

    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        if !lost.load(Ordering::SeqCst) {
            to.write_all(&bytes[..read]).await?;
        }
    }
}

/// The address of the server in a URL.
pub fn server_of(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("://").unwrap();
    let authority = rest.split('/').next().unwrap();

    authority.rsplit('@').next().unwrap().parse().unwrap()
}
