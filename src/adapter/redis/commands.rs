//! Redis commands in their order, split into pipelines of one round trip each. Every script touches
//! one key only.

use deadpool_redis::redis::Pipeline;

use super::keys::{CALL_SECONDS, Keys};
use crate::domain::time::At;

/// Commands of one round trip; Redis answers so many well within the deadline.
const PIPELINE_COMMANDS_MAX: usize = 1_000;

/// Sets the fields of a hash and its expiry, unless the hash has a newer version.
const SET_IF_NEWER: &str = "\
local v = redis.call('HGET', KEYS[1], 'version')
if v and tonumber(v) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1";

/// Deletes a claim, unless another call has claimed the number since.
const RELEASE_CLAIM: &str = "\
if redis.call('HGET', KEYS[1], 'claimed_call_id') == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0";

/// Deletes a string, unless another value has replaced it.
const DELETE_IF_EQUAL: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0";

#[derive(Default)]
pub(super) struct Commands {
    pub pipelines: Vec<Pipeline>,
    /// Commands in the last pipeline.
    last_len: usize,
}

impl Commands {
    /// Begins a command. Its arguments are appended to the returned pipeline.
    pub(super) fn cmd(&mut self, name: &str) -> &mut Pipeline {
        if self.pipelines.is_empty() || self.last_len == PIPELINE_COMMANDS_MAX {
            self.pipelines
                .push(Pipeline::with_capacity(PIPELINE_COMMANDS_MAX));
            self.last_len = 0;
        }

        self.last_len += 1;
        let last = self.pipelines.len() - 1;
        self.pipelines[last].cmd(name)
    }

    /// The pipeline of the last command, and its position there.
    pub(super) fn last_place(&self) -> (usize, usize) {
        (
            self.pipelines.len().saturating_sub(1),
            self.last_len.saturating_sub(1),
        )
    }

    /// Sets a string with an expiry.
    pub(super) fn set(&mut self, key: &str, value: &str, ttl_seconds: i64) {
        self.cmd("SET")
            .arg(key)
            .arg(value)
            .arg("EX")
            .arg(ttl_seconds);
    }

    /// Sets a string with an expiry where there is none.
    pub(super) fn set_if_absent(&mut self, key: &str, value: &str, ttl_seconds: i64) {
        self.cmd("SET")
            .arg(key)
            .arg(value)
            .arg("NX")
            .arg("EX")
            .arg(ttl_seconds);
    }

    /// Deletes a string, unless another value has replaced it.
    pub(super) fn delete_if_equal(&mut self, key: &str, value: &str) {
        self.cmd("EVAL")
            .arg(DELETE_IF_EQUAL)
            .arg(1)
            .arg(key)
            .arg(value);
    }

    /// Adds a call to the open calls of its site, or removes it.
    pub(super) fn set_active(&mut self, keys: &Keys, call: &str, is_active: bool) {
        let key = keys.active_calls();

        if is_active {
            self.cmd("SADD").arg(&key).arg(call);
            self.cmd("EXPIRE").arg(key).arg(CALL_SECONDS);
        } else {
            self.cmd("SREM").arg(key).arg(call);
        }
    }

    /// Sets fields of a hash, unless it has a newer version.
    pub(super) fn set_if_newer(
        &mut self,
        key: &str,
        version: i64,
        ttl_seconds: i64,
        fields: &[(&str, &str)],
    ) {
        let command = self
            .cmd("EVAL")
            .arg(SET_IF_NEWER)
            .arg(1)
            .arg(key)
            .arg(version)
            .arg(ttl_seconds);

        for (name, value) in fields {
            command.arg(*name).arg(*value);
        }
    }

    /// Deletes a call's claim on a number, unless another call has claimed the number since.
    pub(super) fn release_claim(&mut self, key: &str, call: &str) {
        self.cmd("EVAL")
            .arg(RELEASE_CLAIM)
            .arg(1)
            .arg(key)
            .arg(call);
    }
}

/// Formats an instant as seconds since the epoch with three decimals.
pub(super) fn seconds_text(at: At) -> String {
    format!(
        "{}.{:03}",
        at.0.div_euclid(1_000_000),
        at.0.rem_euclid(1_000_000) / 1_000
    )
}
