//! The ingress over real sockets, with accepted messages in memory.

use std::net::SocketAddr;
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
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::overlay::EPOCH;
use super::wait::{PATIENCE, within};

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

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> At {
        At(EPOCH)
    }

    fn steady(&self) -> Span {
        Span(0)
    }
}

/// Keeps messages in memory, or refuses them.
#[derive(Default)]
pub struct MemoryIntake {
    accepted: Mutex<Vec<Vec<u8>>>,
    is_full: bool,
}

impl MemoryIntake {
    /// Refuses all messages.
    pub fn full() -> MemoryIntake {
        MemoryIntake {
            is_full: true,
            ..MemoryIntake::default()
        }
    }
}

#[async_trait]
impl Intake for MemoryIntake {
    async fn accept(&self, message: Vec<u8>) -> Result<(), NotDurable> {
        if self.is_full {
            return Err(NotDurable::Full);
        }
        self.accepted.lock().unwrap().push(message);

        Ok(())
    }

    async fn accept_tick(&self, tick: Vec<u8>) -> Result<(), NotDurable> {
        self.accept(tick).await
    }
}

/// An ingress that listens on a free port.
pub struct Running {
    pub address: SocketAddr,
    intake: Arc<MemoryIntake>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Running {
    pub async fn start(access: Access, limits: Limits, intake: MemoryIntake) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let intake = Arc::new(intake);
        let clock: Arc<dyn Clock> = Arc::new(StandingClock);
        let stamp = Stamp::new(Arc::clone(&clock), At(0));
        let ingress = Arc::new(Ingress::new(
            Site::default(),
            access,
            Arc::clone(&intake) as Arc<dyn Intake>,
            clock,
            stamp,
            limits,
        ));

        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, ingress, stop.clone()));

        Running {
            address,
            intake,
            stop,
            server,
        }
    }

    /// An ingress that accepts requests of any phone.
    pub async fn open() -> Running {
        Running::start(Access::default(), LIMITS, MemoryIntake::default()).await
    }

    pub async fn connect(&self) -> TcpStream {
        within(PATIENCE, "a connection", TcpStream::connect(self.address))
            .await
            .unwrap()
    }

    /// Sends bytes on a connection of its own, and returns all answers until the server closes it.
    pub async fn talk(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes).await.unwrap();

        read_to_end(&mut socket).await
    }

    /// The status of a request line, which is sent byte for byte.
    pub async fn status(&self, line: &[u8]) -> u16 {
        let end: &[u8] = b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let answer = self.talk(&[line, end].concat()).await;

        answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }

    /// The accepted messages.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.intake.accepted.lock().unwrap().clone()
    }

    /// The facts of the accepted messages.
    pub fn facts(&self) -> Vec<Fact> {
        let policy = Policy::default();

        self.messages()
            .iter()
            .map(|message| {
                let envelope = Envelope::decode(message).unwrap();
                envelope.fact(|_| &policy).unwrap()
            })
            .collect()
    }

    /// The fact of the last accepted message.
    pub fn last(&self) -> Fact {
        self.facts().pop().unwrap()
    }

    pub async fn end(self) {
        self.stop.cancel();

        within(PATIENCE, "the end of the ingress", self.server)
            .await
            .unwrap();
    }
}

/// Everything that is answered on a connection until the server closes it.
pub async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    within(
        PATIENCE,
        "the end of a connection",
        socket.read_to_end(&mut answer),
    )
    .await
    .unwrap();

    String::from_utf8(answer).unwrap()
}
