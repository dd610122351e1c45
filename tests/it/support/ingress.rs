//! The ingress over real sockets, keeping what it accepts in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cordboard::domain::fact::{Fact, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::ingress::auth::Access;
use cordboard::ingress::stamp::Stamp;
use cordboard::ingress::{Ingress, Limits, serve};
use cordboard::port::clock::Clock;
use cordboard::port::intake::{Intake, NotDurable};
use cordboard::wire::envelope::Envelope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub const LIMITS: Limits = Limits {
    connections: 100,
    connections_per_address: 50,
    head_bytes: 16 * 1024,
    headers: 32,
    body_bytes: 4 * 1024,
    head_timeout_ms: 5_000,
    request_timeout_ms: 3_000,
    per_device_per_second: 20,
    per_device_burst: 60,
    strangers_per_second: 1_000,
};

pub struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> At {
        At(1_767_225_600_000_000)
    }

    fn steady(&self) -> Span {
        Span(0)
    }
}

/// Keeps messages in memory, or refuses them.
#[derive(Default)]
pub struct Shelf {
    pub kept: Mutex<Vec<Vec<u8>>>,
    pub full: bool,
}

#[async_trait]
impl Intake for Shelf {
    async fn accept(&self, message: Vec<u8>) -> Result<(), NotDurable> {
        let kept = if self.full {
            Err(NotDurable::Full)
        } else {
            self.kept.lock().unwrap().push(message);
            Ok(())
        };
        kept
    }

    async fn accept_tick(&self, tick: Vec<u8>) -> Result<(), NotDurable> {
        self.accept(tick).await
    }
}

pub struct Running {
    pub address: std::net::SocketAddr,
    pub shelf: Arc<Shelf>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

impl Running {
    pub async fn start(access: Access, limits: Limits, shelf: Shelf) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shelf = Arc::new(shelf);
        let clock: Arc<dyn Clock> = Arc::new(StandingClock);
        let stamp = Stamp::new(Arc::clone(&clock), At(0));
        let ingress = Arc::new(Ingress::new(
            Site::default(),
            access,
            Arc::clone(&shelf) as Arc<dyn Intake>,
            clock,
            stamp,
            limits,
        ));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, ingress, stop.clone()));
        Running {
            address,
            shelf,
            stop,
            server,
        }
    }

    pub async fn open() -> Running {
        Running::start(Access::default(), LIMITS, Shelf::default()).await
    }

    /// Sends bytes on one connection and returns everything that is answered until the server
    /// closes it.
    pub async fn talk(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// The status of a request line sent as it stands.
    pub async fn status(&self, line: &[u8]) -> u16 {
        let answer = self
            .talk(&[line, b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"].concat())
            .await;
        answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }

    pub fn facts(&self) -> Vec<Fact> {
        let policy = Policy::default();
        self.shelf
            .kept
            .lock()
            .unwrap()
            .iter()
            .map(|message| {
                Envelope::decode(message)
                    .unwrap()
                    .fact(|_| &policy)
                    .unwrap()
            })
            .collect()
    }

    pub fn last(&self) -> Fact {
        self.facts().pop().unwrap()
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}
