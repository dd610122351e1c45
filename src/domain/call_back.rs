//! The need for a call back: the callers who did not reach the phone that they asked for, or that they
//! were handed to.

use super::device::Extension;
use super::record::{CallRecord, Direction, Outcome, ParticipantRole};

/// Why the caller of a call that is over is to be called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallBackCause {
    /// No phone answered.
    Missed,
    /// The call was answered, and then transferred to phones that did not answer; since then the
    /// caller spoke with no one.
    TransferFailed,
}

impl CallBackCause {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CallBackCause::Missed => "missed",
            CallBackCause::TransferFailed => "transfer_failed",
        }
    }
}

impl CallRecord {
    /// Why the caller is to be called back, if he is.
    #[must_use]
    pub fn call_back_cause(&self) -> Option<CallBackCause> {
        if self.outcome == Some(Outcome::Missed) {
            Some(CallBackCause::Missed)
        } else {
            self.lost_in_transfer()
                .then_some(CallBackCause::TransferFailed)
        }
    }

    /// The extensions that the caller did not reach, in the order in which they rang.
    #[must_use]
    pub fn unreached_extensions(&self) -> Vec<&Extension> {
        if !self.lost_in_transfer() {
            return self.missed_extensions.iter().collect();
        }

        let mut unreached: Vec<&Extension> = Vec::new();
        let targets = self.participants.iter().filter(|party| {
            party.role == ParticipantRole::TransferTarget && party.answered_at.is_none()
        });
        for extension in targets.filter_map(|target| target.extension.as_ref()) {
            if !unreached.contains(&extension) {
                unreached.push(extension);
            }
        }
        unreached
    }

    /// The caller was handed on, and then spoke with no phone.
    fn lost_in_transfer(&self) -> bool {
        self.lost_in_transfer
            && self.direction == Direction::Inbound
            && self.outcome == Some(Outcome::Answered)
            && self.ended_at.is_some()
    }
}
