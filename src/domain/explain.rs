//! Why a record is as it is: every fact of the call with the rule that decided what it means, in
//! plain words.

use super::call::Rule;
use super::device::{Device, Extension};
use super::fact::{EventId, Kind};
use super::number::Number;
use super::time::At;

/// One fact in the time line of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub at: At,
    pub event: EventId,
    pub device: Device,
    pub extension: Option<Extension>,
    pub kind: Kind,
    pub remote: Number,
    pub rule: Rule,
}

impl Rule {
    /// A short name, stable for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    /// What the rule says, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Rule::Began => (
                "began",
                "nothing known explains this leg, so a call begins with it",
            ),
            Rule::LateJoin => (
                "late_join",
                "the beginning of this leg was never reported; it joins late",
            ),
            Rule::JoinedCaller => (
                "joined_caller",
                "a phone of this extension is being called by exactly the extension it shows: the same call seen from the other end",
            ),
            Rule::JoinedSplitTarget => (
                "joined_forward",
                "it shows a caller of ours who dials somebody else: the PBX forwarded the call, or rings a group for it",
            ),
            Rule::ClickToCall => (
                "click_to_call",
                "the two phones show each other and neither dialled: the PBX called one back and then the other",
            ),
            Rule::JoinedRinging => (
                "joined_ringing",
                "the same caller rings on another phone: one more participant of the same call",
            ),
            Rule::RangAgain => (
                "rang_again",
                "the same caller rings again before the call was decided: another round of the same call",
            ),
            Rule::TransferRings => (
                "transfer_rings",
                "a party of this conversation rings on another phone: it is being sent on",
            ),
            Rule::Resumed => (
                "resumed",
                "the same party rings the same phone moments after the conversation: parked or queued, not gone",
            ),
            Rule::ConsultBegan => (
                "consult_began",
                "the phone dials while its party waits: it asks somebody before it transfers",
            ),
            Rule::CallerFound => (
                "caller_found",
                "the phone of the caller reports last what began first: its request was overtaken",
            ),
            Rule::Answered => ("answered", "the leg is connected"),
            Rule::AnsweredFirst => ("answered_first", "the first phone to answer owns the call"),
            Rule::PickedUp => (
                "picked_up",
                "a pickup code was dialled, and this ringing call is the one it took",
            ),
            Rule::Ended => ("ended", "the conversation of this leg is over"),
            Rule::EndedUnanswered => (
                "ended_unanswered",
                "this phone stops ringing (or dialling) without an answer; the call is decided only when all are silent",
            ),
            Rule::HeldOrResumed => ("held_or_resumed", "the party is put on hold, or taken back"),
            Rule::TransferSaid => ("transfer_said", "the phone itself says that it transfers"),
            Rule::Duplicate => ("duplicate", "says again what is known; changes nothing"),
            Rule::Swapped => (
                "swapped",
                "two requests overtook each other by less than the reorder window; they are taken in their natural order",
            ),
            Rule::TooLate => (
                "too_late",
                "comes after the leg was over for good; counted, and otherwise ignored",
            ),
            Rule::Superseded => (
                "superseded",
                "the phone begins anew with the same party, so its earlier leg must be over although its end never came",
            ),
            Rule::ConsultBecameCall => (
                "consult_became_call",
                "the consultation went on without the party it was made for: it is a call of its own",
            ),
            Rule::OverlapBecameCall => (
                "overlap_became_call",
                "two phones both go on talking, so the same number called twice: this is the other call",
            ),
            Rule::LateRingBecameCall => (
                "late_ring_became_call",
                "it rang on well after the answer elsewhere, so the same number called twice: nobody took this one",
            ),
        }
    }
}
