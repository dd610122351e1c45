//! A leg: one device's participation in one call, from its first sign to its end.
//!
//! A leg holds only values reported by facts and its position in the call; durations and outcomes
//! are computed in `reading` and `record`.

use super::cow_slab::{NO_SLOT, SlotIndex};
use super::device::{Device, Extension};
use super::fact::{CallRef, Fact, FactKey};
use super::link::{Confidence, JoinKind};
use super::number::Number;
use super::text::PrivateText;
use super::time::{At, Span};

/// The index of a leg in the fold.
pub(super) type LegSlot = SlotIndex;
/// The index of a call in the fold.
pub(super) type CallSlot = SlotIndex;

/// The direction in which the leg was set up; a leg whose beginning was lost may never reveal it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Incoming,
    Outgoing,
    Unknown,
}

/// The role of the leg in its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The calling phone of this site.
    Caller,
    /// Rings, or rang, because of the caller.
    Callee,
    /// The second leg of a phone that consults another party while its first party waits.
    Consult,
    /// Rings, or rang, because of a transfer attempt.
    Target,
}

/// The report, or the later sign, that ended a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Hangup,
    Missed,
    Rejected,
    /// The phone began another leg with the same party, so this leg must be over.
    Superseded,
}

#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub device: Device,
    pub extension: Option<Extension>,
    /// The remote party, as the phone displays it.
    pub remote: Number,
    pub remote_name: Option<PrivateText>,
    pub call_ref: Option<CallRef>,
    pub side: Side,
    pub role: Role,
    /// Index of the call's attempt to which a consultation or target leg belongs.
    pub attempt: Option<u8>,
    /// The phone took the call by dialling a pickup code.
    pub pickup: bool,
    /// The reason why the leg belongs to a call that had begun without it, if the reason is not
    /// obvious.
    pub joined: Option<(JoinKind, Confidence, &'static str)>,
    pub call: CallSlot,
    /// Number of call ids derived from the first fact of this leg.
    pub derived_ids: u8,
    /// The first fact of the leg.
    pub first: FactKey,
    /// The last fact of the leg, duplicates included.
    pub last: FactKey,
    /// The last fact of the leg that was no duplicate.
    pub last_change: At,
    /// The leg's first sign: a ring, a dialling, or an existing connection.
    pub started: At,
    pub rang: Option<At>,
    pub answered: Option<At>,
    pub ended: Option<At>,
    /// The first report of the end; later reports within the reorder window may move `ended`.
    pub end_reported: Option<At>,
    pub ended_by: EndedBy,
    pub held: bool,
    /// The phone dialled a number of the PBX while a party was parked, and was connected at once.
    pub may_take_parked: bool,
    /// The phone held its party when the leg ended: the party may have been parked.
    pub held_at_end: bool,
    /// Other numbers under which the phone reported this leg: the PBX updated the display.
    pub aliases: Vec<Number>,
    /// The first fact named no remote party, which differs from a number that is withheld. Phones whose
    /// firmware knows the variable leave its value empty.
    pub began_unnamed: bool,
    /// A later fact than the first named the remote party.
    pub named_late: bool,
    /// An answer that came too late for this leg, and may belong to the next one.
    pub late_answer: Option<At>,
    /// The leg of the same phone whose ring shows that this leg is over, although its end was lost.
    pub superseded_by: Option<LegSlot>,
    /// A second ring without reference during the first: a duplicate, unless it is answered.
    pub repeated_ring: Option<At>,
    /// The dialling came soon after another one of the same number, which was over by then: a
    /// duplicate, unless another sign of this leg follows.
    pub may_repeat: bool,
}

impl Leg {
    pub fn new(fact: &Fact, side: Side) -> Leg {
        let rang = (side == Side::Incoming).then_some(fact.at);

        Leg {
            device: fact.device.clone(),
            extension: fact.local.clone(),
            remote: fact.remote.clone().unwrap_or_else(Number::withheld),
            remote_name: fact.remote_name.clone(),
            call_ref: fact.call_ref.clone(),
            side,
            role: Role::Callee,
            attempt: None,
            pickup: false,
            joined: None,
            call: NO_SLOT,
            derived_ids: 0,
            first: fact.key(),
            last: fact.key(),
            last_change: fact.at,
            started: fact.at,
            rang,
            answered: None,
            ended: None,
            end_reported: None,
            ended_by: EndedBy::Hangup,
            held: false,
            may_take_parked: false,
            held_at_end: false,
            aliases: Vec::new(),
            began_unnamed: fact
                .remote
                .as_ref()
                .is_none_or(|remote| remote.raw().is_empty()),
            named_late: false,
            late_answer: None,
            superseded_by: None,
            repeated_ring: None,
            may_repeat: false,
        }
    }

    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether the leg rings or dials: it is neither answered nor over.
    pub fn is_pending(&self) -> bool {
        self.ended.is_none() && self.answered.is_none()
    }

    pub fn is_talking(&self) -> bool {
        self.ended.is_none() && self.answered.is_some()
    }

    /// Whether only the end of the leg was reported, and no ring, dialling or answer.
    pub fn has_only_end(&self) -> bool {
        self.side == Side::Unknown && self.answered.is_none()
    }

    /// Whether the leg took part in the call, beyond a bare report of its end.
    pub fn participated(&self) -> bool {
        !self.has_only_end() || matches!(self.ended_by, EndedBy::Missed | EndedBy::Rejected)
    }

    /// The time from the answer to the end, or to `now` while the leg is open.
    pub fn talk_time(&self, now: At) -> Span {
        self.answered
            .map_or(Span::ZERO, |answered| self.ended.unwrap_or(now) - answered)
    }

    pub fn has_extension(&self, dial: &str) -> bool {
        self.extension
            .as_ref()
            .is_some_and(|own| own.as_str() == dial)
    }

    /// Whether the leg's own extension is the party `number`.
    pub fn is_party(&self, number: &Number) -> bool {
        !number.is_withheld() && self.has_extension(number.dial())
    }

    /// Whether the remote party of this leg is the extension of `other`.
    pub fn remote_is(&self, other: &Leg) -> bool {
        other.is_party(&self.remote)
    }

    /// Whether the fact names the same remote party, as far as it names one.
    pub fn matches_remote(&self, fact: &Fact) -> bool {
        match &fact.remote {
            Some(remote) if !remote.is_withheld() => {
                self.remote.same_party(remote)
                    || self.aliases.iter().any(|alias| alias.same_party(remote))
            }
            // A copy of the first fact names the party no better than the first fact did.
            _ => self.remote.is_withheld() || self.named_late,
        }
    }

    /// Whether no fact has named the remote party yet, not even as withheld.
    pub fn is_unnamed(&self) -> bool {
        self.began_unnamed && self.remote.is_withheld()
    }

    /// Whether the fact may come from the same account of the device.
    pub fn matches_account(&self, fact: &Fact) -> bool {
        match (&self.extension, &fact.local) {
            (Some(own), Some(local)) => own == local,
            _ => true,
        }
    }

    /// Whether this leg lost the race for the answer to `other`: both rang at once, this
    /// conversation was no longer than `claim_race`, and the other outlived it.
    pub fn lost_race_to(&self, other: &Leg, claim_race: Span) -> bool {
        let (Some(answered), Some(ended), Some(_)) = (self.answered, self.ended, other.answered)
        else {
            return false;
        };
        let other_goes_on = other.ended.is_none_or(|other_ended| other_ended > ended);

        other.started <= answered && ended - answered <= claim_race && other_goes_on
    }
}
