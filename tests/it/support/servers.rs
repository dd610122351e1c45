//! Real servers: those of the run, shared by all tests, and private ones to break. `tests/servers`
//! starts and stops them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::wait::within;

/// Servers start and restart within this, also several at once on a small machine.
const ORDER: Duration = Duration::from_mins(3);

const NAMES: [&str; 4] = [
    "CORDBOARD_TEST_AMQP_URL",
    "CORDBOARD_TEST_AMQP_MANAGEMENT_URL",
    "CORDBOARD_TEST_REDIS_URL",
    "CORDBOARD_TEST_DATABASE_URL",
];

/// Addresses of a set of servers.
#[derive(Clone, Debug, Default)]
pub struct Urls {
    pub amqp: String,
    pub management: String,
    pub redis: String,
    pub database: String,
}

impl Urls {
    fn set(&mut self, name: &str, value: &str) {
        let fields = [
            &mut self.amqp,
            &mut self.management,
            &mut self.redis,
            &mut self.database,
        ];
        for (known, field) in NAMES.into_iter().zip(fields) {
            if known == name {
                value.clone_into(field);
            }
        }
    }
}

/// The servers of the run, which `tests/run` has started.
///
/// # Panics
/// When the environment does not name them.
#[expect(
    clippy::disallowed_methods,
    reason = "the test command names the servers of the run in the environment"
)]
pub fn shared() -> &'static Urls {
    static SHARED: OnceLock<Urls> = OnceLock::new();

    SHARED.get_or_init(|| {
        let mut urls = Urls::default();
        for name in NAMES {
            let value = std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: run these tests with `tests/run servers`")
            });
            urls.set(name, &value);
        }

        urls
    })
}

/// A Python that has pika, which `tests/run` has found or installed.
#[expect(
    clippy::disallowed_methods,
    reason = "the test command names the program in the environment"
)]
pub fn python() -> String {
    std::env::var("CORDBOARD_TEST_PYTHON").unwrap_or_else(|_| {
        panic!("CORDBOARD_TEST_PYTHON is not set: run these tests with `tests/run servers`")
    })
}

/// Private servers, to be killed, frozen and started again.
pub struct Servers {
    pub urls: Urls,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Servers {
    /// Starts servers of these kinds; all three where none is named.
    pub async fn start(kinds: &[&str]) -> Servers {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
        let mut child = Command::new(script)
            .args(kinds)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/servers can be run");
        let orders = ChildStdin::from_std(child.stdin.take().unwrap()).unwrap();
        let answers = ChildStdout::from_std(child.stdout.take().unwrap()).unwrap();
        let mut servers = Servers {
            urls: Urls::default(),
            child,
            orders: Some(orders),
            answers: BufReader::new(answers),
        };

        loop {
            let line = servers.answer("the start of the servers").await;
            match line.split_once('=') {
                _ if line == "READY" => return servers,
                Some((name, value)) => servers.urls.set(name, value),
                None => panic!("`tests/servers` says {line:?}"),
            }
        }
    }

    /// Gives an order to `tests/servers`, and waits until it is done.
    pub async fn order(&mut self, order: &str) {
        let line = format!("{order}\n");
        let orders = self.orders.as_mut().unwrap();
        orders.write_all(line.as_bytes()).await.unwrap();

        assert_eq!(self.answer(order).await, "done", "{order}");
    }

    async fn answer(&mut self, awaited: &str) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        within(ORDER, awaited, read).await.unwrap();
        assert!(!line.is_empty(), "{awaited}: `tests/servers` has ended");

        line.trim().to_owned()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The end of the orders ends the script, and the script ends the servers. It is waited for:
        // the next test must not find them at work.
        drop(self.orders.take());
        let _ended = self.child.wait();
    }
}
