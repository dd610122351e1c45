//! The record of a call: the entry in the call log.
//!
//! The types come first; the functions that read them from the legs follow. A record is a pure
//! function of the call, its legs and the watermark, and changes until its call is final.

use super::call::TraceEntry;
use super::device::{Device, Extension};
use super::explain::Line;
use super::fact::{CallId, Site};
use super::leg::{EndedBy, Leg, Role, Side};
use super::link::{Confidence, Join, Link};
use super::number::Number;
use super::participant::participants;
pub use super::participant::{Participant, ParticipantOutcome, ParticipantRole};
use super::reading::Reading;
use super::text::PrivateText;
use super::time::{At, Span};
use super::transfer::{Transfer, TransferState};

/// The direction of the call, as seen from the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Inbound,
    Outbound,
    Internal,
}

/// The current state of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Initiated,
    Ringing,
    Answered,
    OnHold,
    Transferring,
    Completed,
    /// Over, and only its end was ever reported.
    Failed,
}

/// The result of the call. Phone facts alone prove these results; a second source may provide more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Answered,
    Missed,
    NoAnswer,
    /// Only an end was reported, so the ended activity is unknown.
    Lost,
}

/// The evidence for the end of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    Hangup,
    /// No end was ever reported: the call was closed by its maximum duration, and its last sign
    /// counts as its end.
    LostHangup,
}

/// A party of the call as the phones displayed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    pub number: Option<PrivateText>,
    pub e164: Option<PrivateText>,
    pub name: Option<PrivateText>,
}

/// The owner of the call: the extension that answered first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub extension: Option<Extension>,
    pub device: Device,
}

/// One call, as far as the facts prove it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    pub id: CallId,
    pub site: Site,
    pub direction: Direction,
    pub status: Status,
    /// `None` until the result of the call is decided.
    pub outcome: Option<Outcome>,
    /// The calling party.
    pub from: Party,
    /// The party that answered; for an unanswered call, the requested party.
    pub to: Party,
    /// The party that the caller asked for.
    pub requested: Party,
    pub answered_by: Option<Owner>,
    pub started_at: At,
    pub answered_at: Option<At>,
    pub ended_at: Option<At>,
    pub end_reason: Option<EndReason>,
    /// The time from the start to the answer; without an answer, to the end.
    pub ring: Option<Span>,
    /// The time from the answer to the end; zero until both are set.
    pub talk: Span,
    /// The time from the start to the end.
    pub total: Option<Span>,
    pub participants: Vec<Participant>,
    pub missed_extensions: Vec<Extension>,
    pub links: Vec<Link>,
    /// Later legs, and the reasons why they belong to this call.
    pub joins: Vec<Join>,
    pub transfer: Option<Transfer>,
    /// The last transfer failed, and no phone spoke with the party afterwards.
    pub lost_in_transfer: bool,
    pub pickup: bool,
    pub click_to_call: bool,
    pub confidence: Confidence,
    /// The reason why the confidence is not high.
    pub reason: Option<&'static str>,
    /// Number of facts that came after the final end of their leg.
    pub late_facts: u32,
    /// The instant of the missed decision; set while all phones are silent and the decision is
    /// open.
    pub missed_due: Option<At>,
    /// The effect of each fact, for `explain`; empty unless requested.
    pub trace: Vec<Line>,
}

impl CallRecord {
    /// Reads the record of a call at the watermark `now`.
    pub(super) fn of(reading: &Reading<'_>, now: At) -> CallRecord {
        let caller = reading.caller();
        let started_at = reading.started_at();
        let answered_at = reading.answered_at().filter(|_| reading.has_conversation());
        let end = reading.end_at(now);
        let decided = end.is_some() && now >= reading.decide_at();

        let direction = direction(reading, caller);
        let outcome = outcome(reading, direction, answered_at.is_some(), decided);
        let ended_at = end
            .map(|(at, _)| at)
            .filter(|_| decided || answered_at.is_some());
        let transfer = reading.main_transfer();
        let (confidence, reason) = confidence(reading, direction, answered_at, outcome);

        CallRecord {
            id: reading.call.id,
            site: reading.site.clone(),
            direction,
            status: status(reading, answered_at, ended_at, outcome),
            outcome,
            from: from_party(reading, caller),
            to: to_party(reading, caller, direction, transfer.as_ref()),
            requested: requested_party(reading, caller),
            answered_by: reading.answerers().first().map(|leg| Owner {
                extension: leg.extension.clone(),
                device: leg.device.clone(),
            }),
            started_at,
            answered_at,
            ended_at,
            end_reason: ended_at.and(end).map(|(_, lost)| end_reason(lost)),
            ring: answered_at.or(ended_at).map(|until| until - started_at),
            talk: answered_at
                .zip(ended_at)
                .map_or(Span::ZERO, |(from, until)| until - from),
            total: ended_at.map(|until| until - started_at),
            participants: participants(reading, ended_at.is_some(), answered_at),
            missed_extensions: missed_extensions(reading, caller, outcome),
            links: reading.call.links.clone(),
            joins: joins(reading),
            transfer,
            lost_in_transfer: reading.lost_in_transfer(),
            pickup: reading.legs().any(|leg| leg.pickup),
            click_to_call: caller.is_some_and(|caller| caller.side == Side::Incoming),
            confidence,
            reason,
            late_facts: reading.call.late_facts,
            missed_due: end
                .filter(|_| !decided && answered_at.is_none())
                .map(|_| reading.decide_at()),
            trace: trace_lines(reading),
        }
    }
}

fn trace_lines(reading: &Reading<'_>) -> Vec<Line> {
    let line = |entry: &TraceEntry| {
        let leg = reading.leg(entry.leg);
        Line {
            at: entry.key.at,
            event: entry.key.id,
            device: leg.device.clone(),
            extension: leg.extension.clone(),
            kind: entry.kind,
            remote: leg.remote.clone(),
            rule: entry.rule,
        }
    };

    reading.call.trace.iter().map(line).collect()
}

fn joins(reading: &Reading<'_>) -> Vec<Join> {
    let join = |leg: &Leg| {
        leg.joined.map(|(kind, confidence, reason)| Join {
            kind,
            extension: leg.extension.clone(),
            confidence,
            reason,
        })
    };

    reading.legs().filter_map(join).collect()
}

fn direction(reading: &Reading<'_>, caller: Option<&Leg>) -> Direction {
    let Some(caller) = caller else {
        let from_site = reading.first_callee().is_some_and(|leg| {
            !leg.is_party(&leg.remote) && reading.is_site_extension(leg.remote.dial())
        });
        return if from_site {
            Direction::Internal
        } else {
            Direction::Inbound
        };
    };

    let to_site = reading.rang_site_phone() || reading.dials_colleague(caller);
    if to_site {
        Direction::Internal
    } else {
        Direction::Outbound
    }
}

fn end_reason(lost: bool) -> EndReason {
    if lost {
        EndReason::LostHangup
    } else {
        EndReason::Hangup
    }
}

fn outcome(
    reading: &Reading<'_>,
    direction: Direction,
    answered: bool,
    decided: bool,
) -> Option<Outcome> {
    if answered {
        return Some(Outcome::Answered);
    }
    if !decided {
        return None;
    }

    let only_ends = reading
        .main_legs()
        .all(|leg| leg.has_only_end() && leg.ended_by == EndedBy::Hangup);

    Some(match direction {
        _ if only_ends => Outcome::Lost,
        Direction::Outbound => Outcome::NoAnswer,
        Direction::Inbound | Direction::Internal => Outcome::Missed,
    })
}

fn status(
    reading: &Reading<'_>,
    answered_at: Option<At>,
    ended_at: Option<At>,
    outcome: Option<Outcome>,
) -> Status {
    if ended_at.is_some() {
        return if outcome == Some(Outcome::Lost) {
            Status::Failed
        } else {
            Status::Completed
        };
    }

    if answered_at.is_some() {
        let transferring = reading
            .transfers()
            .last()
            .is_some_and(|transfer| transfer.state.is_under_way());
        let held = reading.legs().any(|leg| leg.held && leg.is_talking());
        return match (transferring, held) {
            (true, _) => Status::Transferring,
            (false, true) => Status::OnHold,
            (false, false) => Status::Answered,
        };
    }

    if reading.legs_with_role(Role::Callee).next().is_some() {
        Status::Ringing
    } else {
        Status::Initiated
    }
}

/// The own extension of a leg.
fn site_party(leg: &Leg) -> Party {
    Party {
        number: leg.extension.as_ref().map(|own| own.as_str().into()),
        e164: None,
        name: None,
    }
}

/// The remote party of a leg.
fn remote_party(number: &Number, name: Option<&PrivateText>) -> Party {
    let displayed = (!number.raw().is_empty()).then(|| number.raw().into());
    // Phones without a directory entry repeat the number as the name.
    let name = name.filter(|name| ***name != *number.raw()).cloned();

    Party {
        number: displayed,
        e164: number.e164().map(Into::into),
        name,
    }
}

/// The calling party.
fn from_party(reading: &Reading<'_>, caller: Option<&Leg>) -> Party {
    if let Some(caller) = caller {
        let mut displaying = reading
            .legs_with_role(Role::Callee)
            .filter(|callee| callee.remote_is(caller));
        let name = displaying.find_map(|callee| callee.remote_name.clone());
        return Party {
            name,
            ..site_party(caller)
        };
    }

    let Some(first) = reading.first_named_callee() else {
        return Party::default();
    };

    let name = reading
        .legs_with_role(Role::Callee)
        .filter_map(|leg| leg.remote_name.as_ref())
        .find(|name| ***name != *first.remote.raw());
    let e164 = reading
        .legs_with_role(Role::Callee)
        .find_map(|leg| leg.remote.e164());

    Party {
        e164: e164.map(Into::into),
        ..remote_party(&first.remote, name)
    }
}

/// The party that answered; for an unanswered call, the requested party.
fn to_party(
    reading: &Reading<'_>,
    caller: Option<&Leg>,
    direction: Direction,
    transfer: Option<&Transfer>,
) -> Party {
    if direction == Direction::Outbound {
        return caller.map_or_else(Party::default, |caller| {
            remote_party(&caller.remote, caller.remote_name.as_ref())
        });
    }

    let completed = transfer
        .filter(|transfer| transfer.state == TransferState::Completed)
        .and_then(|transfer| transfer.to.as_deref());
    if let Some(to) = completed {
        let number = Number::parse(to, reading.policy.region);
        return Party {
            number: Some(to.into()),
            e164: number.e164().map(Into::into),
            name: None,
        };
    }

    match reading.answerers().first() {
        Some(owner) => site_party(owner),
        None => requested_party(reading, caller),
    }
}

/// The party that the caller asked for: the number dialled inside the site, else the phone that
/// rang first. If several phones began to ring together, all were requested, and the one that
/// answered represents them.
fn requested_party(reading: &Reading<'_>, caller: Option<&Leg>) -> Party {
    // A phone that was called back to place a call may display its own number instead of the
    // called one.
    if let Some(caller) = caller.filter(|caller| !caller.is_party(&caller.remote)) {
        return remote_party(&caller.remote, caller.remote_name.as_ref());
    }

    let Some(first) = reading.first_callee() else {
        return Party::default();
    };

    let owner =
        reading.answerers().first().copied().filter(|owner| {
            owner.started - first.started <= reading.policy.ring_join && !owner.pickup
        });

    site_party(owner.unwrap_or(first))
}

/// The extensions that missed the call, in the order in which they rang; empty for any other
/// outcome.
fn missed_extensions(
    reading: &Reading<'_>,
    caller: Option<&Leg>,
    outcome: Option<Outcome>,
) -> Vec<Extension> {
    if outcome != Some(Outcome::Missed) {
        return Vec::new();
    }

    let mut rang: Vec<&Leg> = reading.legs_with_role(Role::Callee).collect();
    rang.sort_by(|a, b| {
        (a.started, &a.extension, a.first).cmp(&(b.started, &b.extension, b.first))
    });

    let mut missed: Vec<Extension> = Vec::new();
    for extension in rang.into_iter().filter_map(|leg| leg.extension.as_ref()) {
        if !missed.contains(extension) {
            missed.push(extension.clone());
        }
    }
    if missed.is_empty() {
        missed.extend(caller.and_then(|caller| Extension::parse(caller.remote.dial())));
    }
    missed
}

/// The confidence of the record: phone facts alone leave some cases in doubt.
fn confidence(
    reading: &Reading<'_>,
    direction: Direction,
    answered_at: Option<At>,
    outcome: Option<Outcome>,
) -> (Confidence, Option<&'static str>) {
    let rang = reading.rang_site_phone();
    let caller_connected = reading
        .caller()
        .is_some_and(|caller| caller.side == Side::Outgoing && caller.answered.is_some());

    match (direction, answered_at, outcome) {
        (_, _, Some(Outcome::Lost)) => (
            Confidence::Low,
            Some("nothing but the end of this call was reported"),
        ),
        (Direction::Internal, None, _) if caller_connected && rang => (
            Confidence::Low,
            Some(
                "none of our phones answered, but the caller was connected: \
                 to an announcement, or to a forward outside the site",
            ),
        ),
        (Direction::Internal, None, _) if caller_connected => (
            Confidence::Medium,
            Some("unreachable: no phone of this extension rang, the caller heard an announcement"),
        ),
        (Direction::Internal, Some(_), _) if !rang => (
            Confidence::Low,
            Some("only the caller's phone reported this call"),
        ),
        _ if answered_at.is_some() && reading.main_legs().any(|leg| leg.side == Side::Unknown) => (
            Confidence::Medium,
            Some("the beginning of a leg was never reported"),
        ),
        _ => (Confidence::High, None),
    }
}
