//! What a worker shows of its partition: written after every commit, a thousand commands at once,
//! never over something newer.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{Pipeline, Value};
use tokio::time::Instant;

use super::call::{Commands, Known, Writing};
use super::keys::{Keys, OWNER_SECONDS};
use super::link::Link;
use super::stream;
use crate::adapter::sql;
use crate::domain::fact::Site;
use crate::domain::record::CallRecord;
use crate::port::ledger::Changes;
use crate::port::live::LiveView;
use crate::wire::call_json;

/// How often somebody looks whether everything is still there while nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Calls shown again with one round trip.
const RESTORED_AT_ONCE: usize = 100;

/// The live view of one partition.
pub struct RedisLive {
    link: Arc<Link>,
    keys: Keys,
    part: String,
    /// Grows with event time: of two writers the one that knows more wins.
    version: AtomicI64,
    looked: Mutex<Option<Instant>>,
    known: Mutex<Known>,
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
            known: Mutex::default(),
            lost: AtomicBool::new(false),
        }
    }

    fn newest(&self, changes: &Changes) -> i64 {
        let facts = changes
            .facts
            .iter()
            .map(|received| received.fact.at.0)
            .max();
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing<'w>(
        &'w self,
        commands: &'w mut Commands,
        known: &'w mut Known,
        version: i64,
        again: bool,
    ) -> Writing<'w> {
        Writing {
            keys: &self.keys,
            part: &self.part,
            version,
            commands,
            known,
            again,
        }
    }

    /// One round trip after the other, whatever is answered.
    async fn run(&self, commands: Commands) -> Option<()> {
        for mut trip in commands.trips {
            self.link.run::<Value>(&mut trip).await?;
        }
        Some(())
    }

    fn commands(&self, changes: &Changes) -> Commands {
        let mut commands = Commands::default();
        // Says that everything of this partition is still here; where that was not said, it is not
        // said now. Answered with what was.
        commands
            .cmd("SET")
            .arg(self.keys.owner(&self.part))
            .arg(1)
            .arg("XX")
            .arg("EX")
            .arg(OWNER_SECONDS)
            .arg("GET");
        let mut known = self.known();
        let mut writing = self.writing(&mut commands, &mut known, self.newest(changes), false);
        for received in &changes.facts {
            writing.fact(&received.fact);
        }
        let calls = sql::latest_per_call(changes);
        for call in &calls {
            writing.call(&call.record, call.json(), call.is_final);
        }
        for call in &changes.withdrawn_calls {
            writing.withdraw(*call);
        }
        stream::entries(&mut commands, &self.keys, &changes.notifications, &calls);
        commands
    }
}

#[async_trait]
impl LiveView for RedisLive {
    async fn publish(&self, changes: &Changes) -> bool {
        if changes.is_empty() && !self.is_due() {
            return true;
        }
        let mut was_there = None;
        for mut trip in self.commands(changes).trips {
            let Some(answers) = self.link.run::<Value>(&mut trip).await else {
                // What was to be shown is missing there now.
                self.lost.store(true, Ordering::Release);
                self.known().forget();
                return true;
            };
            was_there.get_or_insert(
                matches!(answers.first(), Some(Ok(before)) if *before != Value::Nil),
            );
        }
        was_there == Some(true) && !self.lost.load(Ordering::Acquire)
    }

    async fn republish(&self, calls: &[CallRecord]) {
        let version = self.version.load(Ordering::Acquire);
        self.known().forget();
        if self.clear(calls).await.is_none() {
            return;
        }
        for some in calls.chunks(RESTORED_AT_ONCE) {
            let mut commands = Commands::default();
            for record in some {
                self.writing(&mut commands, &mut self.known(), version, true)
                    .call(record, &call_json::text(record), false);
            }
            if self.run(commands).await.is_none() {
                self.known().forget();
                return;
            }
        }
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("SET")
            .arg(self.keys.owner(&self.part))
            .arg(1)
            .arg("EX")
            .arg(OWNER_SECONDS);
        if self.link.run::<Value>(&mut pipeline).await.is_some() {
            self.lost.store(false, Ordering::Release);
            metrics::counter!("cordboard_live_restored_total").increment(1);
        }
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
    /// Takes away what is shown as going on and is over: its end was told while nobody could write
    /// it.
    async fn clear(&self, open: &[CallRecord]) -> Option<()> {
        let live = self.keys.live(&self.part);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("ZRANGE").arg(&live).arg(0).arg(-1);
        let shown: Vec<String> = self
            .link
            .run(&mut pipeline)
            .await?
            .pop()?
            .unwrap_or_default();
        let open: HashSet<String> = open.iter().map(|record| record.id.to_string()).collect();
        let over: Vec<String> = shown.into_iter().filter(|id| !open.contains(id)).collect();
        for some in over.chunks(RESTORED_AT_ONCE) {
            let mut pipeline = Pipeline::new();
            for id in some {
                pipeline.cmd("HGET").arg(self.keys.record(id)).arg("record");
            }
            let records = self.link.run::<Option<String>>(&mut pipeline).await?;
            let mut commands = Commands::default();
            for (id, record) in some.iter().zip(records) {
                commands.cmd("DEL").arg(self.keys.record(id));
                commands.cmd("ZREM").arg(&live).arg(id);
                let record = record
                    .ok()
                    .flatten()
                    .and_then(|text| serde_json::from_str::<Shown>(&text).ok());
                let Some(Shown { site, from, to }) = record else {
                    continue;
                };
                let Some(keys) = Site::parse(&site).map(|site| self.keys.of(&site)) else {
                    continue;
                };
                for remote in [from, to]
                    .into_iter()
                    .filter_map(|party| party.e164.or(party.number))
                {
                    commands.release(&keys.active(&remote), id);
                }
            }
            self.run(commands).await?;
        }
        Some(())
    }
}
