//! The connection to one Redis database.
//!
//! - **Deadline**: 100 ms for each round trip, including the connect.
//! - **No stale answers**: a connection with an outstanding answer is closed.
//! - **Circuit breaker**: after five failures in a row no request is sent for two seconds.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use deadpool_redis::redis::{
    AsyncConnectionConfig, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisResult,
};
use deadpool_redis::{Connection, Manager, Pool, Runtime, Timeouts};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::health::HealthCheck;

/// Deadline of one round trip, including the connect.
const DEADLINE: Duration = Duration::from_millis(100);
const CONNECTIONS_MAX: usize = 8;
/// Failures in a row that open the circuit breaker.
const FAILURES_MAX: u32 = 5;
/// How long an open circuit breaker stays open.
const OPEN_DURATION: Duration = Duration::from_secs(2);
/// Causes of refused commands that are logged. The server has about a dozen.
const REPORTED_CAUSES_MAX: usize = 64;

/// A validated Redis URL.
#[derive(Clone, Debug)]
pub struct RedisAddress(String);

impl FromStr for RedisAddress {
    type Err = String;

    fn from_str(url: &str) -> Result<RedisAddress, String> {
        // The parser's error may quote the address, and with it a password.
        url.into_connection_info()
            .map_err(|_| "it is not of the form redis://user:password@host/".to_owned())?;
        Ok(RedisAddress(url.to_owned()))
    }
}

/// A pool of connections to one database of a Redis server.
pub struct RedisLink {
    pool: Pool,
    health: HealthCheck,
    breaker: Mutex<CircuitBreaker>,
    /// Causes of refused commands that were logged already.
    reported_causes: Mutex<HashSet<String>>,
}

#[derive(Debug, Default)]
struct CircuitBreaker {
    failures: u32,
    open_until: Option<Instant>,
}

impl CircuitBreaker {
    fn is_open(&self) -> bool {
        self.open_until.is_some_and(|until| Instant::now() < until)
    }

    fn record_success(&mut self) {
        *self = CircuitBreaker::default();
    }

    /// Counts a failure, and opens the breaker after too many in a row. Returns whether it is open.
    fn record_failure(&mut self) -> bool {
        self.failures += 1;
        if self.failures < FAILURES_MAX {
            return false;
        }

        self.open_until = Some(Instant::now() + OPEN_DURATION);
        true
    }
}

impl RedisLink {
    /// Prepares the pool. Connections are made when they are first needed.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn new(
        address: &RedisAddress,
        database: u32,
        health: HealthCheck,
    ) -> Result<RedisLink, String> {
        let info = address
            .0
            .as_str()
            .into_connection_info()
            .map_err(|error| error.to_string())?;
        let settings = info.redis_settings().clone().set_db(i64::from(database));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        let manager = Manager::new_with_config(info.set_redis_settings(settings), config)
            .map_err(|error| error.to_string())?;

        let timeouts = Timeouts {
            wait: Some(DEADLINE),
            create: Some(DEADLINE),
            recycle: Some(DEADLINE),
        };
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| error.to_string())?;

        Ok(RedisLink {
            pool,
            health,
            breaker: Mutex::default(),
            reported_causes: Mutex::default(),
        })
    }

    /// Asks for a key, as the live view does.
    ///
    /// # Errors
    /// The reason why the server does not answer, or refuses.
    pub async fn check(&self, key: &str) -> Result<(), String> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("EXISTS").arg(key);

        let answers = self.try_run::<i64>(&mut pipeline).await?;
        answers.into_iter().try_for_each(|answer| {
            answer
                .map(drop)
                .map_err(|error| error.category().to_owned())
        })
    }

    /// Runs all commands of a pipeline; a failed command fails alone. Returns `None` when the
    /// server does not answer in time, or while the circuit breaker is open.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        pipeline: &mut Pipeline,
    ) -> Option<Vec<RedisResult<T>>> {
        if self.breaker.lock().is_open() {
            return None;
        }

        match self.try_run(pipeline).await {
            Ok(answers) => {
                self.breaker.lock().record_success();
                self.health.set_up();
                self.report_refused(&answers);
                Some(answers)
            }
            Err(reason) => self.fail(&reason),
        }
    }

    async fn try_run<T: FromRedisValue>(
        &self,
        pipeline: &mut Pipeline,
    ) -> Result<Vec<RedisResult<T>>, String> {
        pipeline.ignore_errors();
        let deadline = Instant::now() + DEADLINE;
        let mut connection = match timeout_at(deadline, self.pool.get()).await {
            Ok(connection) => connection.map_err(|error| error.to_string())?,
            Err(_) => return Err("no connection in time".to_owned()),
        };

        let answer: Result<RedisResult<Vec<RedisResult<T>>>, _> =
            timeout_at(deadline, pipeline.query_async(&mut connection)).await;
        let reason = match answer {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => error.category().to_owned(),
            Err(_) => "no answer in time".to_owned(),
        };

        // A late answer on this connection would be taken for the answer to a later request.
        drop(Connection::take(connection));
        Err(reason)
    }

    /// Counts refused commands and answers of another type, and logs each cause once: a key that
    /// another program has taken would be a line for every event.
    fn report_refused<T>(&self, answers: &[RedisResult<T>]) {
        let refused: Vec<&RedisError> = answers
            .iter()
            .filter_map(|one| one.as_ref().err())
            .collect();
        metrics::counter!("cordboard_live_refused_total").increment(refused.len() as u64);
        if refused.is_empty() {
            return;
        }

        let mut reported = self.reported_causes.lock();
        for error in refused {
            let cause = error.code().unwrap_or_else(|| error.category());
            if reported.len() < REPORTED_CAUSES_MAX && reported.insert(cause.to_owned()) {
                tracing::error!(
                    dependency = self.health.name,
                    cause,
                    "command refused, or answered with another type; another program may use its \
                     key. Further ones are only counted, in cordboard_live_refused_total"
                );
            }
        }
    }

    /// Records a failed round trip and returns `None`.
    fn fail<T>(&self, reason: &str) -> Option<T> {
        metrics::counter!("cordboard_live_failures_total").increment(1);

        let is_open = self.breaker.lock().record_failure();
        if is_open {
            self.health.set_down(reason);
        }
        None
    }
}
