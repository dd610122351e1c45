//! The daily event log of a site, a Redis stream in a format that other programs rely on.

use std::collections::{HashMap, HashSet};

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

/// Appends the notifications of calls to the logs of their days, with one entry of type, call,
/// provider, instant and record for each.
pub(super) fn append_entries(
    commands: &mut Commands,
    keys: &Keys,
    notifications: &[Notification],
    calls: &[&CallUpdate],
) {
    let calls: HashMap<CallId, &CallUpdate> =
        calls.iter().map(|call| (call.record.id, *call)).collect();
    let mut streams = HashSet::new();

    for notification in notifications {
        let Some(call) = calls.get(&notification.call) else {
            continue;
        };
        let Some(event_type) = event_type(notification.kind) else {
            continue;
        };

        let at = instant::text(event_time(notification.kind, &call.record));
        let site = call.record.site.as_str();
        let stream = keys.stream(site, &at[..DAY_CHARS]);
        let id = notification.call.to_string();
        let fields = [
            ("eventType", event_type),
            ("callSid", &id),
            ("providerId", site),
            ("timestamp", &at),
            ("data", call.json()),
        ];

        let command = commands
            .cmd("XADD")
            .arg(&stream)
            .arg("MAXLEN")
            .arg("~")
            .arg(STREAM_ENTRIES)
            .arg("*");
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        streams.insert(stream);
    }

    for stream in streams {
        commands.cmd("EXPIRE").arg(stream).arg(STREAM_SECONDS);
    }
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
