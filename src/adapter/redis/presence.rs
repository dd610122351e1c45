//! Who is there: the sessions of agents, for as long as their heartbeats come.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_redis::redis::Pipeline;

use super::keys::{Keys, SESSION_SECONDS};
use super::link::Link;
use crate::domain::time::At;
use crate::port::live::Presence;

/// Removes a session unless another one has taken its place.
const LEAVE: &str = "if redis.call('HGET', KEYS[1], 'socket_id') == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

pub struct RedisPresence {
    link: Arc<Link>,
    keys: Keys,
    node: String,
}

impl RedisPresence {
    #[must_use]
    pub fn new(link: Arc<Link>, prefix: &str, node: &str) -> RedisPresence {
        RedisPresence {
            link,
            keys: Keys(prefix.to_owned()),
            node: node.to_owned(),
        }
    }
}

#[async_trait]
impl Presence for RedisPresence {
    async fn heartbeat(&self, user: &str, socket: &str, now: At) {
        let key = self.keys.session(user);
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("HSET")
            .arg(&key)
            .arg("socket_id")
            .arg(socket)
            .arg("node")
            .arg(&self.node)
            .arg("last_heartbeat")
            .arg(now.0 / 1_000_000);
        pipeline.cmd("EXPIRE").arg(&key).arg(SESSION_SECONDS);
        let _shown = self.link.run::<()>(&mut pipeline).await;
    }

    async fn leave(&self, user: &str, socket: &str) {
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("EVAL")
            .arg(LEAVE)
            .arg(1)
            .arg(self.keys.session(user))
            .arg(socket);
        let _gone = self.link.run::<()>(&mut pipeline).await;
    }
}
