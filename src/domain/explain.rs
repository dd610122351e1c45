//! The explanation of a record: every fact of the call, with the rule that decided its meaning, in
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
    /// The stable short name, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rule::Began => "began",
            Rule::LateJoin => "late_join",
            Rule::JoinedCaller => "joined_caller",
            Rule::JoinedForward => "joined_forward",
            Rule::ClickToCall => "click_to_call",
            Rule::JoinedRinging => "joined_ringing",
            Rule::RangAgain => "rang_again",
            Rule::TransferRings => "transfer_rings",
            Rule::Resumed => "resumed",
            Rule::ConsultBegan => "consult_began",
            Rule::CallerFound => "caller_found",
            Rule::Answered => "answered",
            Rule::AnsweredFirst => "answered_first",
            Rule::PickedUp => "picked_up",
            Rule::Ended => "ended",
            Rule::EndedUnanswered => "ended_unanswered",
            Rule::HeldOrResumed => "held_or_resumed",
            Rule::TransferReported => "transfer_said",
            Rule::Duplicate => "duplicate",
            Rule::Swapped => "swapped",
            Rule::TooLate => "too_late",
            Rule::Superseded => "superseded",
            Rule::ConsultBecameCall => "consult_became_call",
            Rule::OverlapBecameCall => "overlap_became_call",
            Rule::LateRingBecameCall => "late_ring_became_call",
            Rule::TakenFromPark => "taken_from_slot",
        }
    }

    /// The meaning of the rule, for people.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Rule::Began => "no other call explains this leg, so a call begins with it",
            Rule::LateJoin => "the beginning of this leg was never reported; it joins late",
            Rule::JoinedCaller => {
                "a phone of this extension is being called by exactly the extension it shows: \
                 the same call seen from the other end"
            }
            Rule::JoinedForward => {
                "the phone shows a caller of this site who dials another number: \
                 the PBX forwarded the call, or rings a group for it"
            }
            Rule::ClickToCall => {
                "the two phones show each other and neither dialled: \
                 the PBX called one back and then the other"
            }
            Rule::JoinedRinging => {
                "the same caller rings on another phone: one more participant of the same call"
            }
            Rule::RangAgain => {
                "the same caller rings again before the call was decided: \
                 another round of the same call"
            }
            Rule::TransferRings => {
                "a party of this conversation rings on another phone: it is being transferred"
            }
            Rule::Resumed => {
                "the same party rings the same phone moments after the conversation: \
                 parked or queued, not gone"
            }
            Rule::ConsultBegan => {
                "the phone dials while its party waits: a consultation before a transfer"
            }
            Rule::CallerFound => {
                "the phone of the caller reports last what began first: its request was overtaken"
            }
            Rule::Answered => "the leg is connected",
            Rule::AnsweredFirst => "the first phone to answer owns the call",
            Rule::PickedUp => "a pickup code was dialled, and this ringing call is the one it took",
            Rule::Ended => "the conversation of this leg is over",
            Rule::EndedUnanswered => {
                "this phone stops ringing (or dialling) without an answer; \
                 the call is decided only when all are silent"
            }
            Rule::HeldOrResumed => "the party is put on hold, or taken back",
            Rule::TransferReported => "the phone itself reports that it transfers",
            Rule::Duplicate => "a repeated report; changes nothing",
            Rule::Swapped => {
                "two requests overtook each other by less than the reorder window; \
                 they are taken in their natural order"
            }
            Rule::TooLate => "comes after the final end of the leg; counted, otherwise ignored",
            Rule::Superseded => "the phone begins anew with the party: the end of its leg was lost",
            Rule::ConsultBecameCall => {
                "the consultation outlived the party it was made for: it is a call of its own"
            }
            Rule::OverlapBecameCall => {
                "two phones both go on talking, so the same number called twice: \
                 this is the other call"
            }
            Rule::LateRingBecameCall => {
                "it rang on well after the answer elsewhere, so the same number called twice: \
                 this call was not answered"
            }
            Rule::TakenFromPark => {
                "the phone dialled a number of the PBX and then shows this party: \
                 it took the party from the slot in which it was parked"
            }
        }
    }
}
