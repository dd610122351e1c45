//! A call: the legs that belong to one conversation, the transfer attempts made in it, and the
//! trace of what each fact did.

use smallvec::SmallVec;

use super::fact::{CallId, EventId, FactKey, Kind};
use super::leg::LegSlot;
use super::link::Link;
use super::number::{Number, PartyKey};
use super::time::At;
use super::transfer::TransferState;

/// Legs a call may gather; further ones are folded into a call of their own.
pub(super) const LEGS_MAX: usize = 512;
/// Trace steps a call keeps; further ones are only counted.
pub(super) const STEPS_MAX: usize = 512;

/// A party sent on to somebody else, or an attempt to.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The conversation leg of the phone that transfers, as far as it is known.
    pub by: Option<LegSlot>,
    /// Its second leg, when it asks first. `None` for a blind transfer.
    pub consult: Option<LegSlot>,
    /// Whom it is meant for.
    pub target: Option<Number>,
    pub started: At,
    /// The phone itself said that it transfers.
    pub explicit: bool,
    /// What came of it, where the legs that would tell have become a call of their own.
    pub settled: Option<TransferState>,
    /// Turned out to be no attempt at all: its legs belong elsewhere.
    pub void: bool,
}

impl Attempt {
    pub fn new(
        started: At,
        by: Option<LegSlot>,
        consult: Option<LegSlot>,
        target: Option<Number>,
    ) -> Attempt {
        Attempt {
            by,
            consult,
            target,
            started,
            explicit: false,
            settled: None,
            void: false,
        }
    }

    /// Whether nothing is left to be decided about it.
    pub fn is_settled(&self) -> bool {
        self.void || self.settled.is_some()
    }
}

/// What one fact did to its call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub key: FactKey,
    pub leg: LegSlot,
    pub kind: Kind,
    pub rule: Rule,
}

/// The rule that decided what a fact, or the passing of time, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Began,
    LateJoin,
    JoinedCaller,
    JoinedSplitTarget,
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
    TransferSaid,
    Duplicate,
    Swapped,
    TooLate,
    Superseded,
    ConsultBecameCall,
    OverlapBecameCall,
    LateRingBecameCall,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub id: CallId,
    /// The first fact in the order of time; decides between calls that are alike.
    pub first: FactKey,
    /// The last fact that said something new.
    pub last: FactKey,
    pub legs: SmallVec<[LegSlot; 4]>,
    /// Most calls have none of these, and a call is copied when it changes after a snapshot.
    pub attempts: Vec<Attempt>,
    pub links: Vec<Link>,
    pub steps: Vec<Step>,
    pub steps_dropped: u32,
    pub late_facts: u32,
    /// Under which keys the party index knows this call.
    pub keys: SmallVec<[PartyKey; 4]>,
    pub in_withheld: bool,
    /// The parties of a call whose legs are already let go.
    pub husk: Option<Box<ClosedCall>>,
    /// From here on nothing can change the call.
    pub final_at: At,
    /// The earliest entry of this call in the decision queue.
    pub wake: At,
    /// Changed since the changes were last taken.
    pub touched: bool,
}

/// What is remembered of a finished call to link the next one to it.
#[derive(Clone, Debug)]
pub(super) struct ClosedCall {
    pub party: Number,
    pub by_us: bool,
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
            steps: Vec::new(),
            steps_dropped: 0,
            late_facts: 0,
            keys: SmallVec::new(),
            in_withheld: false,
            husk: None,
            final_at: At::END,
            wake: At::END,
            touched: false,
        }
    }

    pub fn trace(&mut self, step: Step) {
        if self.steps.len() < STEPS_MAX {
            self.steps.push(step);
        } else {
            self.steps_dropped = self.steps_dropped.saturating_add(1);
        }
    }
}
