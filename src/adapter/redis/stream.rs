//! The log of a day, and what is told of transfers: forms that other programs know.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::call::Commands;
use super::keys::{Keys, STREAM_ENTRIES, STREAM_SECONDS};
use crate::domain::fact::CallId;
use crate::domain::notice::NoticeKind;
use crate::domain::record::CallRecord;
use crate::domain::time::At;
use crate::domain::transfer::{Transfer, TransferState};
use crate::port::ledger::CallUpdate;
use crate::port::outbox::Notification;
use crate::wire::instant;

/// The day of an instant as text, by UTC.
const DAY_CHARS: usize = "2026-01-01".len();

/// The types of events that we publish; other programs publish the rest through the API.
fn event_type(kind: NoticeKind, record: &CallRecord) -> Option<&'static str> {
    Some(match kind {
        NoticeKind::Started => "call_started",
        NoticeKind::Answered => "call_answered",
        NoticeKind::Missed => "call_missed",
        NoticeKind::Ended => "call_ended",
        NoticeKind::Transferred
            if record
                .transfer
                .as_ref()
                .is_some_and(|transfer| transfer.state == TransferState::Completed) =>
        {
            "transfer_completed"
        }
        NoticeKind::Transferred => "transfer_initiated",
        _ => return None,
    })
}

/// When it happened, by the record.
fn at(kind: NoticeKind, record: &CallRecord) -> At {
    let at = match kind {
        NoticeKind::Answered => record.answered_at,
        NoticeKind::Ended | NoticeKind::Missed => record.ended_at,
        _ => None,
    };
    at.unwrap_or(record.started_at)
}

/// Adds what is told of these calls to the logs of its days. One entry: type, call, provider,
/// instant, data.
pub(super) fn entries(
    commands: &mut Commands,
    keys: &Keys,
    news: &[Notification],
    calls: &[&CallUpdate],
) {
    let calls: HashMap<CallId, &CallUpdate> =
        calls.iter().map(|call| (call.record.id, *call)).collect();
    let mut logs = HashSet::new();
    for one in news {
        let Some(call) = calls.get(&one.call) else {
            continue;
        };
        let Some(kind) = event_type(one.kind, &call.record) else {
            continue;
        };
        let at = instant::text(at(one.kind, &call.record));
        let key = keys.stream(call.record.site.as_str(), &at[..DAY_CHARS]);
        let command = commands
            .cmd("XADD")
            .arg(&key)
            .arg("MAXLEN")
            .arg("~")
            .arg(STREAM_ENTRIES)
            .arg("*");
        let id = one.call.to_string();
        let fields = [
            ("eventType", kind),
            ("callSid", &id),
            ("providerId", "grandstream"),
            ("timestamp", &at),
            ("data", call.json()),
        ];
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        logs.insert(key);
    }
    for log in logs {
        commands.cmd("EXPIRE").arg(log).arg(STREAM_SECONDS);
    }
}

/// What is known of a transfer while it is under way.
pub(super) fn transfer_context(
    id: &str,
    call: &str,
    target: Option<&str>,
    initiated_at: At,
) -> String {
    json!({
        "transfer_id": id,
        "call_sid": null,
        "target_number": target,
        "tool_uuid": null,
        "original_call_sid": call,
        "conference_name": null,
        "initiated_at": instant::text(initiated_at),
        "workflow_run_id": null,
        "conference_id": null,
    })
    .to_string()
}

/// An event of a transfer.
pub(super) fn transfer_event(
    kind: &str,
    id: &str,
    call: &str,
    transfer: &Transfer,
    at: At,
) -> String {
    let failed = matches!(
        transfer.state,
        TransferState::Failed | TransferState::Cancelled | TransferState::Abandoned
    );
    json!({
        "type": kind,
        "transfer_id": id,
        "original_call_sid": call,
        "transfer_call_sid": null,
        "target_number": transfer.to,
        "conference_name": null,
        "message": transfer.reason,
        "status": if failed { "failed" } else { "success" },
        "action": kind,
        "reason": transfer.state.name(),
        "end_call": false,
        "timestamp": instant::text(at),
    })
    .to_string()
}
