//! A call record as JSON: the form that `reconstruct` prints, and that every interface of the
//! product returns.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{instant, names};
use crate::domain::device::Extension;
use crate::domain::fact::CallRef;
use crate::domain::link::{Join, Link};
use crate::domain::record::{
    CallRecord, Direction, EndReason, Outcome, Participant, ParticipantOutcome, ParticipantRole,
    Party, Status,
};
use crate::domain::time::{At, Span};

/// A call as other programs read it. Names and meanings of the fields are stable; new fields may be
/// added.
#[derive(Serialize, ToSchema)]
#[schema(as = Call)]
pub struct CallJson<'a> {
    /// A UUID of version 7.
    #[schema(format = "uuid")]
    id: String,
    /// The PBX of the call.
    site: &'a str,
    #[schema(value_type = names::Direction)]
    direction: &'static str,
    #[schema(value_type = names::Status)]
    status: &'static str,
    /// `null` while it is undecided.
    #[schema(value_type = Option<names::Outcome>)]
    outcome: Option<&'static str>,
    /// The caller.
    from: PartyJson<'a>,
    /// The party of the answer; for an unanswered call the requested party.
    to: PartyJson<'a>,
    /// The party that the caller asked for.
    requested: PartyJson<'a>,
    /// The owner of the answer.
    answered_by: Option<OwnerJson<'a>>,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    #[schema(value_type = Option<names::EndReason>)]
    end_reason: Option<&'static str>,
    /// First ring to answer, or to the end of an unanswered call.
    ring_seconds: Option<f64>,
    /// The conversation.
    talk_seconds: f64,
    /// Beginning to end.
    total_seconds: Option<f64>,
    /// One entry per extension.
    participants: Vec<ParticipantJson<'a>>,
    /// Every extension that rang, if the call was missed.
    missed_extensions: Vec<&'a str>,
    /// Relations to earlier calls.
    links: Vec<LinkJson>,
    /// Legs that began later.
    joins: Vec<JoinJson<'a>>,
    /// The most significant transfer.
    transfer: Option<TransferJson<'a>>,
    /// Whether the call was picked up with a feature code.
    pickup: bool,
    #[schema(value_type = Option<names::Origin>)]
    origin: Option<&'static str>,
    #[schema(value_type = names::Confidence)]
    confidence: &'static str,
    /// The reason of a confidence that is not `high`.
    reason: Option<&'static str>,
    /// Facts that came too late to change the call.
    late_events: u32,
}

/// A party of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = Party)]
struct PartyJson<'a> {
    /// The number as it was sent.
    number: Option<&'a str>,
    /// The number in E.164.
    e164: Option<&'a str>,
    name: Option<&'a str>,
}

/// The phone that owns an answer.
#[derive(Serialize, ToSchema)]
#[schema(as = Owner)]
struct OwnerJson<'a> {
    extension: Option<&'a str>,
    mac: String,
    agent: Option<&'a str>,
}

/// The part of one extension in a call.
#[derive(Serialize, ToSchema)]
#[schema(as = Participant)]
struct ParticipantJson<'a> {
    extension: Option<&'a str>,
    mac: String,
    /// The call as the phone names it.
    call_ref: Option<&'a str>,
    #[schema(value_type = names::ParticipantRole)]
    role: &'static str,
    #[schema(format = DateTime)]
    rang_at: Option<String>,
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    #[schema(format = DateTime)]
    left_at: Option<String>,
    #[schema(value_type = names::ParticipantOutcome)]
    outcome: &'static str,
}

/// A relation to an earlier call.
#[derive(Serialize, ToSchema)]
#[schema(as = Link)]
struct LinkJson {
    #[schema(value_type = names::LinkKind)]
    kind: &'static str,
    #[schema(format = "uuid")]
    call_id: String,
    #[schema(value_type = names::Confidence)]
    confidence: &'static str,
    reason: &'static str,
}

/// A leg that began later, and the reason why it belongs to the call.
#[derive(Serialize, ToSchema)]
#[schema(as = Join)]
struct JoinJson<'a> {
    #[schema(value_type = names::JoinKind)]
    kind: &'static str,
    extension: Option<&'a str>,
    #[schema(value_type = names::Confidence)]
    confidence: &'static str,
    reason: &'static str,
}

/// A transfer of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = Transfer)]
struct TransferJson<'a> {
    #[schema(value_type = names::TransferKind)]
    kind: &'static str,
    #[schema(value_type = names::TransferState)]
    state: &'static str,
    to: Option<&'a str>,
    reason: Option<&'static str>,
    /// The first ring of the target, or the report of the phone that transfers.
    #[schema(format = DateTime)]
    initiated_at: String,
    /// The answer, the completion or the failure.
    #[schema(format = DateTime)]
    decided_at: Option<String>,
}

impl<'a> CallJson<'a> {
    #[must_use]
    pub fn of(record: &'a CallRecord) -> CallJson<'a> {
        CallJson {
            id: record.id.to_string(),
            site: record.site.as_str(),
            direction: direction_name(record.direction),
            status: status_name(record.status),
            outcome: record.outcome.map(outcome_name),
            from: party(&record.from),
            to: party(&record.to),
            requested: party(&record.requested),
            answered_by: record.answered_by.as_ref().map(|owner| OwnerJson {
                extension: name(owner.extension.as_ref()),
                mac: owner.device.to_string(),
                agent: None,
            }),
            started_at: instant::text(record.started_at),
            answered_at: record.answered_at.map(instant::text),
            ended_at: record.ended_at.map(instant::text),
            end_reason: record.end_reason.map(end_reason_name),
            ring_seconds: record.ring.map(seconds),
            talk_seconds: seconds(record.talk),
            total_seconds: record.total.map(seconds),
            participants: record.participants.iter().map(participant).collect(),
            missed_extensions: record
                .missed_extensions
                .iter()
                .map(Extension::as_str)
                .collect(),
            links: record.links.iter().map(link).collect(),
            joins: record.joins.iter().map(join).collect(),
            transfer: record.transfer.as_ref().map(|transfer| TransferJson {
                kind: transfer.kind.name(),
                state: transfer.state.name(),
                to: transfer.to.as_deref(),
                reason: transfer.reason,
                initiated_at: instant::text(transfer.initiated_at),
                decided_at: transfer.decided_at.map(instant::text),
            }),
            pickup: record.pickup,
            origin: record.click_to_call.then_some("click_to_call"),
            confidence: record.confidence.name(),
            reason: record.reason,
            late_events: record.late_facts,
        }
    }
}

/// The record as text.
#[must_use]
pub fn text(record: &CallRecord) -> String {
    // Text and finite numbers always serialize.
    serde_json::to_string(&CallJson::of(record)).unwrap_or_default()
}

/// Whether a stored record says the same as one that is made now. Fields that versions since then
/// have added are no difference.
#[must_use]
pub fn is_same(stored: &str, now: &str) -> bool {
    if stored == now {
        return true;
    }

    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (read(stored), read(now)) {
        (Some(stored), Some(now)) => holds_all_of(&now, &stored),
        _ => false,
    }
}

fn holds_all_of(now: &Value, stored: &Value) -> bool {
    match (now, stored) {
        (Value::Object(now), Value::Object(stored)) => stored
            .iter()
            .all(|(field, stored)| now.get(field).is_some_and(|now| holds_all_of(now, stored))),
        (Value::Array(now), Value::Array(stored)) => {
            now.len() == stored.len()
                && now
                    .iter()
                    .zip(stored)
                    .all(|(now, stored)| holds_all_of(now, stored))
        }
        _ => now == stored,
    }
}

fn party(party: &Party) -> PartyJson<'_> {
    PartyJson {
        number: party.number.as_deref(),
        e164: party.e164.as_deref(),
        name: party.name.as_deref(),
    }
}

fn name(extension: Option<&Extension>) -> Option<&str> {
    extension.map(Extension::as_str)
}

fn participant(participant: &Participant) -> ParticipantJson<'_> {
    let instant = |at: Option<At>| at.map(instant::text);

    ParticipantJson {
        extension: name(participant.extension.as_ref()),
        mac: participant.device.to_string(),
        call_ref: participant.call_ref.as_ref().map(CallRef::as_str),
        role: role_name(participant.role),
        rang_at: instant(participant.rang_at),
        answered_at: instant(participant.answered_at),
        left_at: instant(participant.left_at),
        outcome: participant_outcome_name(participant.outcome),
    }
}

fn link(link: &Link) -> LinkJson {
    LinkJson {
        kind: link.kind.name(),
        call_id: link.call.to_string(),
        confidence: link.confidence.name(),
        reason: link.reason,
    }
}

fn join(join: &Join) -> JoinJson<'_> {
    JoinJson {
        kind: join.kind.name(),
        extension: name(join.extension.as_ref()),
        confidence: join.confidence.name(),
        reason: join.reason,
    }
}

/// A span in seconds with microseconds as decimals, the unit of all interfaces.
#[expect(
    clippy::cast_precision_loss,
    reason = "a span of 285 years fits the 53 bits of a float to the microsecond"
)]
#[must_use]
pub fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1_000_000.0
}

#[must_use]
pub fn role_name(role: ParticipantRole) -> &'static str {
    match role {
        ParticipantRole::Caller => "caller",
        ParticipantRole::Callee => "callee",
        ParticipantRole::TransferTarget => "transfer_target",
    }
}

#[must_use]
pub fn participant_outcome_name(outcome: ParticipantOutcome) -> &'static str {
    match outcome {
        ParticipantOutcome::Ringing => "ringing",
        ParticipantOutcome::Talking => "talking",
        ParticipantOutcome::Answered => "answered",
        ParticipantOutcome::AnsweredElsewhere => "answered_elsewhere",
        ParticipantOutcome::Rejected => "rejected",
        ParticipantOutcome::Missed => "missed",
        ParticipantOutcome::Unanswered => "unanswered",
    }
}

#[must_use]
pub fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
        Direction::Internal => "internal",
    }
}

#[must_use]
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Initiated => "initiated",
        Status::Ringing => "ringing",
        Status::Answered => "answered",
        Status::OnHold => "on_hold",
        Status::Transferring => "transferring",
        Status::Completed => "completed",
        Status::Failed => "failed",
    }
}

#[must_use]
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Missed => "missed",
        Outcome::NoAnswer => "no_answer",
        Outcome::Lost => "lost",
    }
}

fn end_reason_name(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Hangup => "hangup",
        EndReason::LostHangup => "lost_hangup",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_were_added_later_are_no_difference() {
        let stored = r#"{"id":"a","participants":[{"mac":"1"}],"to":null}"#;
        for (now, same) in [
            (stored, true),
            (
                r#"{"id":"a","participants":[{"mac":"1","new":2}],"to":null,"more":[]}"#,
                true,
            ),
            (
                r#"{"id":"a","participants":[{"mac":"2"}],"to":null}"#,
                false,
            ),
            (r#"{"id":"a","participants":[],"to":null}"#, false),
            (r#"{"id":"a","participants":[{"mac":"1"}]}"#, false),
            ("", false),
        ] {
            assert_eq!(is_same(stored, now), same, "{now}");
        }
    }
}
