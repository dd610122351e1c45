//! A call record as JSON: the form that `reconstruct` prints, and that every interface of the
//! product returns.

use serde::Serialize;

use super::instant;
use crate::domain::device::Extension;
use crate::domain::link::{Join, Link};
use crate::domain::record::{
    CallRecord, Direction, EndReason, Outcome, Participant, ParticipantOutcome, ParticipantRole,
    Party, Status,
};
use crate::domain::time::{At, Span};

/// A call as other programs read it. Names and meanings of the fields are stable; new fields may be
/// added.
#[derive(Serialize)]
pub struct CallJson<'a> {
    id: String,
    site: &'a str,
    direction: &'static str,
    status: &'static str,
    outcome: Option<&'static str>,
    from: PartyJson<'a>,
    to: PartyJson<'a>,
    requested: PartyJson<'a>,
    answered_by: Option<OwnerJson<'a>>,
    started_at: String,
    answered_at: Option<String>,
    ended_at: Option<String>,
    end_reason: Option<&'static str>,
    ring_seconds: Option<f64>,
    talk_seconds: f64,
    total_seconds: Option<f64>,
    participants: Vec<ParticipantJson<'a>>,
    missed_extensions: Vec<&'a str>,
    links: Vec<LinkJson>,
    joins: Vec<JoinJson<'a>>,
    transfer: Option<TransferJson<'a>>,
    pickup: bool,
    origin: Option<&'static str>,
    confidence: &'static str,
    reason: Option<&'static str>,
    late_events: u32,
}

#[derive(Serialize)]
struct PartyJson<'a> {
    number: Option<&'a str>,
    e164: Option<&'a str>,
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct OwnerJson<'a> {
    extension: Option<&'a str>,
    mac: String,
    agent: Option<&'a str>,
}

#[derive(Serialize)]
struct ParticipantJson<'a> {
    extension: Option<&'a str>,
    mac: String,
    role: &'static str,
    rang_at: Option<String>,
    answered_at: Option<String>,
    left_at: Option<String>,
    outcome: &'static str,
}

#[derive(Serialize)]
struct LinkJson {
    kind: &'static str,
    call_id: String,
    confidence: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct JoinJson<'a> {
    kind: &'static str,
    extension: Option<&'a str>,
    confidence: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct TransferJson<'a> {
    kind: &'static str,
    state: &'static str,
    to: Option<&'a str>,
    reason: Option<&'static str>,
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
