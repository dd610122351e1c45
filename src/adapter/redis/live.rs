//! What a worker shows of its partition: written after every commit, a thousand commands at once, never over something newer.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{Pipeline, Value};
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::time::Instant;

use super::keys::{
    CALL_SECONDS, HOUR_SECONDS, Keys, OVER_SECONDS, OWNER_SECONDS, RING_SECONDS, STREAM_ENTRIES, STREAM_SECONDS, TRANSFER_SECONDS,
};
use super::link::Link;
use super::stream;
use crate::adapter::sql;
use crate::domain::fact::{Fact, Kind, Site};
use crate::domain::record::{CallRecord, Direction, Participant};
use crate::domain::time::At;
use crate::domain::transfer::TransferState;
use crate::port::ledger::Changes;
use crate::port::live::LiveView;
use crate::wire::call_json::CallJson;
use crate::wire::instant;

/// How often somebody looks whether everything is still there while nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Commands of one round trip: as many as are answered well within the deadline.
const COMMANDS_AT_ONCE: usize = 1_000;
/// Calls shown again with one round trip.
const RESTORED_AT_ONCE: usize = 100;
/// Waiting for a decision; whoever reads them late finds the oldest gone.
const PENDING_MAX: i64 = 10_000;

/// Sets the fields of a hash unless it holds something newer; touches one key only.
const SET_IF_NEWER: &str = "local v = redis.call('HGET', KEYS[1], 'version')
if v and tonumber(v) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1";
/// Removes a claim unless another call has claimed the number since.
const RELEASE: &str = "if redis.call('HGET', KEYS[1], 'claimed_call_id') == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// The live view of one partition.
pub struct RedisLive {
    link: Arc<Link>,
    keys: Keys,
    part: String,
    /// Grows with event time: of two writers the one that knows more wins.
    version: AtomicI64,
    looked: Mutex<Option<Instant>>,
    /// What was shown last of each transfer under way.
    transfers: Mutex<HashMap<String, TransferState>>,
    /// Something could not be written: what is shown is not all.
    lost: AtomicBool,
}

impl RedisLive {
    #[must_use]
    pub fn new(link: Arc<Link>, prefix: &str, part: &str) -> RedisLive {
        RedisLive {
            link,
            keys: Keys(prefix.to_owned()),
            part: part.to_owned(),
            version: AtomicI64::new(0),
            looked: Mutex::default(),
            transfers: Mutex::default(),
            lost: AtomicBool::new(false),
        }
    }

    fn newest(&self, changes: &Changes) -> i64 {
        let facts = changes.facts.iter().map(|received| received.fact.at.0).max();
        let now = facts.max(changes.watermark.map(|at| at.0)).unwrap_or(0);
        self.version.fetch_max(now, Ordering::AcqRel).max(now)
    }

    /// Whether it is time to look, although nothing changed.
    fn is_due(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if due {
            *looked = Some(Instant::now());
        }
        due
    }

    /// Says that everything of this partition is still here; where that was not said, it is not said now. Answered with what was.
    fn keep(&self, pipeline: &mut Pipeline) {
        pipeline.cmd("SET").arg(self.keys.owner(&self.part)).arg(1).arg("XX").arg("EX").arg(OWNER_SECONDS).arg("GET");
    }
}

impl LiveView for RedisLive {
    fn show<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            if changes.is_empty() && !self.is_due() {
                return true;
            }
            let version = self.newest(changes);
            let mut pipeline = Pipeline::new();
            self.keep(&mut pipeline);
            for received in &changes.facts {
                self.fact(&mut pipeline, &received.fact);
            }
            for (record, _) in sql::last_words(changes) {
                self.call(&mut pipeline, record, version);
            }
            for call in &changes.withdrawn {
                self.withdraw(&mut pipeline, &call.to_string());
            }
            for news in &changes.news {
                stream::entry(&mut pipeline, &self.keys, news, STREAM_ENTRIES, STREAM_SECONDS);
            }
            let commands: Vec<_> = pipeline.cmd_iter().collect();
            let mut was_there = true;
            for (place, some) in commands.chunks(COMMANDS_AT_ONCE).enumerate() {
                let mut pipeline = Pipeline::new();
                for command in some {
                    pipeline.add_command((*command).clone());
                }
                let Some(answers) = self.link.run::<Value>(&mut pipeline).await else {
                    // What was to be shown is missing there now.
                    self.lost.store(true, Ordering::Release);
                    return true;
                };
                if place == 0 {
                    was_there = matches!(answers.first(), Some(Ok(before)) if *before != Value::Nil);
                }
            }
            was_there && !self.lost.load(Ordering::Acquire)
        })
    }

    fn restore<'a>(&'a self, calls: &'a [CallRecord]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let version = self.version.load(Ordering::Acquire);
            if self.clear(calls).await.is_none() {
                return;
            }
            for some in calls.chunks(RESTORED_AT_ONCE) {
                let mut pipeline = Pipeline::new();
                for record in some {
                    self.call(&mut pipeline, record, version);
                }
                if self.link.run::<Value>(&mut pipeline).await.is_none() {
                    return;
                }
            }
            let mut pipeline = Pipeline::new();
            pipeline.cmd("SET").arg(self.keys.owner(&self.part)).arg(1).arg("EX").arg(OWNER_SECONDS);
            if self.link.run::<Value>(&mut pipeline).await.is_some() {
                self.lost.store(false, Ordering::Release);
                metrics::counter!("cordboard_live_restored_total").increment(1);
            }
        })
    }
}

/// What is read of a record that is shown and out of date.
#[derive(serde::Deserialize)]
struct Shown {
    site: String,
    from: Numbers,
    to: Numbers,
}

#[derive(serde::Deserialize)]
struct Numbers {
    number: Option<String>,
    e164: Option<String>,
}

impl RedisLive {
    /// Takes away what is shown as going on and is over: its end was told while nobody could write it.
    async fn clear(&self, open: &[CallRecord]) -> Option<()> {
        let live = self.keys.live(&self.part);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("ZRANGE").arg(&live).arg(0).arg(-1);
        let shown: Vec<String> = self.link.run(&mut pipeline).await?.pop()?.unwrap_or_default();
        let open: HashSet<String> = open.iter().map(|record| record.id.to_string()).collect();
        let over: Vec<String> = shown.into_iter().filter(|id| !open.contains(id)).collect();
        for some in over.chunks(RESTORED_AT_ONCE) {
            let mut pipeline = Pipeline::new();
            for id in some {
                pipeline.cmd("HGET").arg(self.keys.record(id)).arg("record");
            }
            let records = self.link.run::<Option<String>>(&mut pipeline).await?;
            let mut pipeline = Pipeline::new();
            for (id, record) in some.iter().zip(records) {
                pipeline.cmd("DEL").arg(self.keys.record(id));
                pipeline.cmd("ZREM").arg(&live).arg(id);
                let record = record.ok().flatten().and_then(|text| serde_json::from_str::<Shown>(&text).ok());
                let Some(Shown { site, from, to }) = record else { continue };
                let Some(keys) = Site::parse(&site).map(|site| self.keys.of(&site)) else { continue };
                for remote in [from, to].into_iter().filter_map(|party| party.e164.or(party.number)) {
                    pipeline.cmd("EVAL").arg(RELEASE).arg(1).arg(keys.active(&remote)).arg(id);
                }
            }
            self.link.run::<Value>(&mut pipeline).await?;
        }
        Some(())
    }

    fn fact(&self, pipeline: &mut Pipeline, fact: &Fact) {
        let keys = self.keys.of(&fact.site);
        let Some(remote) = fact.remote.as_ref().map(|number| number.e164().unwrap_or(number.raw())).filter(|remote| !remote.is_empty())
        else {
            return;
        };
        if matches!(fact.kind, Kind::Incoming | Kind::Outgoing | Kind::Answered) {
            set(pipeline, &keys.reported(&fact.device.to_string(), remote), "1", RING_SECONDS);
        }
    }

    fn call(&self, pipeline: &mut Pipeline, record: &CallRecord, version: i64) {
        let (keys, id) = (self.keys.of(&record.site), record.id.to_string());
        let live = record.ended_at.is_none();
        let text = serde_json::to_string(&CallJson::of(record)).unwrap_or_default();
        let ttl = if live { CALL_SECONDS } else { OVER_SECONDS };
        set_if_newer(pipeline, &self.keys.record(&id), version, ttl, &[("record", &text)]);
        if live {
            pipeline.cmd("ZADD").arg(self.keys.live(&self.part)).arg(record.started_at.0 / 1_000_000).arg(&id);
        } else {
            pipeline.cmd("ZREM").arg(self.keys.live(&self.part)).arg(&id);
        }
        set(pipeline, &keys.direction(&id), direction_word(record.direction), HOUR_SECONDS);
        if let Some(link) = record.links.first() {
            set(pipeline, &keys.parent(&id), &link.call.to_string(), HOUR_SECONDS);
        }
        let rang = record.participants.iter().filter_map(|participant| participant.rang_at).min();
        if let Some(rang) = rang.filter(|_| live) {
            set(pipeline, &keys.ring(&id), &seconds(rang), RING_SECONDS);
        }
        for remote in outside(record) {
            let active = keys.active(remote);
            if live {
                let answered = if record.answered_at.is_some() { "1" } else { "0" };
                let fields = [("claimed_call_id", &*id), ("timestamp", &seconds(record.started_at)), ("answered", answered)];
                set_if_newer(pipeline, &active, version, CALL_SECONDS, &fields);
                if let Some(rang) = rang {
                    set(pipeline, &keys.ring_remote(remote), &seconds(rang), RING_SECONDS);
                }
            } else {
                pipeline.cmd("EVAL").arg(RELEASE).arg(1).arg(&active).arg(&id);
            }
            self.fingerprint(pipeline, &keys, record, remote);
        }
        pending(pipeline, &keys, record, &id);
        self.transfer(pipeline, &keys, record, &id);
    }

    /// A conversation that was held, handed over or just ended may go on elsewhere.
    fn fingerprint(&self, pipeline: &mut Pipeline, keys: &Keys, record: &CallRecord, remote: &str) {
        let moving = record.answered_at.is_some() && (record.ended_at.is_some() || record.transfer.is_some());
        if !moving {
            return;
        }
        let at = record.ended_at.unwrap_or(At(self.version.load(Ordering::Acquire)));
        let by = record.answered_by.as_ref().and_then(|owner| owner.extension.as_ref());
        let print = json!({
            "call_id": record.id.to_string(),
            "remote": remote,
            "extension": by.map(crate::domain::device::Extension::as_str),
            "timestamp": seconds(at),
        })
        .to_string();
        let all = keys.transfers();
        pipeline.cmd("ZADD").arg(&all).arg(seconds(at)).arg(&print);
        pipeline.cmd("ZREMRANGEBYSCORE").arg(&all).arg("-inf").arg(seconds(At(at.0 - TRANSFER_SECONDS * 1_000_000)));
        pipeline.cmd("EXPIRE").arg(&all).arg(TRANSFER_SECONDS);
        set(pipeline, &keys.transfer(remote), &print, TRANSFER_SECONDS);
    }

    fn withdraw(&self, pipeline: &mut Pipeline, id: &str) {
        pipeline.cmd("DEL").arg(self.keys.record(id));
        pipeline.cmd("ZREM").arg(self.keys.live(&self.part)).arg(id);
    }

    /// What is known of a transfer while it is under way, and its end as an event. Both of its keys are written and cleared together.
    fn transfer(&self, pipeline: &mut Pipeline, keys: &Keys, record: &CallRecord, call: &str) {
        let Some(transfer) = &record.transfer else { return };
        let id = format!("{call}-t");
        let before = {
            let mut known = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
            let before = known.get(&id).copied();
            if transfer.state.is_under_way() {
                known.insert(id.clone(), transfer.state)
            } else {
                known.remove(&id)
            };
            before
        };
        let (context, by_call) = (keys.transfer_context(&id), keys.transfer_by_call(call));
        if transfer.state.is_under_way() {
            let text = stream::transfer_context(&id, call, transfer.to.as_deref(), record.started_at);
            set(pipeline, &context, &text, HOUR_SECONDS);
            set(pipeline, &by_call, &id, HOUR_SECONDS);
        } else if before.is_some() {
            pipeline.cmd("DEL").arg(&context);
            pipeline.cmd("DEL").arg(&by_call);
        }
        let kind = match (before, transfer.state) {
            (before, TransferState::Answered) if before != Some(TransferState::Answered) => "destination_answered",
            (Some(TransferState::Initiated | TransferState::Ringing), TransferState::Completed) => "destination_answered",
            (Some(_), TransferState::Cancelled | TransferState::Failed | TransferState::Abandoned) => "transfer_failed",
            _ => return,
        };
        let at = At(self.version.load(Ordering::Acquire));
        let event = stream::transfer_event(kind, &id, call, transfer, at);
        pipeline.cmd("PUBLISH").arg(keys.transfer_events(&id)).arg(event);
    }
}

/// A call of which it is not decided yet whether somebody missed it.
fn pending(pipeline: &mut Pipeline, keys: &Keys, record: &CallRecord, id: &str) {
    let (schedule, queue) = (keys.missed_schedule(), keys.missed_queue());
    pipeline.cmd("LREM").arg(&queue).arg(0).arg(id);
    if let Some(due) = record.missed_due {
        pipeline.cmd("ZADD").arg(&schedule).arg(seconds(due)).arg(id);
        pipeline.cmd("RPUSH").arg(&queue).arg(id);
        pipeline.cmd("LTRIM").arg(&queue).arg(-PENDING_MAX).arg(-1);
        pipeline.cmd("EXPIRE").arg(&schedule).arg(HOUR_SECONDS);
        pipeline.cmd("EXPIRE").arg(&queue).arg(HOUR_SECONDS);
    } else {
        pipeline.cmd("ZREM").arg(&schedule).arg(id);
    }
}

/// The direction in the words of this key.
fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
        Direction::Internal => "internal",
    }
}

/// The parties that are none of ours, as other programs ask for them.
fn outside(record: &CallRecord) -> impl Iterator<Item = &str> {
    let ours =
        |party: &str| record.participants.iter().any(|who: &Participant| who.extension.as_ref().is_some_and(|own| own.as_str() == party));
    let parties = [&record.from, &record.to];
    let shown = parties.into_iter().filter_map(|party| party.e164.as_deref().or(party.number.as_deref()));
    shown.filter(move |party| !party.is_empty() && !ours(party))
}

fn set(pipeline: &mut Pipeline, key: &str, value: &str, ttl: i64) {
    pipeline.cmd("SET").arg(key).arg(value).arg("EX").arg(ttl);
}

fn set_if_newer(pipeline: &mut Pipeline, key: &str, version: i64, ttl: i64, fields: &[(&str, &str)]) {
    let command = pipeline.cmd("EVAL").arg(SET_IF_NEWER).arg(1).arg(key).arg(version).arg(ttl);
    for (name, value) in fields {
        command.arg(*name).arg(*value);
    }
}

/// Seconds since the epoch with milliseconds behind the point.
fn seconds(at: At) -> String {
    format!("{}.{:03}", at.0.div_euclid(1_000_000), at.0.rem_euclid(1_000_000) / 1_000)
}

/// The day of an instant, by UTC.
pub(super) fn day(at: At) -> String {
    instant::text(at)[..10].to_owned()
}
