//! Talking to Redis: one deadline for everything, connections that were not waited for to the end
//! are closed, and after some failures in a row nobody asks for a moment.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{
    AsyncConnectionConfig, FromRedisValue, IntoConnectionInfo, Pipeline, RedisResult,
};
use deadpool_redis::{Connection, Manager, Pool, Runtime, Timeouts};
use tokio::time::{Instant, timeout_at};

use crate::health::HealthCheck;

/// For everything that is asked at once, connecting included.
const DEADLINE: Duration = Duration::from_millis(100);
const CONNECTIONS_MAX: usize = 8;
const FAILURES_MAX: u32 = 5;
/// How long nobody asks after so many failures.
const REST: Duration = Duration::from_secs(2);

/// Where Redis is, checked.
#[derive(Clone, Debug)]
pub struct RedisAddress(String);

impl FromStr for RedisAddress {
    type Err = String;

    fn from_str(url: &str) -> Result<RedisAddress, String> {
        url.into_connection_info()
            .map_err(|error| error.to_string())?;
        Ok(RedisAddress(url.to_owned()))
    }
}

/// One database of a server.
pub struct Link {
    pool: Pool,
    sign: HealthCheck,
    breaker: Mutex<Breaker>,
}

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Link {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn new(address: &RedisAddress, database: u32, sign: HealthCheck) -> Result<Link, String> {
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
            .build();
        Ok(Link {
            pool: pool.map_err(|error| error.to_string())?,
            sign,
            breaker: Mutex::default(),
        })
    }

    /// Does all of it, or as much as the server allows: one command that fails fails alone. `None`
    /// when the server did not answer in time, or is left alone at the moment.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        pipeline: &mut Pipeline,
    ) -> Option<Vec<RedisResult<T>>> {
        if self.rests() {
            return None;
        }
        pipeline.ignore_errors();
        let deadline = Instant::now() + DEADLINE;
        let mut connection = match timeout_at(deadline, self.pool.get()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return self.went_wrong(&error.to_string()),
            Err(_) => return self.went_wrong("it cannot be reached in time"),
        };
        let asked: Result<RedisResult<Vec<RedisResult<T>>>, _> =
            timeout_at(deadline, pipeline.query_async(&mut connection)).await;
        let why = match asked {
            Ok(Ok(answers)) => {
                self.went_well();
                let failed = answers.iter().filter(|answer| answer.is_err()).count();
                metrics::counter!("cordboard_live_refused_total").increment(failed as u64);
                return Some(answers);
            }
            Ok(Err(error)) => error.category().to_owned(),
            Err(_) => "it does not answer in time".to_owned(),
        };
        // The answer may still come, and would be taken for that to another question.
        drop(Connection::take(connection));
        self.went_wrong(&why)
    }

    fn rests(&self) -> bool {
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker
            .rests_until
            .is_some_and(|until| Instant::now() < until)
    }

    fn went_well(&self) {
        *self.breaker.lock().unwrap_or_else(PoisonError::into_inner) = Breaker::default();
        self.sign.set_up();
    }

    fn went_wrong<T>(&self, why: &str) -> Option<T> {
        metrics::counter!("cordboard_live_failures_total").increment(1);
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.failures += 1;
        if breaker.failures >= FAILURES_MAX {
            breaker.rests_until = Some(Instant::now() + REST);
            drop(breaker);
            self.sign.set_down(why);
        }
        None
    }
}
