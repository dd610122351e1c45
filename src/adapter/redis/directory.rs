//! Looking things up: live calls from Redis first, as long as everything there is to see is shown
//! there; and a small cache for what changes rarely.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_redis::redis::Pipeline;

use super::keys::{Keys, STATE_SECONDS};
use super::link::Link;
use crate::port::live::{CacheKey, LiveDirectory, StateKey};

/// Live calls read at once; more than any site has.
const CALLS_MAX: usize = 10_000;

pub struct RedisDirectory {
    calls: Arc<Link>,
    cache: Arc<Link>,
    keys: Keys,
    /// Every partition must be shown, or what is seen is not all.
    parts: Vec<String>,
}

impl RedisDirectory {
    #[must_use]
    pub fn new(
        calls: Arc<Link>,
        cache: Arc<Link>,
        prefix: &str,
        parts: Vec<String>,
    ) -> RedisDirectory {
        RedisDirectory {
            calls,
            cache,
            keys: Keys(prefix.to_owned()),
            parts,
        }
    }
}

#[async_trait]
impl LiveDirectory for RedisDirectory {
    async fn open_calls(&self) -> Option<Vec<String>> {
        let mut pipeline = Pipeline::new();
        for part in &self.parts {
            pipeline.cmd("EXISTS").arg(self.keys.owner(part));
        }
        let shown = self.calls.run::<u32>(&mut pipeline).await?;
        if shown.iter().any(|part| !matches!(part, Ok(1))) {
            return None;
        }
        let mut pipeline = Pipeline::new();
        for part in &self.parts {
            pipeline
                .cmd("ZREVRANGE")
                .arg(self.keys.live(part))
                .arg(0)
                .arg(CALLS_MAX);
        }
        let of_parts = self.calls.run::<Vec<String>>(&mut pipeline).await?;
        let ids = of_parts
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .ok()?
            .concat();
        if ids.is_empty() {
            return Some(Vec::new());
        }
        let mut pipeline = Pipeline::new();
        for id in &ids {
            pipeline.cmd("HGET").arg(self.keys.record(id)).arg("record");
        }
        let records = self.calls.run::<Option<String>>(&mut pipeline).await?;
        // One that is gone by now is over.
        Some(
            records
                .into_iter()
                .filter_map(Result::ok)
                .flatten()
                .collect(),
        )
    }

    async fn call(&self, id: &str) -> Option<String> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HGET").arg(self.keys.record(id)).arg("record");
        self.calls
            .run::<Option<String>>(&mut pipeline)
            .await?
            .pop()?
            .ok()?
    }

    async fn state(&self, of: StateKey<'_>) -> Option<String> {
        get(&self.calls, self.keys.state(of)).await
    }

    async fn set_state(&self, of: StateKey<'_>, json: &str) {
        put(&self.calls, self.keys.state(of), json, STATE_SECONDS).await;
    }

    async fn cached(&self, answer: CacheKey<'_>) -> Option<String> {
        get(&self.cache, self.keys.cached(answer).0).await
    }

    async fn cache(&self, answer: CacheKey<'_>, json: &str) {
        let (key, seconds) = self.keys.cached(answer);

        put(&self.cache, key, json, seconds).await;
    }
}

async fn get(link: &Link, key: String) -> Option<String> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("GET").arg(key);
    link.run::<Option<String>>(&mut pipeline)
        .await?
        .pop()?
        .ok()?
}

async fn put(link: &Link, key: String, value: &str, seconds: i64) {
    let mut pipeline = Pipeline::new();
    pipeline
        .cmd("SET")
        .arg(key)
        .arg(value)
        .arg("EX")
        .arg(seconds);
    let _kept = link.run::<()>(&mut pipeline).await;
}
