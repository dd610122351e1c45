//! Publication of a partition's calls by its worker: written after every commit, in pipelines of a
//! thousand commands, never over newer data.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{Pipeline, RedisResult, Value};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::call::LiveWriter;
use super::commands::Commands;
use super::keys::{Keys, PARTITION_MARKER_SECONDS};
use super::link::RedisLink;
use super::published::PublishedCalls;
use super::stream;
use crate::domain::fact::Site;
use crate::domain::record::CallRecord;
use crate::port::ledger::Changes;
use crate::port::live::LiveView;
use crate::wire::call_json;

/// How often the marker of the partition is renewed and checked while no call changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// Calls that are republished or removed with one round trip.
const CALLS_PER_PIPELINE: usize = 100;

/// The live view of one partition.
pub struct RedisLive {
    link: Arc<RedisLink>,
    keys: Keys,
    partition: String,
    /// Event time of the latest update. Versions grow with it, so the writer with newer data wins.
    version: AtomicI64,
    checked_at: Mutex<Option<Instant>>,
    published: Mutex<PublishedCalls>,
    /// A write has failed: the published calls are not all calls.
    is_incomplete: AtomicBool,
    lost: stream::Lost,
}

impl RedisLive {
    #[must_use]
    pub fn new(link: Arc<RedisLink>, prefix: &str, partition: &str) -> RedisLive {
        RedisLive {
            link,
            keys: Keys(prefix.to_owned()),
            partition: partition.to_owned(),
            version: AtomicI64::new(0),
            checked_at: Mutex::default(),
            published: Mutex::default(),
            is_incomplete: AtomicBool::new(false),
            lost: stream::Lost::default(),
        }
    }

    /// Advances the version to the event time of the changes.
    fn advance_version(&self, changes: &Changes) -> i64 {
        let last_fact = changes
            .facts
            .iter()
            .map(|received| received.fact.at.0)
            .max();
        let now = last_fact.max(changes.watermark.map(|at| at.0)).unwrap_or(0);

        self.version.fetch_max(now, Ordering::AcqRel).max(now)
    }

    /// Whether the marker must be checked although no call has changed.
    fn is_check_due(&self) -> bool {
        let mut checked_at = self.checked_at.lock();
        let is_due = checked_at.is_none_or(|at| at.elapsed() >= CHECK_INTERVAL);

        if is_due {
            *checked_at = Some(Instant::now());
        }
        is_due
    }

    fn writer<'w>(
        &'w self,
        commands: &'w mut Commands,
        published: &'w mut PublishedCalls,
        version: i64,
        is_republication: bool,
    ) -> LiveWriter<'w> {
        LiveWriter {
            keys: &self.keys,
            partition: &self.partition,
            version,
            commands,
            published,
            is_republication,
        }
    }

    /// Runs all pipelines in order; a failed command fails alone. Returns `None` when Redis does
    /// not answer, or takes nothing.
    async fn run_all(&self, commands: Commands) -> Option<()> {
        for mut pipeline in commands.pipelines {
            let answers = self.link.run::<Value>(&mut pipeline).await?;
            if is_refused(&answers) {
                return None;
            }
        }
        Some(())
    }

    /// Look-ups read the ledger until all open calls are published again. A server without room for
    /// a change still deletes; one that does not answer loses the marker by itself.
    async fn remove_marker(&self) {
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("DEL")
            .arg(self.keys.partition_marker(&self.partition));

        let _ = self.link.run::<i64>(&mut pipeline).await;
    }

    /// Builds the commands that publish a commit, and the places of those that append to a log.
    fn build_commands(&self, changes: &Changes, is_check: bool) -> (Commands, Vec<stream::Entry>) {
        let mut commands = Commands::default();

        // Renews the marker of the partition, but does not create a lost one. The answer is its
        // earlier value.
        commands
            .cmd("SET")
            .arg(self.keys.partition_marker(&self.partition))
            .arg(1)
            .arg("XX")
            .arg("EX")
            .arg(PARTITION_MARKER_SECONDS)
            .arg("GET");
        if is_check {
            commands
                .cmd("ZCARD")
                .arg(self.keys.live_calls(&self.partition));
        }

        let calls = changes.latest_calls();
        let mut published = self.published.lock();
        let version = self.advance_version(changes);
        let mut writer = self.writer(&mut commands, &mut published, version, false);
        for received in &changes.facts {
            writer.write_fact(&received.fact);
        }
        for call in &calls {
            writer.write_call(&call.record, call.json(), call.is_final);
        }
        for call in &changes.withdrawn_calls {
            writer.withdraw_call(*call);
        }

        let entries =
            stream::append_entries(&mut commands, &self.keys, &changes.notifications, &calls);
        (commands, entries)
    }
}

#[async_trait]
impl LiveView for RedisLive {
    async fn publish(&self, changes: &Changes) -> bool {
        let is_check = self.is_check_due();
        if changes.is_empty() && !is_check {
            return true;
        }

        let open = is_check.then(|| self.published.lock().open());
        let mut had_marker = None;
        let (commands, entries) = self.build_commands(changes, is_check);
        for (index, mut pipeline) in commands.pipelines.into_iter().enumerate() {
            let answers = self.link.run::<Value>(&mut pipeline).await;
            self.lost.report(&entries, index, answers.as_deref());
            let Some(answers) = answers.filter(|answers| !is_refused(answers)) else {
                // Redis lacks these changes now.
                self.is_incomplete.store(true, Ordering::Release);
                self.published.lock().invalidate();
                self.remove_marker().await;
                return true;
            };

            // The first command renewed the marker, and the second counted the open calls.
            let counted = open.filter(|_| had_marker.is_none()).zip(answers.get(1));
            if counted.is_some_and(|(open, listed)| differs(listed, open)) {
                self.is_incomplete.store(true, Ordering::Release);
                self.published.lock().invalidate();
            }
            had_marker.get_or_insert(
                matches!(answers.first(), Some(Ok(before)) if *before != Value::Nil),
            );
        }

        had_marker == Some(true) && !self.is_incomplete.load(Ordering::Acquire)
    }

    async fn republish(&self, calls: &[CallRecord]) {
        let version = self.version.load(Ordering::Acquire);
        self.published.lock().invalidate();
        if self.remove_closed_calls(calls).await.is_none() {
            return;
        }

        for chunk in calls.chunks(CALLS_PER_PIPELINE) {
            let mut commands = Commands::default();
            for record in chunk {
                self.writer(&mut commands, &mut self.published.lock(), version, true)
                    .write_call(record, &call_json::text(record), false);
            }

            if self.run_all(commands).await.is_none() {
                self.published.lock().invalidate();
                return;
            }
        }

        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("SET")
            .arg(self.keys.partition_marker(&self.partition))
            .arg(1)
            .arg("EX")
            .arg(PARTITION_MARKER_SECONDS);
        let marked = self.link.run::<Value>(&mut pipeline).await;
        if marked.is_some_and(|answers| !is_refused(&answers)) {
            self.is_incomplete.store(false, Ordering::Release);
            metrics::counter!("cordboard_live_restored_total").increment(1);
        }
    }
}

/// Whether Redis refused a command for a reason that is not in its key: it is full, or takes no
/// writes now.
fn is_refused(answers: &[RedisResult<Value>]) -> bool {
    const OF_SERVER: [&str; 7] = [
        "OOM",
        "READONLY",
        "MISCONF",
        "LOADING",
        "BUSY",
        "MASTERDOWN",
        "NOREPLICAS",
    ];

    answers
        .iter()
        .filter_map(|answer| answer.as_ref().err()?.code())
        .any(|code| OF_SERVER.contains(&code))
}

/// Whether other calls are listed than were published: some are lost, or an owner that was replaced
/// has listed what it committed before.
fn differs(listed: &RedisResult<Value>, published: usize) -> bool {
    let listed = match listed {
        Ok(Value::Int(listed)) => usize::try_from(*listed).unwrap_or_default(),
        // A key of another type is not Cordboard's.
        _ => return false,
    };

    listed != published
}

/// The fields of a published record that name the claims of its call.
#[derive(serde::Deserialize)]
struct StaleRecord {
    site: String,
    from: PartyNumbers,
    to: PartyNumbers,
}

#[derive(serde::Deserialize)]
struct PartyNumbers {
    number: Option<String>,
    e164: Option<String>,
}

impl RedisLive {
    /// Removes calls that Redis lists as open and that have ended: their ends were committed while
    /// Redis could not be written.
    async fn remove_closed_calls(&self, open: &[CallRecord]) -> Option<()> {
        let key = self.keys.live_calls(&self.partition);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("ZRANGE").arg(&key).arg(0).arg(-1);
        let listed: Vec<String> = self
            .link
            .run(&mut pipeline)
            .await?
            .pop()?
            .unwrap_or_default();

        let open: HashSet<String> = open.iter().map(|record| record.id.to_string()).collect();
        let closed: Vec<String> = listed.into_iter().filter(|id| !open.contains(id)).collect();
        for ids in closed.chunks(CALLS_PER_PIPELINE) {
            self.remove_calls(ids).await?;
        }
        Some(())
    }

    /// Removes records, index entries and claims of calls.
    async fn remove_calls(&self, ids: &[String]) -> Option<()> {
        let mut pipeline = Pipeline::new();
        for id in ids {
            pipeline.cmd("HGET").arg(self.keys.record(id)).arg("record");
        }
        let records = self.link.run::<Option<String>>(&mut pipeline).await?;

        let mut commands = Commands::default();
        for (id, record) in ids.iter().zip(records) {
            commands.cmd("DEL").arg(self.keys.record(id));
            commands
                .cmd("ZREM")
                .arg(self.keys.live_calls(&self.partition))
                .arg(id);

            let record = record
                .ok()
                .flatten()
                .and_then(|json| serde_json::from_str::<StaleRecord>(&json).ok());
            if let Some(record) = record {
                self.release_claims(&mut commands, id, record);
            }
        }

        self.run_all(commands).await
    }

    fn release_claims(&self, commands: &mut Commands, id: &str, record: StaleRecord) {
        let Some(site) = Site::parse(&record.site) else {
            return;
        };
        let keys = self.keys.of_site(&site);
        commands.set_active(&keys, id, false);

        let remotes = [record.from, record.to]
            .into_iter()
            .filter_map(|party| party.e164.or(party.number));
        for remote in remotes {
            commands.release_claim(&keys.active(&remote), id);
        }
    }
}
