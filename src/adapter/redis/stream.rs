//! The daily event log of a site, a Redis stream in a format that other programs rely on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_redis::redis::{RedisResult, Value};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::commands::Commands;
use super::keys::{Keys, STREAM_ENTRIES, STREAM_SECONDS};
use super::transfer::{initiated_at, targets};
use crate::domain::fact::CallId;
use crate::domain::notice::NoticeKind;
use crate::domain::record::CallRecord;
use crate::domain::time::At;
use crate::port::ledger::CallUpdate;
use crate::port::outbox::Notification;
use crate::wire::instant;

/// Length of the day in the text of an instant, in UTC.
const DAY_CHARS: usize = "2026-01-01".len();
/// Lost entries are reported at most this often.
const REPORT_EVERY: Duration = Duration::from_secs(10);

// The names of the fields.
pub(super) const EVENT_TYPE: &str = "eventType";
pub(super) const CALL: &str = "callSid";
pub(super) const PROVIDER: &str = "providerId";
pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const DATA: &str = "data";

/// An entry of a log, and the place of its command.
pub(super) struct Entry {
    pipeline: usize,
    position: usize,
    call: CallId,
    event_type: &'static str,
}

/// Entries that Redis did not take. They are counted, and reported now and then.
#[derive(Default)]
pub(super) struct Lost {
    reported: Mutex<Option<Instant>>,
}

impl Lost {
    /// Reports the entries of a pipeline that Redis refused, or all of them without an answer.
    pub(super) fn report(
        &self,
        entries: &[Entry],
        pipeline: usize,
        answers: Option<&[RedisResult<Value>]>,
    ) {
        let of_pipeline = entries.iter().filter(|entry| match answers {
            Some(_) => entry.pipeline == pipeline,
            // The later pipelines are not sent either.
            None => entry.pipeline >= pipeline,
        });
        let lost: Vec<(&Entry, &str)> = of_pipeline
            .filter_map(|entry| match answers {
                None => Some((entry, "Redis did not answer")),
                Some(answers) => {
                    let error = answers.get(entry.position)?.as_ref().err()?;
                    Some((entry, error.code().unwrap_or_else(|| error.category())))
                }
            })
            .collect();
        let Some((first, cause)) = lost.first() else {
            return;
        };

        metrics::counter!("cordboard_live_stream_errors_total").increment(lost.len() as u64);
        let mut reported = self.reported.lock();
        if reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            *reported = Some(Instant::now());
            tracing::warn!(
                call = %first.call,
                event_type = first.event_type,
                events = lost.len(),
                cause,
                "redis_stream_error: events are missing in the log of their site"
            );
        }
    }
}

/// Appends the notifications of calls to the logs of their days, with one entry of type, call,
/// provider, instant and record for each. Returns the places of their commands.
pub(super) fn append_entries(
    commands: &mut Commands,
    keys: &Keys,
    notifications: &[Notification],
    calls: &[&CallUpdate],
) -> Vec<Entry> {
    let calls: HashMap<CallId, &CallUpdate> =
        calls.iter().map(|call| (call.record.id, *call)).collect();
    let mut streams = HashSet::new();
    let mut entries = Vec::new();

    for notification in notifications {
        let Some(call) = calls.get(&notification.call) else {
            continue;
        };
        let Some(event_type) = event_type(notification.kind) else {
            continue;
        };

        let at = event_time(notification.kind, &call.record);
        let id = notification.call.to_string();
        let fields = Fields {
            event_type,
            call: &id,
            log: call.record.site.as_str(),
            at,
            data: call.json(),
        };
        streams.insert(append(commands, keys, &fields));
        let (pipeline, position) = commands.last_place();
        entries.push(Entry {
            pipeline,
            position,
            call: notification.call,
            event_type,
        });
    }

    for stream in streams {
        commands.cmd("EXPIRE").arg(stream).arg(STREAM_SECONDS);
    }
    entries
}

/// The fields of an entry.
pub(super) struct Fields<'f> {
    pub event_type: &'f str,
    pub call: &'f str,
    pub log: &'f str,
    pub at: At,
    pub data: &'f str,
}

impl Fields<'_> {
    /// Names and values in their order, with the text of the instant.
    pub(super) fn named<'f>(&'f self, at: &'f str) -> [&'f str; 10] {
        [
            EVENT_TYPE,
            self.event_type,
            CALL,
            self.call,
            PROVIDER,
            self.log,
            TIMESTAMP,
            at,
            DATA,
            self.data,
        ]
    }
}

/// The key of a log on the day of an instant.
pub(super) fn key_of(keys: &Keys, log: &str, at: At) -> String {
    keys.stream(log, &instant::text(at)[..DAY_CHARS])
}

/// Appends an entry to the log of its day. Returns the key.
pub(super) fn append(commands: &mut Commands, keys: &Keys, fields: &Fields<'_>) -> String {
    let stream = key_of(keys, fields.log, fields.at);

    let command = commands
        .cmd("XADD")
        .arg(&stream)
        .arg("MAXLEN")
        .arg("~")
        .arg(STREAM_ENTRIES)
        .arg("*");
    command.arg(&fields.named(&instant::text(fields.at)));

    stream
}

/// Returns the event type of a notification, or `None` for kinds that the log does not have. Other
/// programs publish further types through the API.
fn event_type(kind: NoticeKind) -> Option<&'static str> {
    Some(match kind {
        NoticeKind::Started => "call_started",
        NoticeKind::Answered => "call_answered",
        NoticeKind::Missed => "call_missed",
        NoticeKind::Ended => "call_ended",
        NoticeKind::TransferInitiated => "transfer_initiated",
        // With success or failure, as the transfer in the record says.
        NoticeKind::Transferred | NoticeKind::TransferFailed => "transfer_completed",
        _ => return None,
    })
}

/// Returns the instant of an event, from the record. Of a transfer it is known by its target.
fn event_time(kind: NoticeKind, record: &CallRecord) -> At {
    let at = match kind {
        NoticeKind::Answered => record.answered_at,
        NoticeKind::Ended | NoticeKind::Missed => record.ended_at,
        NoticeKind::TransferInitiated => Some(initiated_at(record)),
        NoticeKind::Transferred => record
            .transfer
            .as_ref()
            .and_then(|transfer| transfer.completed_at)
            .or(record.answered_at),
        NoticeKind::TransferFailed => targets(record)
            .filter_map(|target| target.left_at)
            .max()
            .or(record.answered_at),
        _ => None,
    };

    at.unwrap_or(record.started_at)
}
