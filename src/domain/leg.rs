//! A leg: one device's part of one call, from its first sign to its end.

use super::cow_slab::{NOWHERE, SlotIndex};
use super::device::{Device, Extension};
use super::fact::{CallRef, Fact, FactKey};
use super::link::{Confidence, JoinKind};
use super::number::Number;
use super::private::PrivateText;
use super::time::{At, Span};

/// Where a leg stands in the fold.
pub(super) type LegSlot = SlotIndex;
/// Where a call stands in the fold.
pub(super) type CallSlot = SlotIndex;

/// Which way the leg was set up. A late join may never tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Incoming,
    Outgoing,
    Unknown,
}

/// What the leg is to its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The one of us who calls.
    Caller,
    /// Rings, or rang, because of the caller.
    Callee,
    /// The second leg of a phone that asks somebody else while its party waits.
    Consult,
    /// Rings, or rang, because of a transfer attempt.
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Hangup,
    Missed,
    Rejected,
    /// The phone began another leg with the same party, so this one must be over.
    Superseded,
}

#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub device: Device,
    pub extension: Option<Extension>,
    pub remote: Number,
    pub remote_name: Option<PrivateText>,
    pub call_ref: Option<CallRef>,
    pub side: Side,
    pub role: Role,
    /// Which attempt of the call a consult or target leg belongs to.
    pub attempt: Option<u8>,
    /// Answered by dialling a pickup code.
    pub pickup: bool,
    /// Why it is part of a call that had begun without it, where that is not plain.
    pub joined: Option<(JoinKind, Confidence, &'static str)>,
    pub call: CallSlot,
    /// How many calls are named after this leg.
    pub names_given: u8,
    pub first: FactKey,
    /// The last fact of the leg, duplicates included.
    pub last: FactKey,
    /// The leg's first sign: it rang, dialled, or was already connected.
    pub started: At,
    pub rang: Option<At>,
    pub answered: Option<At>,
    pub ended: Option<At>,
    /// The first report of the end; later ones within the reorder window may move `ended`.
    pub end_reported: Option<At>,
    pub ended_by: EndedBy,
    pub held: bool,
    /// Other numbers under which the phone spoke of this leg: the PBX updated what it shows.
    pub aliases: Vec<Number>,
    /// An answer that came too late for this leg, and may be that of the next one.
    pub late_answer: Option<At>,
    /// The leg of the same phone whose ring shows that this one is over, although its end never
    /// came.
    pub superseded_by: Option<LegSlot>,
    /// A second ring without reference while the first was on: a duplicate, unless somebody answers
    /// it.
    pub repeated: Option<At>,
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
            call: NOWHERE,
            names_given: 0,
            first: fact.key(),
            last: fact.key(),
            started: fact.at,
            rang,
            answered: None,
            ended: None,
            end_reported: None,
            ended_by: EndedBy::Hangup,
            held: false,
            aliases: Vec::new(),
            late_answer: None,
            superseded_by: None,
            repeated: None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Rings or dials: neither answered nor over.
    pub fn is_pending(&self) -> bool {
        self.ended.is_none() && self.answered.is_none()
    }

    pub fn is_talking(&self) -> bool {
        self.ended.is_none() && self.answered.is_some()
    }

    /// Nothing but its end was ever reported: it neither rang nor dialled nor talked.
    pub fn is_only_an_end(&self) -> bool {
        self.side == Side::Unknown && self.answered.is_none()
    }

    /// Whether it was ever part of the call, and not just heard to end.
    pub fn took_part(&self) -> bool {
        !self.is_only_an_end() || matches!(self.ended_by, EndedBy::Missed | EndedBy::Rejected)
    }

    pub fn talk_until(&self, now: At) -> Span {
        self.answered
            .map_or(Span::ZERO, |answered| self.ended.unwrap_or(now) - answered)
    }

    pub fn is_extension(&self, dial: &str) -> bool {
        self.extension
            .as_ref()
            .is_some_and(|own| own.as_str() == dial)
    }

    /// Whether the leg's own extension is the party `number`.
    pub fn belongs_to(&self, number: &Number) -> bool {
        !number.is_withheld() && self.is_extension(number.dial())
    }

    /// Whether the other party of this leg is the extension of `other`.
    pub fn faces(&self, other: &Leg) -> bool {
        other.belongs_to(&self.remote)
    }

    /// Whether the fact speaks of the same other party, as far as it names one.
    pub fn same_remote(&self, fact: &Fact) -> bool {
        match &fact.remote {
            Some(remote) if remote.is_withheld() => self.remote.is_withheld(),
            Some(remote) => {
                self.remote.same_party(remote)
                    || self.aliases.iter().any(|alias| alias.same_party(remote))
            }
            None => self.remote.is_withheld(),
        }
    }

    /// Whether the fact may come from the same account of the device.
    pub fn same_account(&self, fact: &Fact) -> bool {
        match (&self.extension, &fact.local) {
            (Some(own), Some(local)) => own == local,
            _ => true,
        }
    }

    /// Whether this leg lost the race for the answer to `other`: both rang at once, this one hardly
    /// talked, the other went on.
    pub fn lost_race_to(&self, other: &Leg, claim_race: Span) -> bool {
        let (Some(answered), Some(ended), Some(_)) = (self.answered, self.ended, other.answered)
        else {
            return false;
        };
        let other_goes_on = other.ended.is_none_or(|other_ended| other_ended > ended);
        other.started <= answered && ended - answered <= claim_race && other_goes_on
    }
}
