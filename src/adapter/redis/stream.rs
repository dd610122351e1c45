//! The log of a day, and what is told of transfers: forms that other programs know.

use deadpool_redis::redis::Pipeline;
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::Keys;
use super::live::day;
use crate::domain::notice::NoticeKind;
use crate::domain::time::At;
use crate::domain::transfer::{Transfer, TransferState};
use crate::port::fanout::News;
use crate::wire::instant;

/// The types of events that we publish; other programs publish the rest through the API.
fn event_type(kind: NoticeKind, told: &Told) -> Option<&'static str> {
    Some(match kind {
        NoticeKind::Started => "call_started",
        NoticeKind::Answered => "call_answered",
        NoticeKind::Missed => "call_missed",
        NoticeKind::Ended => "call_ended",
        NoticeKind::Transferred if told.transfer_state() == Some("completed") => "transfer_completed",
        NoticeKind::Transferred => "transfer_initiated",
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Told {
    call_id: String,
    call: Option<Value>,
}

impl Told {
    fn text(&self, name: &str) -> Option<&str> {
        self.call.as_ref()?.get(name)?.as_str()
    }

    fn transfer_state(&self) -> Option<&str> {
        self.call.as_ref()?.pointer("/transfer/state")?.as_str()
    }

    /// When it happened, by the record.
    fn at(&self, kind: NoticeKind) -> Option<At> {
        let name = match kind {
            NoticeKind::Answered => "answered_at",
            NoticeKind::Ended | NoticeKind::Missed => "ended_at",
            _ => "started_at",
        };
        instant::parse(self.text(name).or_else(|| self.text("started_at"))?).ok()
    }
}

/// Adds what is told to the log of its day.
pub(super) fn entry(pipeline: &mut Pipeline, keys: &Keys, news: &News, most: u32, ttl: i64) {
    let Ok(told) = serde_json::from_str::<Told>(&news.data) else { return };
    let (Some(kind), Some(at), Some(site)) = (event_type(news.kind, &told), told.at(news.kind), told.text("site")) else { return };
    let key = keys.stream(site, &day(at));
    let data = told.call.as_ref().map(ToString::to_string).unwrap_or_default();
    append(pipeline, &key, most, ttl, [kind, &told.call_id, "grandstream", &instant::text(at), &data]);
}

/// One entry: type, call, provider, instant, data.
pub(super) fn append(pipeline: &mut Pipeline, key: &str, most: u32, ttl: i64, fields: [&str; 5]) {
    let command = pipeline.cmd("XADD").arg(key).arg("MAXLEN").arg("~").arg(most).arg("*");
    for (name, value) in ["eventType", "callSid", "providerId", "timestamp", "data"].into_iter().zip(fields) {
        command.arg(name).arg(value);
    }
    pipeline.cmd("EXPIRE").arg(key).arg(ttl);
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
