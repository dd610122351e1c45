//! The event logs for the gateway: events of other programs are appended, moved to their site, and
//! read with those of phones.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_redis::redis::{FromRedisValue, Pipeline, Value};

use super::commands::Commands;
use super::keys::{Keys, STREAM_ENTRIES, STREAM_MOVER_SECONDS, STREAM_SECONDS};
use super::link::RedisLink;
use super::stream::{self, CALL, DATA, EVENT_TYPE, Fields, PROVIDER, TIMESTAMP};
use crate::domain::time::{At, Span};
use crate::port::event_log::{DayLog, EventLog, LoggedEvent, PENDING, StoredEvent, Stretch};
use crate::wire::instant;

/// Entries of one round trip: each may hold a record.
const ENTRIES_AT_ONCE: usize = 100;
/// Entries that are looked at for those of one call.
const LOOKED_AT_MAX: usize = 200_000;
const DAY: Span = Span::seconds(86_400);
/// An event is at most so much later than its entry.
const AHEAD: Span = Span::seconds(60);

/// Moves an entry to another log, if it is still there: two gateways may find it.
const MOVE: &str = "\
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then
    return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, 5))
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('SADD', KEYS[3], ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[3])
return 1";

/// An entry as the server sends it: its id and its fields.
type Entry = (String, HashMap<String, Vec<u8>>);

/// Appends to the logs and reads them.
pub struct RedisEventLog {
    link: Arc<RedisLink>,
    keys: Keys,
    /// Id of the gateway.
    node: String,
}

impl RedisEventLog {
    #[must_use]
    pub fn new(link: Arc<RedisLink>, prefix: &str, node: &str) -> RedisEventLog {
        RedisEventLog {
            link,
            keys: Keys(prefix.to_owned()),
            node: node.to_owned(),
        }
    }

    /// Runs commands; `None` when one of them is refused or not answered.
    async fn run_all(&self, commands: Commands) -> Option<()> {
        for mut pipeline in commands.pipelines {
            let answers = self.link.run::<Value>(&mut pipeline).await?;
            if answers.iter().any(Result::is_err) {
                return None;
            }
        }
        Some(())
    }

    async fn ask<T: FromRedisValue>(&self, mut pipeline: Pipeline) -> Option<T> {
        self.link.run::<T>(&mut pipeline).await?.pop()?.ok()
    }

    /// The newest entries of one key, the newest first.
    async fn newest(&self, key: &str, stretch: Stretch<'_>) -> Option<Vec<StoredEvent>> {
        let first = (stretch.since - AHEAD)
            .0
            .div_euclid(1_000)
            .max(0)
            .to_string();
        let mut last = "+".to_owned();
        let mut found = Vec::new();
        let (mut looked_at, mut bytes) = (0, 0);

        while found.len() < stretch.max && bytes < stretch.bytes_max && looked_at < LOOKED_AT_MAX {
            let mut pipeline = Pipeline::new();
            pipeline
                .cmd("XREVRANGE")
                .arg(key)
                .arg(&last)
                .arg(&first)
                .arg("COUNT")
                .arg(ENTRIES_AT_ONCE);
            let entries = self.ask::<Vec<Entry>>(pipeline).await?;
            let Some((oldest, _)) = entries.last() else {
                break;
            };

            last = format!("({oldest}");
            looked_at += entries.len();
            for stored in entries.into_iter().filter_map(stored_event) {
                let event = &stored.event;
                if stretch.call.is_none_or(|call| event.call_id == call)
                    && event.at >= stretch.since
                    && found.len() < stretch.max
                {
                    bytes += event.data.len();
                    found.push(stored);
                }
            }
        }

        Some(found)
    }
}

/// The place of an entry among all: its milliseconds, and its number in them.
fn place(id: &str) -> (u64, u64) {
    let (milliseconds, number) = id.split_once('-').unwrap_or((id, "0"));

    (
        milliseconds.parse().unwrap_or_default(),
        number.parse().unwrap_or_default(),
    )
}

fn fields_of<'e>(event: &'e LoggedEvent, log: &'e str) -> Fields<'e> {
    Fields {
        event_type: &event.event_type,
        call: &event.call_id,
        log,
        at: event.at,
        data: &event.data,
    }
}

/// An entry as an event; `None` for one of another form.
fn stored_event((id, fields): Entry) -> Option<StoredEvent> {
    let text = |name: &str| std::str::from_utf8(fields.get(name)?).ok();

    Some(StoredEvent {
        event: LoggedEvent {
            event_type: text(EVENT_TYPE)?.to_owned(),
            call_id: text(CALL)?.to_owned(),
            log: text(PROVIDER)?.to_owned(),
            at: instant::parse(text(TIMESTAMP)?).ok()?,
            data: text(DATA)?.into(),
        },
        id,
    })
}

#[async_trait]
impl EventLog for RedisEventLog {
    async fn append(&self, events: &[LoggedEvent]) -> Option<()> {
        let mut commands = Commands::default();
        for event in events {
            let fields = fields_of(event, &event.log);
            let key = stream::append(&mut commands, &self.keys, &fields);
            commands.cmd("EXPIRE").arg(key).arg(STREAM_SECONDS);
            if event.log != PENDING {
                let sites = self.keys.stream_sites();
                commands.cmd("SADD").arg(&sites).arg(&event.log);
                commands.cmd("EXPIRE").arg(sites).arg(STREAM_SECONDS);
            }
        }

        self.run_all(commands).await
    }

    async fn read(&self, stretch: Stretch<'_>) -> Option<Vec<StoredEvent>> {
        let Stretch { log, since, .. } = stretch;
        let mut found: Vec<StoredEvent> = Vec::new();
        let mut day = stretch.now;
        loop {
            let key = stream::key_of(&self.keys, log, day);
            let bytes: usize = found.iter().map(|stored| stored.event.data.len()).sum();
            let left = Stretch {
                max: stretch.max - found.len(),
                bytes_max: stretch.bytes_max.saturating_sub(bytes),
                ..stretch
            };
            found.extend(self.newest(&key, left).await?);
            let is_first = key == stream::key_of(&self.keys, log, since);
            if found.len() >= stretch.max || is_first || day <= since {
                break;
            }
            day = (day - DAY).max(since);
        }

        found.reverse();
        found.sort_by_key(|stored| stored.event.at);
        Some(found)
    }

    async fn pending(
        &self,
        after: Option<&str>,
        since: At,
        now: At,
        max: usize,
    ) -> Option<Vec<StoredEvent>> {
        let first = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let days = std::iter::successors(Some(since), |day| Some(*day + DAY));
        let days = days.take_while(|day| *day < now).chain([now]);
        let mut keys: Vec<String> = days
            .map(|day| stream::key_of(&self.keys, PENDING, day))
            .collect();
        keys.dedup();

        let mut found = Vec::new();
        for key in keys {
            let mut pipeline = Pipeline::new();
            pipeline
                .cmd("XRANGE")
                .arg(key)
                .arg(&first)
                .arg("+")
                .arg("COUNT")
                .arg(max);
            let entries = self.ask::<Vec<Entry>>(pipeline).await?;
            found.extend(entries.into_iter().filter_map(stored_event));
        }
        found.sort_by_key(|stored| place(&stored.id));
        found.truncate(max);
        Some(found)
    }

    async fn sites(&self) -> Option<Vec<String>> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SMEMBERS").arg(self.keys.stream_sites());

        self.ask(pipeline).await
    }

    async fn assign(&self, pending: &StoredEvent, site: &str) -> Option<()> {
        let event = &pending.event;
        let target = stream::key_of(&self.keys, site, event.at);
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("EVAL")
            .arg(MOVE)
            .arg(3)
            .arg(stream::key_of(&self.keys, PENDING, event.at))
            .arg(target)
            .arg(self.keys.stream_sites())
            .arg(&pending.id)
            .arg(site)
            .arg(STREAM_SECONDS)
            .arg(STREAM_ENTRIES)
            .arg(&fields_of(event, site).named(&instant::text(event.at)));

        self.ask::<i64>(pipeline).await.map(drop)
    }

    async fn may_assign(&self) -> bool {
        let key = self.keys.stream_mover();
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("SET")
            .arg(&key)
            .arg(&self.node)
            .arg("NX")
            .arg("EX")
            .arg(STREAM_MOVER_SECONDS);
        pipeline.cmd("GET").arg(&key);
        let answers = self.link.run::<Option<String>>(&mut pipeline).await;
        let holder = answers.and_then(|mut answers| answers.pop()?.ok()?);

        holder.is_some_and(|holder| holder == self.node)
    }

    async fn day(&self, log: &str, at: At) -> Option<DayLog> {
        let key = stream::key_of(&self.keys, log, at);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("XLEN").arg(&key);
        pipeline.cmd("TTL").arg(&key);
        let answers = self.link.run::<i64>(&mut pipeline).await?;
        let mut numbers = answers.into_iter().map(Result::ok);
        let (entries, expires_in) = (numbers.next()??, numbers.next()??);

        // TTL is -2 where there is no such key, and -1 for one without an end.
        (expires_in != -2).then(|| DayLog {
            key,
            entries: u64::try_from(entries).unwrap_or_default(),
            expires_in: u64::try_from(expires_in).ok(),
        })
    }

    async fn try_out(&self, event: &LoggedEvent) -> Option<Option<StoredEvent>> {
        self.append(std::slice::from_ref(event)).await?;
        let stretch = Stretch {
            log: &event.log,
            since: event.at,
            now: event.at,
            call: None,
            max: 1,
            bytes_max: usize::MAX,
        };
        let found = self.read(stretch).await?.pop();

        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("DEL")
            .arg(stream::key_of(&self.keys, &event.log, event.at));
        self.ask::<i64>(pipeline).await?;
        Some(found)
    }
}
