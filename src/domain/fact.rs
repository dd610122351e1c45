//! A fact: the report of one phone at one instant.
//!
//! Facts are a set, ordered by `(at, id)` ([`FactKey`]); a fact is never changed. The room
//! `provider` creates facts, and limits the names and further parameters in them; other types limit
//! their own text.

use std::fmt;

use compact_str::CompactString;

use super::device::{Device, Extension};
use super::number::Number;
use super::text::PrivateText;
use super::text::is_printable;
use super::time::At;

/// Longer references are cut.
const CALL_REF_CHARS_MAX: usize = 128;
/// Longer site names are rejected.
pub const SITE_CHARS_MAX: usize = 64;

/// The identity of a fact, assigned at receipt (a UUID in all stored forms).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u128);

/// The identity of a call: the id of the fact that began it. A call that is split off from another
/// has an id derived from that of its first fact.
pub type CallId = EventId;

impl EventId {
    /// Reads an id in its stored form.
    #[must_use]
    pub fn parse(text: &str) -> Option<EventId> {
        uuid::Uuid::try_parse(text)
            .ok()
            .map(|id| EventId(id.as_u128()))
    }

    /// The `n`th id derived from this id; the first is the id itself. All are version 7 UUIDs of
    /// the same millisecond.
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

/// The sort key of a fact within its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactKey {
    pub at: At,
    pub id: EventId,
}

/// The site of an installation that names none.
pub const DEFAULT_SITE: &str = "default";

/// One PBX, one tenant. Calls never span two sites.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(CompactString);

impl Site {
    /// Reads a site name; `None` when it is empty, has control characters or exceeds 64 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Site> {
        let text = text.trim();
        let fits = !text.is_empty()
            && text.chars().count() <= SITE_CHARS_MAX
            && text.chars().all(is_printable);

        fits.then(|| Site(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Site {
    fn default() -> Self {
        Site(DEFAULT_SITE.into())
    }
}

/// The reference under which a phone reports one leg. It has no meaning outside the device that
/// sent it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallRef(CompactString);

impl CallRef {
    /// Reads a reference; `None` for an unexpanded variable (`$call-id`) and for the rest of a
    /// partly expanded one (`-id`, `_id`).
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

/// The event, as the phone sees its own leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Incoming,
    Outgoing,
    /// The leg is connected: the phone answered, or the called party (a person or an announcement)
    /// answered.
    Answered,
    Hangup,
    Rejected,
    Missed,
    Hold,
    Resume,
    BlindTransfer,
    AttendedTransfer,
    /// A state of the device itself, independent of calls.
    Device(DeviceState),
}

/// A state of a device. `Idle` and `Boot` prove that the device is in no call.
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

    /// Whether a phone says that it transfers.
    #[must_use]
    pub fn is_transfer(self) -> bool {
        matches!(self, Kind::BlindTransfer | Kind::AttendedTransfer)
    }

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

/// A report of one phone, parsed at the edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub id: EventId,
    /// The instant of receipt: phones send no usable time of their own.
    pub at: At,
    pub site: Site,
    pub device: Device,
    /// The account of the device that took part, as the device names it.
    pub local: Option<Extension>,
    pub kind: Kind,
    /// The remote party. `None` when the phone named no party, which differs from a caller who
    /// withholds the number.
    pub remote: Option<Number>,
    pub call_ref: Option<CallRef>,
    /// The remote party's name as the phone displayed it.
    pub remote_name: Option<PrivateText>,
    /// The device's own name for its account.
    pub local_name: Option<PrivateText>,
    /// Model and firmware of the device. Few phones say them, and no call depends on them.
    pub product: Option<Box<Product>>,
}

/// The model of a device and the version of its firmware, as it names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    pub model: Option<PrivateText>,
    pub firmware: Option<PrivateText>,
}

impl Product {
    /// `None` when the device names neither.
    #[must_use]
    pub fn of(model: Option<PrivateText>, firmware: Option<PrivateText>) -> Option<Box<Product>> {
        let is_named = model.is_some() || firmware.is_some();

        is_named.then(|| Box::new(Product { model, firmware }))
    }
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
