//! A service of several processes on real servers. Everything is its own but the servers, which may
//! be shared.

use std::process::Output;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::log::Log;
use super::servers::{self, Urls};
use super::service::{self, Service, command};
use super::wait::{PATIENCE, STALLED, eventually, eventually_count};
use super::{postgres, rabbit};

pub struct Cluster {
    pub database: String,
    pub broker: String,
    pub urls: Urls,
    /// How long the number of stored events may stay the same while one is missing.
    pub patience: Duration,
    settings: Vec<(String, String)>,
    data: TempDir,
    /// The logs of the processes started so far, for the message of a test that fails.
    logs: Mutex<Vec<(String, Log)>>,
}

impl Cluster {
    /// On the servers of the run.
    pub async fn new() -> Cluster {
        Cluster::on(servers::shared()).await
    }

    /// On these servers; tables, exchanges and queues exist.
    pub async fn on(urls: &Urls) -> Cluster {
        let cluster = Cluster::bare(urls).await;
        cluster.output_of(&["broker", "apply"]).await;

        cluster
    }

    /// Only the tables exist.
    pub async fn bare(urls: &Urls) -> Cluster {
        let database = postgres::new_database(&urls.database).await;
        let broker = rabbit::new_vhost(urls).await;
        let prefix = format!("{}:", uuid::Uuid::now_v7().simple());
        let settings = [
            ("BROKER__URL", broker.as_str()),
            ("BROKER__PARTITIONS", "4"),
            ("BROKER__BALANCE_MS", "300"),
            ("DATABASE__URL", &database),
            ("LIVE__URL", &urls.redis),
            ("LIVE__PREFIX", &prefix),
            ("POLICY__MISSED_DELAY_MS", "200"),
            ("POLICY__RERING_GAP_MS", "250"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec();

        let cluster = Cluster {
            database,
            broker,
            urls: urls.clone(),
            patience: STALLED,
            settings,
            data: tempfile::tempdir().unwrap(),
            logs: Mutex::default(),
        };
        cluster.output_of(&["migrate"]).await;

        cluster
    }

    /// Changes a setting for processes that are started from now on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// The prefix of its keys in Redis.
    pub fn prefix(&self) -> &str {
        let prefix = self.settings.iter().find(|(key, _)| key == "LIVE__PREFIX");

        prefix.map_or("", |(_, value)| value)
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }

    /// Starts a process under a name; the same name has the same journal.
    pub async fn start(&self, name: &str, roles: &str) -> Service {
        self.start_with(name, roles, "").await
    }

    /// The same with more settings, as they stand in a file.
    pub async fn start_with(&self, name: &str, roles: &str, more: &str) -> Service {
        let file = self.data.path().join(format!("{name}.toml"));
        std::fs::write(&file, more).unwrap();
        let arguments = ["serve", "--role", roles, "--config", file.to_str().unwrap()];
        let data = self.data.path().join(name);

        let service = Service::begin(command(&data, &arguments, &self.settings())).await;
        service.wait_until_ready().await;
        self.logs
            .lock()
            .unwrap()
            .push((name.to_owned(), service.log.clone()));

        service
    }

    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.run_beside("command", arguments).await
    }

    /// A command on the machine of a process, beside it.
    pub async fn run_beside(&self, name: &str, arguments: &[&str]) -> Output {
        let data = self.data.path().join(name);

        service::output(command(&data, arguments, &self.settings())).await
    }

    /// The output of a command that succeeds.
    pub async fn output_of(&self, arguments: &[&str]) -> String {
        self.output_beside("command", arguments).await
    }

    pub async fn output_beside(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run_beside(name, arguments).await;
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );

        String::from_utf8(output.stdout).unwrap()
    }

    /// One number from the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        postgres::value(&self.database, sql).await
    }

    /// Waits until a number fulfils a condition.
    pub async fn until_count(&self, awaited: &str, sql: &'static str, fits: impl Fn(i64) -> bool) {
        eventually(
            self.patience.max(PATIENCE),
            awaited,
            async || match postgres::try_value::<i64>(&self.database, sql).await {
                Ok(count) if fits(count) => Ok(()),
                Ok(count) => Err(format!("{count} from {sql}\n{}", self.logs())),
                Err(error) => Err(error.to_string()),
            },
        )
        .await;
    }

    /// Waits until a number has this value.
    pub async fn until(&self, sql: &'static str, expected: i64) {
        let awaited = format!("{expected} from {sql}");
        self.until_count(&awaited, sql, |count| count == expected)
            .await;
    }

    /// How many events are stored; none while the database is away.
    pub async fn stored(&self) -> usize {
        let sql = "SELECT count(*) FROM call_events";
        let count: i64 = postgres::try_value(&self.database, sql).await.unwrap_or(0);

        usize::try_from(count).unwrap()
    }

    /// Waits until so many events are stored.
    pub async fn until_stored(&self, expected: usize) {
        eventually_count(
            self.patience,
            "stored events",
            expected,
            async || self.stored().await,
            async || self.logs(),
        )
        .await;
    }

    /// Waits until every accepted event is stored; and asserts that nothing else is, and that all
    /// records are what their facts say.
    pub async fn settled(&self, accepted: usize) {
        self.until_stored(accepted).await;

        assert_eq!(
            self.stored().await,
            accepted,
            "only what was sent is stored"
        );
        assert_eq!(self.output_of(&["rebuild", "--diff"]).await, "");
    }

    /// The tails of the logs of all processes.
    pub fn logs(&self) -> String {
        let logs = self.logs.lock().unwrap();
        let tails: Vec<String> = logs
            .iter()
            .map(|(name, log)| format!("--- {name}\n{}", log.tail()))
            .collect();

        tails.join("\n")
    }
}
