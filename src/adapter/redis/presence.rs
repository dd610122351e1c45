//! Who is there: the sessions of agents, for as long as their heartbeats come.

use std::sync::Arc;

use deadpool_redis::redis::Pipeline;
use futures_util::future::BoxFuture;

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

impl Presence for RedisPresence {
    fn heartbeat<'a>(&'a self, user: &'a str, socket: &'a str, now: At) -> BoxFuture<'a, ()> {
        Box::pin(async move {
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
        })
    }

    fn leave<'a>(&'a self, user: &'a str, socket: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut pipeline = Pipeline::new();
            pipeline
                .cmd("EVAL")
                .arg(LEAVE)
                .arg(1)
                .arg(self.keys.session(user))
                .arg(socket);
            let _gone = self.link.run::<()>(&mut pipeline).await;
        })
    }
}
