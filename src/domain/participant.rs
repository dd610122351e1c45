//! The participants of a call: each extension with all its phones and legs.

use super::device::{Device, Extension};
use super::fact::CallRef;
use super::leg::{EndedBy, Leg, Role};
use super::reading::Reading;
use super::time::At;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantRole {
    Caller,
    Callee,
    TransferTarget,
}

/// The result of the call for one participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantOutcome {
    Ringing,
    Talking,
    Answered,
    /// Rang, and another phone took the call.
    AnsweredElsewhere,
    Rejected,
    Missed,
    /// Called or consulted, without an answer.
    Unanswered,
}

/// One extension's participation in the call, with all its phones and legs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    pub extension: Option<Extension>,
    pub device: Device,
    /// The call as the phone names it; of several legs, that of the conversation or else the first.
    pub call_ref: Option<CallRef>,
    pub role: ParticipantRole,
    pub rang_at: Option<At>,
    pub answered_at: Option<At>,
    pub left_at: Option<At>,
    pub outcome: ParticipantOutcome,
}

/// The participants of a call, in the order in which they began.
pub(super) fn participants(
    reading: &Reading<'_>,
    over: bool,
    answered: Option<At>,
) -> Vec<Participant> {
    let mut legs: Vec<&Leg> = reading.legs().collect();
    legs.sort_by_key(|leg| (leg.started, leg.first));
    let owners = reading.answerers();

    let mut all: Vec<Participant> = Vec::with_capacity(legs.len());
    for leg in legs {
        let lost_race = leg.role == Role::Callee
            && leg.answered.is_some()
            && !owners.iter().any(|owner| std::ptr::eq(*owner, leg));
        let new = participant(leg, over, answered, lost_race);
        let is_same = |stored: &&mut Participant| match (&stored.extension, &new.extension) {
            (None, None) => stored.device == new.device,
            (stored, new) => stored == new,
        };

        match all.iter_mut().find(is_same) {
            Some(stored) => merge_participant(stored, &new),
            None => all.push(new),
        }
    }
    all
}

fn participant(leg: &Leg, over: bool, answered: Option<At>, lost_race: bool) -> Participant {
    let answered_at = leg.answered.filter(|_| !lost_race);
    let rang_before_answer = answered.is_some_and(|at| leg.rang.is_none_or(|rang| rang <= at));
    let outcome = match (answered_at, leg.is_open() && !over, leg.ended_by) {
        (Some(_), true, _) => ParticipantOutcome::Talking,
        (Some(_), false, _) => ParticipantOutcome::Answered,
        (None, true, _) if leg.role == Role::Callee && rang_before_answer => {
            ParticipantOutcome::AnsweredElsewhere
        }
        (None, true, _) => ParticipantOutcome::Ringing,
        (None, false, EndedBy::Rejected) => ParticipantOutcome::Rejected,
        (None, false, _) => match leg.role {
            Role::Callee if answered.is_some() => ParticipantOutcome::AnsweredElsewhere,
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
        call_ref: leg.call_ref.clone(),
        role,
        rang_at: leg.rang,
        answered_at,
        left_at: leg.ended,
        outcome,
    }
}

/// Merges another leg into its participant: a conversation determines the outcome, else the latest
/// leg does. A phone to which the call comes again rings for it, whatever it did before.
fn merge_participant(participant: &mut Participant, other: &Participant) {
    let had_answered = participant.answered_at.is_some();
    let rings_again = other.outcome == ParticipantOutcome::Ringing
        && participant.outcome != ParticipantOutcome::Talking;
    if other.answered_at.is_some() && !had_answered {
        participant.device = other.device.clone();
        participant.call_ref.clone_from(&other.call_ref);
    }
    if participant.call_ref.is_none() && participant.device == other.device {
        participant.call_ref.clone_from(&other.call_ref);
    }

    participant.rang_at = earliest(participant.rang_at, other.rang_at);
    participant.answered_at = earliest(participant.answered_at, other.answered_at);

    let open = participant.left_at.is_none() || other.left_at.is_none();
    participant.left_at = if open {
        None
    } else {
        participant.left_at.max(other.left_at)
    };
    if other.answered_at.is_some() || !had_answered {
        participant.outcome = other.outcome;
    }
    if rings_again {
        participant.outcome = other.outcome;
        participant.role = other.role;
        participant.rang_at = other.rang_at;
    }
}

fn earliest(a: Option<At>, b: Option<At>) -> Option<At> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
