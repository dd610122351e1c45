//! Keys and events of transfers, in a format that other programs rely on.

use serde_json::json;

use super::commands::{Commands, seconds_text};
use super::keys::{HOUR_SECONDS, Keys, TRANSFER_SECONDS};
use crate::domain::device::Extension;
use crate::domain::record::CallRecord;
use crate::domain::time::At;
use crate::domain::transfer::{Transfer, TransferState};
use crate::wire::instant;

/// Writes the fingerprint of a conversation that has ended or is being transferred: the outside
/// party may continue it at another phone.
pub(super) fn write_fingerprint(
    commands: &mut Commands,
    keys: &Keys,
    record: &CallRecord,
    remote: &str,
    now: At,
) {
    let may_continue =
        record.answered_at.is_some() && (record.ended_at.is_some() || record.transfer.is_some());
    if !may_continue {
        return;
    }

    let at = record.ended_at.unwrap_or(now);
    let extension = record
        .answered_by
        .as_ref()
        .and_then(|owner| owner.extension.as_ref());
    let fingerprint = json!({
        "call_id": record.id.to_string(),
        "remote": remote,
        "extension": extension.map(Extension::as_str),
        "timestamp": seconds_text(at),
    })
    .to_string();

    let all = keys.transfers();
    commands
        .cmd("ZADD")
        .arg(&all)
        .arg(seconds_text(at))
        .arg(&fingerprint);
    commands
        .cmd("ZREMRANGEBYSCORE")
        .arg(&all)
        .arg("-inf")
        .arg(seconds_text(At(at.0 - TRANSFER_SECONDS * 1_000_000)));
    commands.cmd("EXPIRE").arg(&all).arg(TRANSFER_SECONDS);

    commands.set(&keys.transfer(remote), &fingerprint, TRANSFER_SECONDS);
}

/// Writes the context of a transfer that is under way, deletes that of a finished one, and
/// publishes changes of its state. Both keys of the context are written and deleted together.
pub(super) fn write_state(
    commands: &mut Commands,
    keys: &Keys,
    record: &CallRecord,
    before: Option<TransferState>,
    now: At,
) {
    let Some(transfer) = &record.transfer else {
        return;
    };
    let call = record.id.to_string();
    let id = format!("{call}-t");
    let context_key = keys.transfer_context(&id);
    let by_call_key = keys.transfer_by_call(&call);

    if transfer.state.is_under_way() {
        let context = context_json(&id, &call, transfer.to.as_deref(), record.started_at);
        commands.set(&context_key, &context, HOUR_SECONDS);
        commands.set(&by_call_key, &id, HOUR_SECONDS);
    } else if before.is_some() {
        commands.cmd("DEL").arg(&context_key);
        commands.cmd("DEL").arg(&by_call_key);
    }

    if let Some(kind) = event_kind(before, transfer.state) {
        commands
            .cmd("PUBLISH")
            .arg(keys.transfer_events(&id))
            .arg(event_json(kind, &id, &call, transfer, now));
    }
}

/// Returns the kind of event that a change of state publishes. A target that answers between two
/// updates of a transfer is announced with its completion.
fn event_kind(before: Option<TransferState>, after: TransferState) -> Option<&'static str> {
    match (before, after) {
        (before, TransferState::Answered) if before != Some(TransferState::Answered) => {
            Some("destination_answered")
        }
        (Some(TransferState::Initiated | TransferState::Ringing), TransferState::Completed) => {
            Some("destination_answered")
        }
        (Some(_), TransferState::Cancelled | TransferState::Failed | TransferState::Abandoned) => {
            Some("transfer_failed")
        }
        _ => None,
    }
}

/// The fields that are always null exist because other programs expect them.
fn context_json(id: &str, call: &str, target: Option<&str>, initiated_at: At) -> String {
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

fn event_json(kind: &str, id: &str, call: &str, transfer: &Transfer, at: At) -> String {
    let has_failed = matches!(
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
        "status": if has_failed { "failed" } else { "success" },
        "action": kind,
        "reason": transfer.state.name(),
        "end_call": false,
        "timestamp": instant::text(at),
    })
    .to_string()
}
