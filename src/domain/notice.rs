//! Notices: what people and programs are told, as the difference between a call before and after.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use super::fact::CallId;
use super::record::{CallRecord, Outcome, Owner, Status};
use super::transfer::{Transfer, TransferState};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    Started,
    Answered,
    Held,
    Resumed,
    Transferred,
    Ended,
    Missed,
    MissedRetracted,
    /// What was announced as ended goes on.
    Reopened,
    /// What was announced as a call was part of another one.
    Withdrawn,
}

impl NoticeKind {
    pub const ALL: [NoticeKind; 10] = [
        NoticeKind::Started,
        NoticeKind::Answered,
        NoticeKind::Held,
        NoticeKind::Resumed,
        NoticeKind::Transferred,
        NoticeKind::Ended,
        NoticeKind::Missed,
        NoticeKind::MissedRetracted,
        NoticeKind::Reopened,
        NoticeKind::Withdrawn,
    ];

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<NoticeKind> {
        NoticeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name under which other programs receive it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NoticeKind::Started => "call.started",
            NoticeKind::Answered => "call.answered",
            NoticeKind::Held => "call.held",
            NoticeKind::Resumed => "call.resumed",
            NoticeKind::Transferred => "call.transferred",
            NoticeKind::Ended => "call.ended",
            NoticeKind::Missed => "call.missed",
            NoticeKind::MissedRetracted => "call.missed_retracted",
            NoticeKind::Reopened => "call.reopened",
            NoticeKind::Withdrawn => "call.withdrawn",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    pub call: CallId,
    pub kind: NoticeKind,
}

/// What must be said so that somebody who knows the records `before` knows those `after`.
#[must_use]
pub fn between(before: &[CallRecord], after: &[CallRecord]) -> Vec<Notice> {
    let known: HashMap<CallId, NoticeState, FixedState> = before
        .iter()
        .map(|record| (record.id, NoticeState::of(record)))
        .collect();
    let present: HashSet<CallId, FixedState> = after.iter().map(|record| record.id).collect();
    let gone = before.iter().filter(|record| !present.contains(&record.id));
    let mut say: Vec<Notice> = gone
        .map(|record| Notice {
            call: record.id,
            kind: NoticeKind::Withdrawn,
        })
        .collect();
    for record in after {
        NoticeState::of(record).since(known.get(&record.id), record.id, &mut say);
    }
    say
}

/// What was last said about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoticeState {
    owner: Option<Owner>,
    answered: bool,
    held: bool,
    transferred: Option<Transfer>,
    ended: bool,
    missed: bool,
}

impl NoticeState {
    pub fn of(record: &CallRecord) -> NoticeState {
        NoticeState {
            owner: record.answered_by.clone(),
            answered: record.answered_at.is_some(),
            held: record.status == Status::OnHold,
            transferred: record
                .transfer
                .clone()
                .filter(|transfer| transfer.state == TransferState::Completed),
            ended: record.ended_at.is_some(),
            missed: record.outcome == Some(Outcome::Missed),
        }
    }

    /// What must be said so that somebody who knows `before` knows `self`.
    pub fn since(&self, before: Option<&NoticeState>, call: CallId, say: &mut Vec<Notice>) {
        let mut tell = |kind: NoticeKind| say.push(Notice { call, kind });
        let new = before.is_none();
        let was = |fact: fn(&NoticeState) -> bool| before.is_some_and(fact);
        if new {
            tell(NoticeKind::Started);
        }
        if was(|before| before.missed) && !self.missed {
            tell(NoticeKind::MissedRetracted);
        }
        if was(|before| before.ended) && !self.ended {
            tell(NoticeKind::Reopened);
        }
        if self.answered
            && (!was(|before| before.answered)
                || before.is_some_and(|before| before.owner != self.owner))
        {
            tell(NoticeKind::Answered);
        }
        if self.held && !was(|before| before.held) {
            tell(NoticeKind::Held);
        }
        if !self.held && !self.ended && was(|before| before.held) {
            tell(NoticeKind::Resumed);
        }
        if self.transferred.is_some()
            && before.is_none_or(|before| before.transferred != self.transferred)
        {
            tell(NoticeKind::Transferred);
        }
        if self.ended && !was(|before| before.ended) {
            tell(NoticeKind::Ended);
        }
        if self.missed && !was(|before| before.missed) {
            tell(NoticeKind::Missed);
        }
    }
}
