//! The record of a call: what the log shows. Data only; how it is read from the legs stands at the
//! end.

use super::call::Step;
use super::device::{Device, Extension};
use super::explain::Line;
use super::fact::{CallId, Site};
use super::leg::{EndedBy, Leg, Role, Side};
use super::link::{Confidence, Join, Link};
use super::number::Number;
use super::private::PrivateText;
use super::reading::Reading;
use super::time::{At, Span};
use super::transfer::{Transfer, TransferState};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Inbound,
    Outbound,
    Internal,
}

/// Where the call is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Initiated,
    Ringing,
    Answered,
    OnHold,
    Transferring,
    Completed,
    /// Over, and nothing but its end was ever reported.
    Failed,
}

/// What came of the call. Phone facts alone prove these; a second source may know more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Answered,
    Missed,
    NoAnswer,
    /// Only an end was reported: nobody can say what it ended.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    Hangup,
    /// No end was ever reported: the call was closed by its maximum duration, its end is the last
    /// sign of it.
    LostHangup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantRole {
    Caller,
    Callee,
    TransferTarget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantOutcome {
    Ringing,
    Talking,
    Answered,
    /// Rang, and somebody else took the call.
    AnsweredElsewhere,
    Rejected,
    Missed,
    /// Called or asked, and nothing came of it.
    Unanswered,
}

/// A party of the call as the phones showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    pub number: Option<PrivateText>,
    pub e164: Option<PrivateText>,
    pub name: Option<PrivateText>,
}

/// One extension's part in the call, however many of its phones and legs took part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    pub extension: Option<Extension>,
    pub device: Device,
    pub role: ParticipantRole,
    pub rang_at: Option<At>,
    pub answered_at: Option<At>,
    pub left_at: Option<At>,
    pub outcome: ParticipantOutcome,
}

/// Whose answer the call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub extension: Option<Extension>,
    pub device: Device,
}

/// One call, as true as the facts allow.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    pub id: CallId,
    pub site: Site,
    pub direction: Direction,
    pub status: Status,
    /// `None` while it is open what comes of the call.
    pub outcome: Option<Outcome>,
    pub from: Party,
    pub to: Party,
    pub requested: Party,
    pub answered_by: Option<Owner>,
    pub started_at: At,
    pub answered_at: Option<At>,
    pub ended_at: Option<At>,
    pub end_reason: Option<EndReason>,
    pub ring: Option<Span>,
    pub talk: Span,
    pub total: Option<Span>,
    pub participants: Vec<Participant>,
    pub missed_extensions: Vec<Extension>,
    pub links: Vec<Link>,
    /// Legs that began later, and why they belong to this call.
    pub joins: Vec<Join>,
    pub transfer: Option<Transfer>,
    pub pickup: bool,
    pub click_to_call: bool,
    pub confidence: Confidence,
    /// Why the confidence is not high.
    pub reason: Option<&'static str>,
    pub late_facts: u32,
    /// When it will be decided whether somebody missed the call; while all its phones are silent
    /// and it is not.
    pub missed_due: Option<At>,
    /// What each fact did, for `explain`; empty unless asked for.
    pub trace: Vec<Line>,
}

impl CallRecord {
    /// Reads the record of a call as it stands when the watermark is `now`.
    pub(super) fn of(reading: &Reading<'_>, now: At) -> CallRecord {
        let caller = reading.caller();
        let answered_at = reading.answered_at().filter(|_| reading.has_conversation());
        let end = reading.end_at(now);
        let decided = end.is_some() && now >= reading.decide_at();
        let started_at = reading.started();
        let direction = direction(reading, caller);
        let outcome = outcome(reading, direction, answered_at.is_some(), decided);
        let ended_at = end
            .map(|(at, _)| at)
            .filter(|_| decided || answered_at.is_some());
        let transfer = reading.main_transfer();
        let missed = outcome == Some(Outcome::Missed);
        let (confidence, reason) = doubt(reading, direction, answered_at, outcome);
        CallRecord {
            id: reading.call.id,
            site: reading.site.clone(),
            direction,
            status: status(reading, answered_at, ended_at, outcome),
            outcome,
            from: from(reading, caller),
            to: to(reading, caller, direction, transfer.as_ref()),
            requested: requested(reading, caller),
            answered_by: reading.answerers().first().map(|leg| Owner {
                extension: leg.extension.clone(),
                device: leg.device.clone(),
            }),
            started_at,
            answered_at,
            ended_at,
            end_reason: ended_at.and(end).map(|(_, lost)| {
                if lost {
                    EndReason::LostHangup
                } else {
                    EndReason::Hangup
                }
            }),
            ring: answered_at.or(ended_at).map(|until| until - started_at),
            talk: answered_at
                .zip(ended_at)
                .map_or(Span::ZERO, |(from, until)| until - from),
            total: ended_at.map(|until| until - started_at),
            participants: participants(reading, ended_at.is_some(), answered_at.is_some()),
            missed_extensions: if missed {
                missed_extensions(reading, caller)
            } else {
                Vec::new()
            },
            links: reading.call.links.clone(),
            joins: joins(reading),
            transfer,
            pickup: reading.legs().any(|leg| leg.pickup),
            click_to_call: caller.is_some_and(|caller| caller.side == Side::Incoming),
            confidence,
            reason,
            late_facts: reading.call.late_facts,
            missed_due: end
                .filter(|_| !decided && answered_at.is_none())
                .map(|_| reading.decide_at()),
            trace: trace(reading),
        }
    }
}

fn trace(reading: &Reading<'_>) -> Vec<Line> {
    let line = |step: &Step| {
        let leg = reading.leg(step.leg);
        Line {
            at: step.key.at,
            event: step.key.id,
            device: leg.device.clone(),
            extension: leg.extension.clone(),
            kind: step.kind,
            remote: leg.remote.clone(),
            rule: step.rule,
        }
    };
    reading.call.steps.iter().map(line).collect()
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
        let ours = reading
            .first_callee()
            .is_some_and(|leg| reading.is_our_extension(leg.remote.dial()));
        return if ours {
            Direction::Internal
        } else {
            Direction::Inbound
        };
    };
    let colleague = reading.rang_ours() || reading.dials_colleague(caller);
    if colleague {
        Direction::Internal
    } else {
        Direction::Outbound
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
        .all(|leg| leg.is_only_an_end() && leg.ended_by == EndedBy::Hangup);
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
        let moving = reading
            .transfers()
            .last()
            .is_some_and(|transfer| transfer.state.is_under_way());
        let held = reading.legs().any(|leg| leg.held && leg.is_talking());
        return match (moving, held) {
            (true, _) => Status::Transferring,
            (false, true) => Status::OnHold,
            (false, false) => Status::Answered,
        };
    }
    if reading.role(Role::Callee).next().is_some() {
        Status::Ringing
    } else {
        Status::Initiated
    }
}

fn our_party(leg: &Leg) -> Party {
    Party {
        number: leg.extension.as_ref().map(|own| own.as_str().into()),
        e164: None,
        name: None,
    }
}

fn their_party(number: &Number, name: Option<&PrivateText>) -> Party {
    let shown = (!number.raw().is_empty()).then(|| number.raw().into());
    // Phones without a directory entry repeat the number as the name.
    let name = name.filter(|name| ***name != *number.raw()).cloned();
    Party {
        number: shown,
        e164: number.e164().map(Into::into),
        name,
    }
}

fn from(reading: &Reading<'_>, caller: Option<&Leg>) -> Party {
    if let Some(caller) = caller {
        let mut shown = reading
            .role(Role::Callee)
            .filter(|callee| callee.faces(caller));
        let name = shown.find_map(|callee| callee.remote_name.clone());
        return Party {
            name,
            ..our_party(caller)
        };
    }
    let Some(first) = reading.first_callee() else {
        return Party::default();
    };
    let name = reading
        .role(Role::Callee)
        .filter_map(|leg| leg.remote_name.as_ref())
        .find(|name| ***name != *first.remote.raw());
    let e164 = reading.role(Role::Callee).find_map(|leg| leg.remote.e164());
    Party {
        e164: e164.map(Into::into),
        ..their_party(&first.remote, name)
    }
}

/// Who took the call; if nobody did, whom it was meant for.
fn to(
    reading: &Reading<'_>,
    caller: Option<&Leg>,
    direction: Direction,
    transfer: Option<&Transfer>,
) -> Party {
    if direction == Direction::Outbound {
        return caller.map_or_else(Party::default, |caller| {
            their_party(&caller.remote, caller.remote_name.as_ref())
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
        Some(owner) => our_party(owner),
        None => requested(reading, caller),
    }
}

/// Whom the caller asked for: the number dialled inside the site, else the phone that rang first.
/// Where several began to ring together, all were asked, and the one who answered stands for them.
fn requested(reading: &Reading<'_>, caller: Option<&Leg>) -> Party {
    if let Some(caller) = caller {
        return their_party(&caller.remote, caller.remote_name.as_ref());
    }
    let Some(first) = reading.first_callee() else {
        return Party::default();
    };
    let owner =
        reading.answerers().first().copied().filter(|owner| {
            owner.started - first.started <= reading.policy.ring_join && !owner.pickup
        });
    our_party(owner.unwrap_or(first))
}

fn missed_extensions(reading: &Reading<'_>, caller: Option<&Leg>) -> Vec<Extension> {
    let mut rang: Vec<&Leg> = reading.role(Role::Callee).collect();
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

fn participants(reading: &Reading<'_>, over: bool, answered: bool) -> Vec<Participant> {
    let mut legs: Vec<&Leg> = reading.legs().collect();
    legs.sort_by_key(|leg| (leg.started, leg.first));
    let owners = reading.answerers();
    let mut all: Vec<Participant> = Vec::with_capacity(legs.len());
    for leg in legs {
        let lost_race = leg.role == Role::Callee
            && leg.answered.is_some()
            && !owners.iter().any(|owner| std::ptr::eq(*owner, leg));
        let one = participant(leg, over, answered, lost_race);
        let same = |known: &&mut Participant| match (&known.extension, &one.extension) {
            (None, None) => known.device == one.device,
            (known, one) => known == one,
        };
        match all.iter_mut().find(same) {
            Some(known) => merge(known, &one),
            None => all.push(one),
        }
    }
    all
}

fn participant(leg: &Leg, over: bool, answered: bool, lost_race: bool) -> Participant {
    let answered_at = leg.answered.filter(|_| !lost_race);
    let outcome = match (answered_at, leg.is_open() && !over, leg.ended_by) {
        (Some(_), true, _) => ParticipantOutcome::Talking,
        (Some(_), false, _) => ParticipantOutcome::Answered,
        (None, true, _) if leg.role == Role::Callee && answered => {
            ParticipantOutcome::AnsweredElsewhere
        }
        (None, true, _) => ParticipantOutcome::Ringing,
        (None, false, EndedBy::Rejected) => ParticipantOutcome::Rejected,
        (None, false, _) => match leg.role {
            Role::Callee if answered => ParticipantOutcome::AnsweredElsewhere,
            Role::Callee | Role::Target => ParticipantOutcome::Missed,
            Role::Caller | Role::Consult => ParticipantOutcome::Unanswered,
        },
    };
    let role = match leg.role {
        Role::Caller => ParticipantRole::Caller,
        Role::Callee | Role::Consult => ParticipantRole::Callee,
        Role::Target => ParticipantRole::TransferTarget,
    };
    Participant {
        extension: leg.extension.clone(),
        device: leg.device.clone(),
        role,
        rang_at: leg.rang,
        answered_at,
        left_at: leg.ended,
        outcome,
    }
}

/// Another leg of a known participant: the conversation speaks for it, else the last thing that
/// happened to it.
fn merge(known: &mut Participant, other: &Participant) {
    let had_answered = known.answered_at.is_some();
    if other.answered_at.is_some() && !had_answered {
        known.device = other.device.clone();
    }
    known.rang_at = earliest(known.rang_at, other.rang_at);
    known.answered_at = earliest(known.answered_at, other.answered_at);
    let open = known.left_at.is_none() || other.left_at.is_none();
    known.left_at = if open {
        None
    } else {
        known.left_at.max(other.left_at)
    };
    if other.answered_at.is_some() || !had_answered {
        known.outcome = other.outcome;
    }
}

fn earliest(a: Option<At>, b: Option<At>) -> Option<At> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Where phones alone leave a doubt, the record says so.
fn doubt(
    reading: &Reading<'_>,
    direction: Direction,
    answered_at: Option<At>,
    outcome: Option<Outcome>,
) -> (Confidence, Option<&'static str>) {
    let rang = reading.rang_ours();
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
                "none of our phones answered, but the caller was connected: to an announcement, or to a forward outside the site",
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
