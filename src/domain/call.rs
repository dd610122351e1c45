//! A call: the legs of one conversation, the transfer attempts made in it, its links to earlier
//! calls, and an optional trace of its facts.
//!
//! A call exists while it has at least one leg. Once its record is final, the legs are dropped and
//! a [`ClosedCall`] remains for the link window. Limits: [`LEGS_MAX`] legs and
//! [`TRACE_ENTRIES_MAX`] trace entries per call.

use smallvec::SmallVec;

use super::fact::{CallId, EventId, FactKey, Kind};
use super::leg::LegSlot;
use super::link::Link;
use super::number::{Number, PartyKey};
use super::time::At;
use super::transfer::TransferState;

/// Maximum number of legs per call; further legs are folded into a call of their own.
pub(super) const LEGS_MAX: usize = 2_048;
/// Maximum number of trace entries per call; further entries are only counted.
pub(super) const TRACE_ENTRIES_MAX: usize = 512;

/// An attempt to transfer a party to another phone or number.
#[derive(Clone, Debug)]
pub(super) struct TransferAttempt {
    /// The transferor: the conversation leg of the transferring phone, if it is identified.
    pub transferor: Option<LegSlot>,
    /// The consultation leg of the transferor, if it consults first. `None` for a blind transfer.
    pub consult: Option<LegSlot>,
    /// The dialled transfer target.
    pub target: Option<Number>,
    pub started: At,
    /// The transferor itself reported the transfer.
    pub explicit: bool,
    /// The outcome, set when the legs that would prove it have become a call of their own.
    pub decided: Option<TransferState>,
    /// The attempt turned out not to be a transfer: its legs belong to other calls.
    pub void: bool,
}

impl TransferAttempt {
    pub fn new(
        started: At,
        transferor: Option<LegSlot>,
        consult: Option<LegSlot>,
        target: Option<Number>,
    ) -> TransferAttempt {
        TransferAttempt {
            transferor,
            consult,
            target,
            started,
            explicit: false,
            decided: None,
            void: false,
        }
    }

    /// Whether the outcome of the attempt is fixed.
    pub fn is_decided(&self) -> bool {
        self.void || self.decided.is_some()
    }
}

/// The effect of one fact on its call.
#[derive(Clone, Copy, Debug)]
pub(super) struct TraceEntry {
    pub key: FactKey,
    pub leg: LegSlot,
    pub kind: Kind,
    pub rule: Rule,
}

/// The rule that decided the meaning of a fact, or of the passing of time. [`Rule::description`] explains
/// each rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Began,
    LateJoin,
    JoinedCaller,
    JoinedForward,
    ClickToCall,
    JoinedRinging,
    RangAgain,
    TransferRings,
    Resumed,
    ConsultBegan,
    CallerFound,
    Answered,
    AnsweredFirst,
    PickedUp,
    Ended,
    EndedUnanswered,
    HeldOrResumed,
    TransferReported,
    Duplicate,
    Swapped,
    TooLate,
    Superseded,
    ConsultBecameCall,
    OverlapBecameCall,
    LateRingBecameCall,
    TakenFromPark,
}

/// A conversation: its legs, and the bookkeeping of the fold for it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub id: CallId,
    /// The first fact in time order; the tie-breaker between otherwise equal calls.
    pub first: FactKey,
    /// The last fact that changed the call; duplicates are not counted.
    pub last: FactKey,
    pub legs: SmallVec<[LegSlot; 4]>,
    /// A `Vec`, because most calls have no attempts, links or trace, and a call is copied when it
    /// changes after a snapshot.
    pub attempts: Vec<TransferAttempt>,
    pub links: Vec<Link>,
    pub trace: Vec<TraceEntry>,
    pub trace_dropped: u32,
    /// Number of facts that came after the final end of their leg.
    pub late_facts: u32,
    /// The keys under which the party index lists this call.
    pub party_keys: SmallVec<[PartyKey; 4]>,
    /// The call is in the list of callers who withhold the number.
    pub in_withheld_list: bool,
    /// The link data of a call whose legs are already dropped; set when the record is final.
    pub closed: Option<Box<ClosedCall>>,
    /// The instant after which no rule but that of parking can change the call.
    pub final_at: At,
    /// The earliest entry of this call in the decision queue.
    pub next_decision_at: At,
    /// The call changed since the changes were last collected.
    pub changed: bool,
}

/// The data of a finished call that the next call of the same party needs for its link.
#[derive(Clone, Debug)]
pub(super) struct ClosedCall {
    /// The outside party.
    pub party: Number,
    /// A phone of this site placed the call.
    pub from_site: bool,
    /// The call had a conversation.
    pub answered: bool,
    pub ended: At,
}

impl Call {
    pub fn new(id: EventId, first: FactKey) -> Call {
        Call {
            id,
            first,
            last: first,
            legs: SmallVec::new(),
            attempts: Vec::new(),
            links: Vec::new(),
            trace: Vec::new(),
            trace_dropped: 0,
            late_facts: 0,
            party_keys: SmallVec::new(),
            in_withheld_list: false,
            closed: None,
            final_at: At::END,
            next_decision_at: At::END,
            changed: false,
        }
    }

    pub fn add_trace_entry(&mut self, entry: TraceEntry) {
        if self.trace.len() < TRACE_ENTRIES_MAX {
            self.trace.push(entry);
        } else {
            self.trace_dropped = self.trace_dropped.saturating_add(1);
        }
    }
}
