//! Keys and events of transfers, in a format that other programs rely on.

use serde_json::json;

use super::commands::{Commands, seconds_text};
use super::keys::{HOUR_SECONDS, Keys, TRANSFER_SECONDS};
use crate::domain::device::Extension;
use crate::domain::record::{CallRecord, Participant, ParticipantRole};
use crate::domain::time::At;
use crate::domain::transfer::TransferState;
use crate::wire::instant;
use crate::wire::transfer::{TransferContext, TransferEvent, TransferEventType};

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

    let context = || TransferContext {
        transfer_id: id.clone(),
        original_call_sid: Some(call.clone()),
        target_number: transfer.to.clone(),
        initiated_at: instant::seconds(initiated_at(record)),
        ..TransferContext::default()
    };

    if transfer.state.is_under_way() {
        commands.set(&context_key, &context().to_json(), HOUR_SECONDS);
        // A transfer that a program has registered for the call keeps its place.
        commands.set_if_absent(&by_call_key, &id, HOUR_SECONDS);
    } else if before.is_some() {
        commands.cmd("DEL").arg(&context_key);
        commands.delete_if_equal(&by_call_key, &id);
    }

    if let Some(kind) = event_kind(before, transfer.state) {
        let reason = transfer.state.name();
        let event = TransferEvent::of(&context(), kind, reason, transfer.reason, now);
        commands
            .cmd("PUBLISH")
            .arg(keys.transfer_events(&id))
            .arg(event.to_json());
    }
}

/// Returns the kind of event that a change of state publishes. A target that answers between two
/// updates of a transfer is announced with its completion.
fn event_kind(before: Option<TransferState>, after: TransferState) -> Option<TransferEventType> {
    match (before, after) {
        (before, TransferState::Answered) if before != Some(TransferState::Answered) => {
            Some(TransferEventType::DestinationAnswered)
        }
        (Some(TransferState::Initiated | TransferState::Ringing), TransferState::Completed) => {
            Some(TransferEventType::DestinationAnswered)
        }
        (Some(_), TransferState::Cancelled | TransferState::Failed | TransferState::Abandoned) => {
            Some(TransferEventType::TransferFailed)
        }
        _ => None,
    }
}

/// The targets of the transfers of a call.
pub(super) fn targets(record: &CallRecord) -> impl Iterator<Item = &Participant> {
    record
        .participants
        .iter()
        .filter(|participant| participant.role == ParticipantRole::TransferTarget)
}

/// When the target began to ring; before that, when the call was answered.
pub(super) fn initiated_at(record: &CallRecord) -> At {
    targets(record)
        .filter_map(|target| target.rang_at)
        .max()
        .or(record.answered_at)
        .unwrap_or(record.started_at)
}
