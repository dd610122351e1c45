//! A fact: what one phone reported at one instant. Facts are a set; `(at, id)` orders them.

use std::fmt;

use compact_str::CompactString;

use super::device::{Device, Extension};
use super::number::Number;
use super::private::PrivateText;
use super::time::At;

const CALL_REF_CHARS_MAX: usize = 128;
const SITE_CHARS_MAX: usize = 64;

/// The identity of a fact, given at receipt (a UUID in all stored forms).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u128);

/// The identity of a call: the id of the fact that began it.
pub type CallId = EventId;

impl EventId {
    /// Reads an id in its stored form.
    #[must_use]
    pub fn parse(text: &str) -> Option<EventId> {
        uuid::Uuid::try_parse(text)
            .ok()
            .map(|id| EventId(id.as_u128()))
    }

    /// The `n`th name that can be made of this id; the first is the id itself. All are version 7
    /// UUIDs of the same millisecond.
    #[must_use]
    pub(super) fn derived(self, n: u8) -> EventId {
        const SPREAD: u128 = 0x1e37_79b9_7f4a_7c15;
        const RANDOM_BITS: u128 = (1 << 62) - 1;
        EventId(self.0 ^ ((u128::from(n) * SPREAD) & RANDOM_BITS))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).as_hyphenated().fmt(f)
    }
}

/// The place of a fact in the order of its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactKey {
    pub at: At,
    pub id: EventId,
}

/// One PBX, one tenant: calls never span two sites.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(CompactString);

impl Site {
    /// Reads a site name; `None` when it is empty or longer than a name can be.
    #[must_use]
    pub fn parse(text: &str) -> Option<Site> {
        let text = text.trim();
        let fits = !text.is_empty()
            && text.chars().count() <= SITE_CHARS_MAX
            && !text.chars().any(char::is_control);
        fits.then(|| Site(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Site {
    fn default() -> Self {
        Site("default".into())
    }
}

/// A phone's own name for one leg. It means nothing outside the device that sent it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallRef(CompactString);

impl CallRef {
    /// Reads a reference; an unexpanded variable (`$call-id`) or what a phone leaves of one (`-id`,
    /// `_id`) is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<CallRef> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('$') || matches!(text, "-id" | "_id") {
            return None;
        }
        Some(CallRef(
            text.chars()
                .filter(|c| !c.is_control())
                .take(CALL_REF_CHARS_MAX)
                .collect(),
        ))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What happened, in the phone's view of its own leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Incoming,
    Outgoing,
    /// The leg is connected: the phone answered, or what it called answered (a person or an
    /// announcement).
    Answered,
    Hangup,
    Rejected,
    Missed,
    Hold,
    Resume,
    BlindTransfer,
    AttendedTransfer,
    /// The device's own state; no part of any call.
    Device(DeviceState),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceState {
    Registered,
    Unregistered,
    DndOn,
    DndOff,
    ForwardOn,
    ForwardOff,
    OffHook,
    OnHook,
    Busy,
    Idle,
    Boot,
}

impl Kind {
    pub const ALL: [Kind; 21] = [
        Kind::Incoming,
        Kind::Outgoing,
        Kind::Answered,
        Kind::Hangup,
        Kind::Rejected,
        Kind::Missed,
        Kind::Hold,
        Kind::Resume,
        Kind::BlindTransfer,
        Kind::AttendedTransfer,
        Kind::Device(DeviceState::Registered),
        Kind::Device(DeviceState::Unregistered),
        Kind::Device(DeviceState::DndOn),
        Kind::Device(DeviceState::DndOff),
        Kind::Device(DeviceState::ForwardOn),
        Kind::Device(DeviceState::ForwardOff),
        Kind::Device(DeviceState::OffHook),
        Kind::Device(DeviceState::OnHook),
        Kind::Device(DeviceState::Busy),
        Kind::Device(DeviceState::Idle),
        Kind::Device(DeviceState::Boot),
    ];

    /// The canonical name, as stored and published.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Incoming => "incoming",
            Kind::Outgoing => "outgoing",
            Kind::Answered => "answered",
            Kind::Hangup => "hangup",
            Kind::Rejected => "rejected",
            Kind::Missed => "missed",
            Kind::Hold => "hold",
            Kind::Resume => "resume",
            Kind::BlindTransfer => "blind_transfer",
            Kind::AttendedTransfer => "attended_transfer",
            Kind::Device(DeviceState::Registered) => "registered",
            Kind::Device(DeviceState::Unregistered) => "unregistered",
            Kind::Device(DeviceState::DndOn) => "dnd_on",
            Kind::Device(DeviceState::DndOff) => "dnd_off",
            Kind::Device(DeviceState::ForwardOn) => "forward_on",
            Kind::Device(DeviceState::ForwardOff) => "forward_off",
            Kind::Device(DeviceState::OffHook) => "off_hook",
            Kind::Device(DeviceState::OnHook) => "on_hook",
            Kind::Device(DeviceState::Busy) => "busy",
            Kind::Device(DeviceState::Idle) => "idle",
            Kind::Device(DeviceState::Boot) => "boot",
        }
    }
}

/// What one phone reported, parsed at the edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub id: EventId,
    /// When it was received; phones send no usable time of their own.
    pub at: At,
    pub site: Site,
    pub device: Device,
    /// The account of the device that took part, as the device names it.
    pub local: Option<Extension>,
    pub kind: Kind,
    /// The other party. `None` when the phone named none, which is not the same as a caller who
    /// withholds the number.
    pub remote: Option<Number>,
    pub call_ref: Option<CallRef>,
    /// The other party's name as the phone showed it.
    pub remote_name: Option<PrivateText>,
    /// The device's own name for its account.
    pub local_name: Option<PrivateText>,
    /// Parameters nobody asked for, kept as they came.
    pub extras: Vec<(CompactString, PrivateText)>,
}

impl Fact {
    #[must_use]
    pub fn key(&self) -> FactKey {
        FactKey {
            at: self.at,
            id: self.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_no_reference() {
        for text in ["", " ", "$callId", "$call-id", "-id", "_id"] {
            assert_eq!(CallRef::parse(text), None, "{text}");
        }
        assert_eq!(
            CallRef::parse(" a@h ").as_ref().map(CallRef::as_str),
            Some("a@h")
        );
    }

    #[test]
    fn every_kind_has_its_own_name() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
