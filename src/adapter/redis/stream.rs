//! The log of a day, and what is told of transfers: forms that other programs know.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::call::Commands;
use super::keys::{Keys, STREAM_ENTRIES, STREAM_SECONDS};
use crate::domain::notice::NoticeKind;
use crate::domain::time::At;
use crate::domain::transfer::{Transfer, TransferState};
use crate::port::fanout::News;
use crate::wire::instant;

/// The day of an instant as text, by UTC.
const DAY_CHARS: usize = "2026-01-01".len();

/// The types of events that we publish; other programs publish the rest through the API.
fn event_type(kind: NoticeKind, call: &Call) -> Option<&'static str> {
    Some(match kind {
        NoticeKind::Started => "call_started",
        NoticeKind::Answered => "call_answered",
        NoticeKind::Missed => "call_missed",
        NoticeKind::Ended => "call_ended",
        NoticeKind::Transferred if call.transfer.as_ref().is_some_and(|transfer| transfer.state == "completed") => "transfer_completed",
        NoticeKind::Transferred => "transfer_initiated",
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Told<'t> {
    call_id: &'t str,
    #[serde(borrow)]
    call: Option<&'t RawValue>,
}

/// What is read of a record.
#[derive(Deserialize)]
struct Call {
    site: String,
    started_at: String,
    answered_at: Option<String>,
    ended_at: Option<String>,
    transfer: Option<Transferred>,
}

#[derive(Deserialize)]
struct Transferred {
    state: String,
}

impl Call {
    /// When it happened, by the record.
    fn at(&self, kind: NoticeKind) -> &str {
        let at = match kind {
            NoticeKind::Answered => &self.answered_at,
            NoticeKind::Ended | NoticeKind::Missed => &self.ended_at,
            _ => &None,
        };
        at.as_ref().unwrap_or(&self.started_at)
    }
}

/// Adds what is told to the logs of its days.
pub(super) fn entries(commands: &mut Commands, keys: &Keys, news: &[News]) {
    let mut logs = HashSet::new();
    for one in news {
        logs.extend(entry(commands, keys, one));
    }
    for log in logs {
        commands.cmd("EXPIRE").arg(log).arg(STREAM_SECONDS);
    }
}

/// One entry: type, call, provider, instant, data. Returns the key of the log that it is in.
fn entry(commands: &mut Commands, keys: &Keys, news: &News) -> Option<String> {
    let told = serde_json::from_str::<Told<'_>>(&news.data).ok()?;
    let text = told.call?.get();
    let call = serde_json::from_str::<Call>(text).ok()?;
    let kind = event_type(news.kind, &call)?;
    let at = call.at(news.kind);
    let key = keys.stream(&call.site, at.get(..DAY_CHARS)?);
    let command = commands.cmd("XADD").arg(&key).arg("MAXLEN").arg("~").arg(STREAM_ENTRIES).arg("*");
    let fields = [("eventType", kind), ("callSid", told.call_id), ("providerId", "grandstream"), ("timestamp", at), ("data", text)];
    for (name, value) in fields {
        command.arg(name).arg(value);
    }
    Some(key)
}

/// What is known of a transfer while it is under way.
pub(super) fn transfer_context(id: &str, call: &str, target: Option<&str>, initiated_at: At) -> String {
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
pub(super) fn transfer_event(kind: &str, id: &str, call: &str, transfer: &Transfer, at: At) -> String {
    let failed = matches!(transfer.state, TransferState::Failed | TransferState::Cancelled | TransferState::Abandoned);
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
