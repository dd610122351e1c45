//! Sessions of agents, present as long as their heartbeats arrive.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_redis::redis::Pipeline;

use super::keys::{Keys, SESSION_SECONDS};
use super::link::RedisLink;
use crate::domain::time::At;
use crate::port::live::Presence;

/// Deletes a session, unless another socket has replaced it.
const DELETE_SESSION: &str = "\
if redis.call('HGET', KEYS[1], 'socket_id') == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0";

/// Writes the sessions of the agents that are connected to one gateway.
pub struct RedisPresence {
    link: Arc<RedisLink>,
    keys: Keys,
    /// Id of the gateway.
    node: String,
}

impl RedisPresence {
    #[must_use]
    pub fn new(link: Arc<RedisLink>, prefix: &str, node: &str) -> RedisPresence {
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

        // The next heartbeat writes the session again; the link reports failures.
        let _ = self.link.run::<()>(&mut pipeline).await;
    }

    async fn leave(&self, user: &str, socket: &str) {
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("EVAL")
            .arg(DELETE_SESSION)
            .arg(1)
            .arg(self.keys.session(user))
            .arg(socket);

        // A session that is not deleted expires without heartbeats; the link reports failures.
        let _ = self.link.run::<()>(&mut pipeline).await;
    }
}
