//! Transfers as the record of a call reports them.

use super::time::At;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// Transferred without consultation.
    Blind,
    /// Consulted first, then handed over.
    Attended,
    /// Handed over while the target still rang.
    SemiAttended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferState {
    /// Reported by the transferring phone; no phone of this site rings for it.
    Initiated,
    Ringing,
    /// The target answered; the party is not handed over yet.
    Answered,
    Completed,
    /// The transferring phone returned to its party.
    Cancelled,
    /// The target did not answer.
    Failed,
    /// The party left before it was handed over.
    Abandoned,
}

impl TransferKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TransferKind::Blind => "blind",
            TransferKind::Attended => "attended",
            TransferKind::SemiAttended => "semi_attended",
        }
    }
}

impl TransferState {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TransferState::Initiated => "initiated",
            TransferState::Ringing => "ringing",
            TransferState::Answered => "answered",
            TransferState::Completed => "completed",
            TransferState::Cancelled => "cancelled",
            TransferState::Failed => "failed",
            TransferState::Abandoned => "abandoned",
        }
    }

    /// Whether the outcome is still open.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        matches!(
            self,
            TransferState::Initiated | TransferState::Ringing | TransferState::Answered
        )
    }
}

/// A transfer as the record of its call reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub kind: TransferKind,
    pub state: TransferState,
    /// The number or extension of the target, if a phone named it.
    pub to: Option<String>,
    /// The reason of a failure, if the phones report it.
    pub reason: Option<&'static str>,
    /// The instant at which the target began to ring, or a phone reported the transfer.
    pub initiated_at: At,
    /// The instant of the answer, the completion or the failure; `None` while the target rings.
    pub decided_at: Option<At>,
    /// The instant at which the target took the call over.
    pub completed_at: Option<At>,
}
