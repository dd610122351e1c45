//! Notices: the differences between two states of a call record, for people and programs.
//!
//! A notice carries only the call and the kind of change. The notices of one call never contradict
//! each other: an end is taken back by `Reopened`, a missed call by `MissedRetracted`, a call by
//! `Withdrawn`.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use super::device::Device;
use super::fact::CallId;
use super::record::{CallRecord, Outcome, Owner, ParticipantOutcome, Status};
use super::transfer::{Transfer, TransferState};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    Started,
    /// One more phone rings for the call.
    Ringing,
    /// A phone stops ringing, and the call goes on without it.
    RingEnded,
    Answered,
    Held,
    Resumed,
    /// A transfer is under way: its target rings, or the transferring phone has reported it.
    TransferInitiated,
    /// The target of a transfer under way answered; the party is not handed over yet.
    TransferAnswered,
    /// A transfer that was under way came to nothing.
    TransferFailed,
    Transferred,
    Ended,
    Missed,
    MissedRetracted,
    /// A call announced as ended goes on.
    Reopened,
    /// A call announced as separate turned out to be part of another call.
    Withdrawn,
}

impl NoticeKind {
    pub const ALL: [NoticeKind; 15] = [
        NoticeKind::Started,
        NoticeKind::Ringing,
        NoticeKind::RingEnded,
        NoticeKind::Answered,
        NoticeKind::Held,
        NoticeKind::Resumed,
        NoticeKind::TransferInitiated,
        NoticeKind::TransferAnswered,
        NoticeKind::TransferFailed,
        NoticeKind::Transferred,
        NoticeKind::Ended,
        NoticeKind::Missed,
        NoticeKind::MissedRetracted,
        NoticeKind::Reopened,
        NoticeKind::Withdrawn,
    ];

    /// The kind with this published name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<NoticeKind> {
        NoticeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The published name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NoticeKind::Started => "call.started",
            NoticeKind::Ringing => "call.ringing",
            NoticeKind::RingEnded => "call.ring_ended",
            NoticeKind::Answered => "call.answered",
            NoticeKind::Held => "call.held",
            NoticeKind::Resumed => "call.resumed",
            NoticeKind::TransferInitiated => "call.transfer_initiated",
            NoticeKind::TransferAnswered => "call.transfer_answered",
            NoticeKind::TransferFailed => "call.transfer_failed",
            NoticeKind::Transferred => "call.transferred",
            NoticeKind::Ended => "call.ended",
            NoticeKind::Missed => "call.missed",
            NoticeKind::MissedRetracted => "call.missed_retracted",
            NoticeKind::Reopened => "call.reopened",
            NoticeKind::Withdrawn => "call.withdrawn",
        }
    }
}

/// One change of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    pub call: CallId,
    pub kind: NoticeKind,
}

/// The notices that lead from the records `before` to the records `after`.
#[must_use]
pub fn between(before: &[CallRecord], after: &[CallRecord]) -> Vec<Notice> {
    let previous: HashMap<CallId, NoticeState, FixedState> = before
        .iter()
        .map(|record| (record.id, NoticeState::of(record)))
        .collect();
    let present: HashSet<CallId, FixedState> = after.iter().map(|record| record.id).collect();

    let gone = before.iter().filter(|record| !present.contains(&record.id));
    let mut notices: Vec<Notice> = gone
        .map(|record| Notice {
            call: record.id,
            kind: NoticeKind::Withdrawn,
        })
        .collect();

    for record in after {
        let state = NoticeState::of(record);
        state.add_notices_since(previous.get(&record.id), record.id, &mut notices);
    }
    notices
}

/// The announced state of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoticeState {
    /// The phones that ring, in their order.
    ringing: Vec<Device>,
    owner: Option<Owner>,
    answered: bool,
    held: bool,
    transferring: bool,
    target_answered: bool,
    transferred: Option<Transfer>,
    ended: bool,
    missed: bool,
}

impl NoticeState {
    pub fn of(record: &CallRecord) -> NoticeState {
        let mut ringing: Vec<Device> = record
            .participants
            .iter()
            .filter(|participant| participant.outcome == ParticipantOutcome::Ringing)
            .map(|participant| participant.device.clone())
            .collect();
        ringing.sort_unstable();

        NoticeState {
            ringing,
            owner: record.answered_by.clone(),
            answered: record.answered_at.is_some(),
            held: record.status == Status::OnHold,
            transferring: record
                .transfer
                .as_ref()
                .is_some_and(|transfer| transfer.state.is_under_way()),
            target_answered: record
                .transfer
                .as_ref()
                .is_some_and(|transfer| transfer.state == TransferState::Answered),
            transferred: record
                .transfer
                .clone()
                .filter(|transfer| transfer.state == TransferState::Completed),
            ended: record.ended_at.is_some(),
            missed: record.outcome == Some(Outcome::Missed),
        }
    }

    fn rings_at(&self, phone: &Device) -> bool {
        self.ringing.binary_search(phone).is_ok()
    }

    /// Adds the notices that lead from the state `before` to this state.
    pub fn add_notices_since(
        &self,
        before: Option<&NoticeState>,
        call: CallId,
        notices: &mut Vec<Notice>,
    ) {
        let mut add = |kind: NoticeKind| notices.push(Notice { call, kind });
        let was = |property: fn(&NoticeState) -> bool| before.is_some_and(property);

        if before.is_none() {
            add(NoticeKind::Started);
        }
        if was(|before| before.missed) && !self.missed {
            add(NoticeKind::MissedRetracted);
        }
        if was(|before| before.ended) && !self.ended {
            add(NoticeKind::Reopened);
        }

        // A phone that falls silent with the answer or the end is no change of its own.
        let was_ringing = |phone: &Device| before.is_some_and(|before| before.rings_at(phone));
        if before.is_some() && self.ringing.iter().any(|phone| !was_ringing(phone)) {
            add(NoticeKind::Ringing);
        } else if !self.answered
            && !self.ended
            && before.is_some_and(|before| before.ringing.iter().any(|phone| !self.rings_at(phone)))
        {
            add(NoticeKind::RingEnded);
        }

        if self.answered
            && (!was(|before| before.answered)
                || before.is_some_and(|before| before.owner != self.owner))
        {
            add(NoticeKind::Answered);
        }
        if self.held && !was(|before| before.held) {
            add(NoticeKind::Held);
        }
        if !self.held && !self.ended && was(|before| before.held) {
            add(NoticeKind::Resumed);
        }
        if self.transferring && !was(|before| before.transferring) {
            add(NoticeKind::TransferInitiated);
        }
        if self.target_answered && !was(|before| before.target_answered) {
            add(NoticeKind::TransferAnswered);
        }
        if !self.transferring && self.transferred.is_none() && was(|before| before.transferring) {
            add(NoticeKind::TransferFailed);
        }
        if self.transferred.is_some()
            && before.is_none_or(|before| before.transferred != self.transferred)
        {
            add(NoticeKind::Transferred);
        }

        if self.ended && !was(|before| before.ended) {
            add(NoticeKind::Ended);
        }
        if self.missed && !was(|before| before.missed) {
            add(NoticeKind::Missed);
        }
    }
}
