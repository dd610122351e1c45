//! Look-ups of the gateway in Redis: live calls, for as long as all partitions are completely
//! published; states of other programs' calls; and a cache of rarely changing answers.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_redis::redis::{Pipeline, RedisResult, Value};

use super::commands::Commands;
use super::keys::{CALL_SECONDS, Keys, STATE_SECONDS};
use super::link::RedisLink;
use crate::domain::fact::Site;
use crate::port::live::{CacheKey, LiveDirectory};
use crate::port::states::{CallState, StateName};
use crate::port::transfers::RegisteredTransfer;
use crate::wire::instant;

/// Highest index of live calls read per partition; no site has so many.
const LIVE_CALLS_MAX: usize = 10_000;

/// Sets the state of a call and its place among the open calls, unless there is a state with a later
/// `updated_at`: instants have the order of their texts.
const SET_IF_LATER: &str = "\
local found = redis.call('GET', KEYS[1])
if found then
    local is_json, state = pcall(cjson.decode, found)
    if is_json and type(state) == 'table' and type(state.updated_at) == 'string'
        and state.updated_at > ARGV[1] then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if ARGV[5] == '' then
    redis.call('SREM', KEYS[2], ARGV[4])
else
    redis.call('SADD', KEYS[2], ARGV[4])
    redis.call('EXPIRE', KEYS[2], ARGV[5])
end
return 1";

/// Reads the live view and the cache.
pub struct RedisDirectory {
    calls: Arc<RedisLink>,
    cache: Arc<RedisLink>,
    keys: Keys,
    /// All partitions. An unpublished one makes the list of open calls incomplete.
    partitions: Vec<String>,
}

impl RedisDirectory {
    #[must_use]
    pub fn new(
        calls: Arc<RedisLink>,
        cache: Arc<RedisLink>,
        prefix: &str,
        partitions: Vec<String>,
    ) -> RedisDirectory {
        RedisDirectory {
            calls,
            cache,
            keys: Keys(prefix.to_owned()),
            partitions,
        }
    }

    /// Runs commands that need no answer; the link reports failures.
    async fn run_all(&self, commands: Commands) {
        for mut pipeline in commands.pipelines {
            if self.calls.run::<Value>(&mut pipeline).await.is_none() {
                return;
            }
        }
    }

    fn keys_of(&self, site: &str) -> Option<Keys> {
        Some(self.keys.of_site(&Site::parse(site)?))
    }

    /// Returns true when every partition is completely published, `None` without an answer.
    async fn is_complete(&self) -> Option<bool> {
        let mut pipeline = Pipeline::new();
        for partition in &self.partitions {
            pipeline
                .cmd("EXISTS")
                .arg(self.keys.partition_marker(partition));
        }

        let markers = self.calls.run::<u32>(&mut pipeline).await?;
        Some(markers.iter().all(|marker| matches!(marker, Ok(1))))
    }

    async fn live_call_ids(&self) -> Option<Vec<String>> {
        let mut pipeline = Pipeline::new();
        for partition in &self.partitions {
            pipeline
                .cmd("ZREVRANGE")
                .arg(self.keys.live_calls(partition))
                .arg(0)
                .arg(LIVE_CALLS_MAX);
        }

        let ids = self.calls.run::<Vec<String>>(&mut pipeline).await?;
        Some(
            ids.into_iter()
                .collect::<Result<Vec<_>, _>>()
                .ok()?
                .concat(),
        )
    }
}

#[async_trait]
impl LiveDirectory for RedisDirectory {
    async fn open_calls(&self) -> Option<Vec<String>> {
        if !self.is_complete().await? {
            return None;
        }
        let ids = self.live_call_ids().await?;
        if ids.is_empty() {
            return Some(Vec::new());
        }

        let mut pipeline = Pipeline::new();
        for id in &ids {
            pipeline.cmd("HGET").arg(self.keys.record(id)).arg("record");
        }
        let records = self.calls.run::<Option<String>>(&mut pipeline).await?;

        // A record that was deleted meanwhile belongs to a closed call.
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

    async fn state(&self, name: &StateName) -> Option<String> {
        get(&self.calls, self.keys.state(name)).await
    }

    async fn set_call(&self, state: &CallState, json: &str) -> bool {
        let Some(keys) = self.keys_of(&state.site) else {
            // It has no place in the view.
            return true;
        };

        let mut pipeline = Pipeline::new();
        let command = pipeline
            .cmd("EVAL")
            .arg(SET_IF_LATER)
            .arg(2)
            .arg(self.keys.state(&StateName::Call(state.call_id.clone())))
            .arg(keys.active_calls())
            .arg(instant::text(state.updated_at))
            .arg(json)
            .arg(STATE_SECONDS)
            .arg(&state.call_id);
        if state.ended_at.is_none() {
            command.arg(CALL_SECONDS);
        } else {
            command.arg("");
        }

        is_done(self.calls.run::<i64>(&mut pipeline).await)
    }

    async fn set_session(&self, session: &str, json: &str) -> bool {
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("SET")
            .arg(self.keys.state(&StateName::Session(session.to_owned())))
            .arg(json)
            .arg("EX")
            .arg(STATE_SECONDS);

        is_done(self.calls.run::<Value>(&mut pipeline).await)
    }

    async fn forget_state(&self, name: &StateName) -> bool {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("DEL").arg(self.keys.state(name));

        is_done(self.calls.run::<i64>(&mut pipeline).await)
    }

    async fn set_transfer(&self, transfer: &RegisteredTransfer) {
        let Some(keys) = self.keys_of(&transfer.site) else {
            return;
        };
        let left = transfer.expires_at - transfer.initiated_at;
        let ttl_seconds = left.0.div_euclid(1_000_000) + 1;

        let mut commands = Commands::default();
        commands.set(
            &keys.transfer_context(&transfer.id),
            &transfer.context,
            ttl_seconds,
        );
        let by_call = keys.transfer_by_call(&transfer.call_id);
        commands.set(&by_call, &transfer.id, ttl_seconds);
        // The database has the transfer.
        self.run_all(commands).await;
    }

    async fn clear_transfer(&self, transfer: &RegisteredTransfer) {
        let Some(keys) = self.keys_of(&transfer.site) else {
            return;
        };

        let mut commands = Commands::default();
        commands.cmd("DEL").arg(keys.transfer_context(&transfer.id));
        let by_call = keys.transfer_by_call(&transfer.call_id);
        commands.delete_if_equal(&by_call, &transfer.id);
        // Their time ends in any case.
        self.run_all(commands).await;
    }

    async fn publish_transfer_event(&self, transfer: &RegisteredTransfer, json: &str) {
        let Some(keys) = self.keys_of(&transfer.site) else {
            return;
        };

        let mut commands = Commands::default();
        commands
            .cmd("PUBLISH")
            .arg(keys.transfer_events(&transfer.id))
            .arg(json);
        // A program that misses it asks for the result.
        self.run_all(commands).await;
    }

    async fn cached(&self, answer: CacheKey<'_>) -> Option<String> {
        get(&self.cache, self.keys.cached(answer).0).await
    }

    async fn cache(&self, answer: CacheKey<'_>, json: &str) {
        let (key, ttl_seconds) = self.keys.cached(answer);

        set(&self.cache, key, json, ttl_seconds).await;
    }

    async fn forget(&self, answer: CacheKey<'_>) {
        let (key, _) = self.keys.cached(answer);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("DEL").arg(key);

        // A key that cannot be deleted expires.
        self.cache.run::<i64>(&mut pipeline).await;
    }
}

fn is_done<T>(answers: Option<Vec<RedisResult<T>>>) -> bool {
    answers.is_some_and(|answers| answers.iter().all(Result::is_ok))
}

async fn get(link: &RedisLink, key: String) -> Option<String> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("GET").arg(key);

    link.run::<Option<String>>(&mut pipeline)
        .await?
        .pop()?
        .ok()?
}

async fn set(link: &RedisLink, key: String, value: &str, ttl_seconds: i64) {
    let mut pipeline = Pipeline::new();
    pipeline
        .cmd("SET")
        .arg(key)
        .arg(value)
        .arg("EX")
        .arg(ttl_seconds);

    // A missing value is read from the database; the link reports failures.
    let _ = link.run::<()>(&mut pipeline).await;
}
