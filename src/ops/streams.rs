//! The daily event logs in Redis: what they hold, and whether they can be written.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::adapter::clock::SystemClock;
use crate::adapter::redis::RedisEventLog;
use crate::config::Settings;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;
use crate::port::event_log::{DayLog, EventLog, LoggedEvent, PENDING, StoredEvent, Stretch};
use crate::setup::{LiveLinks, Roles, SetupError};

/// Entries that are read of a day, the newest ones.
const READ_MAX: usize = 100_000;
const DAY: Span = Span::seconds(86_400);
/// The type of the event that tries a log out.
const TRIAL: &str = "stream_test";

/// The log of a day, and its entries.
pub struct Inspected {
    pub day: DayLog,
    /// The number of entries of each type.
    pub types: BTreeMap<String, usize>,
    /// The newest entries, the oldest first.
    pub newest: Vec<StoredEvent>,
}

/// The logs of a site, today and yesterday, and those of events without a site.
///
/// # Errors
/// When the settings name no Redis, or it does not answer.
pub async fn inspect_streams(
    settings: &Settings,
    site: &str,
    newest: usize,
) -> Result<Vec<Inspected>, SetupError> {
    let log = open(settings).await?;
    let now = SystemClock::default().now();
    let mut found = Vec::new();

    for name in [site, PENDING] {
        for at in [now - DAY, now] {
            let Some(day) = log.day(name, at).await else {
                continue;
            };
            let since = At(at.0 - at.0.rem_euclid(DAY.0));
            let read = log
                .read(Stretch {
                    log: name,
                    since,
                    now: at.max(since),
                    call: None,
                    max: READ_MAX,
                    bytes_max: usize::MAX,
                })
                .await;
            let mut entries = read.ok_or_else(no_answer)?;
            let mut types = BTreeMap::new();
            for entry in &entries {
                *types.entry(entry.event.event_type.clone()).or_default() += 1;
            }

            entries.drain(..entries.len().saturating_sub(newest));
            found.push(Inspected {
                day,
                types,
                newest: entries,
            });
        }
    }

    Ok(found)
}

/// Writes an event into a log of its own, reads it back and removes the log. Returns how long it
/// took.
///
/// # Errors
/// When the settings name no Redis, it does not answer, or another event came back.
pub async fn try_streams(settings: &Settings) -> Result<Duration, SetupError> {
    let log = open(settings).await?;
    let id = uuid::Uuid::now_v7();
    let event = LoggedEvent {
        event_type: TRIAL.to_owned(),
        call_id: id.to_string(),
        // No site has such a name, so that no log of one is removed.
        log: format!("test-{id}"),
        at: SystemClock::default().now(),
        data: "{}".into(),
    };

    let started = Instant::now();
    let read = log.try_out(&event).await.ok_or_else(no_answer)?;
    if read.is_none_or(|stored| stored.event != event) {
        return Err(SetupError::Live("the event did not come back".to_owned()));
    }
    Ok(started.elapsed())
}

async fn open(settings: &Settings) -> Result<RedisEventLog, SetupError> {
    let links = LiveLinks::open(settings, Roles::ALL, &mut Vec::new())?.ok_or(
        SetupError::IncompleteServerSettings(
            "`live.url` is not set: without Redis there are no event logs",
        ),
    )?;
    let prefix = &settings.live.prefix;
    let key = format!("{prefix}call-events:mover");
    links.calls.check(&key).await.map_err(SetupError::Live)?;

    Ok(RedisEventLog::new(links.calls, prefix, "cordboard streams"))
}

fn no_answer() -> SetupError {
    SetupError::Live("Redis refused a command, or did not answer in time".to_owned())
}
