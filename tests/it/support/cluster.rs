//! A service of several processes on real servers: everything of its own but the servers, which may
//! be shared.

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::ledger::block_on;
use super::servers::{self, Urls};
use super::service::{Service, command};
use super::{postgres, rabbit};

pub struct Cluster {
    pub database: String,
    pub broker: String,
    pub urls: Urls,
    settings: Vec<(String, String)>,
    data: TempDir,
}

impl Cluster {
    /// On the servers of the run.
    pub fn new() -> Cluster {
        Cluster::on(servers::shared())
    }

    /// Tables, exchanges and queues are there.
    pub fn on(urls: &Urls) -> Cluster {
        let cluster = Cluster::bare(urls);
        cluster.told(&["broker", "apply"]);
        cluster
    }

    /// Only the tables are there.
    pub fn bare(urls: &Urls) -> Cluster {
        let (database, broker) = block_on(async {
            let database = postgres::new_database(&urls.database).await;
            (database, rabbit::new_vhost(urls).await)
        });
        let prefix = format!("{}:", uuid::Uuid::now_v7().simple());
        let settings = [
            ("BROKER__URL", &*broker),
            ("BROKER__PARTITIONS", "4"),
            ("BROKER__BALANCE_MS", "300"),
            ("DATABASE__URL", &database),
            ("LIVE__URL", &urls.redis),
            ("LIVE__PREFIX", &prefix),
            ("POLICY__MISSED_DELAY_MS", "200"),
            ("POLICY__RERING_GAP_MS", "250"),
        ];
        let settings = settings
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec();
        let cluster = Cluster {
            database,
            broker,
            urls: urls.clone(),
            settings,
            data: tempfile::tempdir().unwrap(),
        };
        cluster.told(&["migrate"]);
        cluster
    }

    /// With another setting for what is started from now on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }

    /// Starts a process under a name; the same name has the same journal.
    pub fn start(&self, name: &str, roles: &str) -> Service {
        self.start_with(name, roles, "")
    }

    /// The same with more settings, as they stand in a file.
    pub fn start_with(&self, name: &str, roles: &str, more: &str) -> Service {
        let file = self.data.path().join(format!("{name}.toml"));
        std::fs::write(&file, more).unwrap();
        let arguments = ["serve", "--role", roles, "--config", file.to_str().unwrap()];
        let mut service = Service::begin(command(
            &self.data.path().join(name),
            &arguments,
            &self.settings(),
        ));
        service.wait_until_ready();
        service
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_beside("command", arguments)
    }

    /// A command on the machine of a process, beside it.
    pub fn run_beside(&self, name: &str, arguments: &[&str]) -> Output {
        command(&self.data.path().join(name), arguments, &self.settings())
            .output()
            .unwrap()
    }

    /// What a command prints when all is well.
    pub fn told(&self, arguments: &[&str]) -> String {
        self.told_beside("command", arguments)
    }

    pub fn told_beside(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run_beside(name, arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// One number from the database.
    pub fn count(&self, sql: &'static str) -> i64 {
        block_on(postgres::value(&self.database, sql))
    }

    /// Waits until a count is this.
    pub fn until(&self, sql: &'static str, expected: i64) {
        block_on(async { while postgres::value::<i64>(&self.database, sql).await != expected {} });
    }

    /// Waits until every event that was accepted is stored, and every call decided; and sees that
    /// nothing is stored otherwise than its facts say.
    pub fn settled(&self, accepted: usize) {
        block_on(async {
            let stored =
                || postgres::value::<i64>(&self.database, "SELECT count(*) FROM call_events");
            while usize::try_from(stored().await).unwrap() < accepted {}
        });
        assert_eq!(
            self.count("SELECT count(*) FROM call_events"),
            i64::try_from(accepted).unwrap(),
            "nothing is stored that nobody sent"
        );
        assert_eq!(self.told(&["rebuild", "--diff"]), "");
    }
}

impl Service {
    /// Asks the API with a body.
    pub fn call(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        use std::io::{Read, Write};
        let mut socket = std::net::TcpStream::connect(self.people).unwrap();
        let body = body.to_string();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        write!(socket, "{head}Connection: close\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (
            status,
            serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default(),
        )
    }

    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }
}
