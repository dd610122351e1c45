//! Rows of `devices` for either database: phones as their facts describe them.

use std::collections::BTreeMap;

use crate::domain::device::{Device, Extension};
use crate::domain::fact::{DeviceState, Fact, Kind, Site};
use crate::domain::text::PrivateText;
use crate::domain::time::At;
use crate::port::query::{ReportedDevice, SilentExtension};

const AVAILABLE: &str = "available";
const DND: &str = "dnd";

/// The mode of a phone: whether it takes calls, as it said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter) struct Mode {
    pub takes_calls: bool,
    pub since: At,
}

impl Mode {
    fn of(fact: &Fact) -> Option<Mode> {
        let takes_calls = match fact.kind {
            Kind::Device(DeviceState::DndOn) => false,
            Kind::Device(DeviceState::DndOff) => true,
            _ => return None,
        };

        Some(Mode {
            takes_calls,
            since: fact.at,
        })
    }

    pub fn name(self) -> &'static str {
        if self.takes_calls { AVAILABLE } else { DND }
    }
}

/// A phone, as its facts describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::adapter) struct DeviceRow {
    pub last_seen: At,
    /// The account that the phone named last.
    pub extension: Option<Extension>,
    pub model: Option<PrivateText>,
    pub firmware: Option<PrivateText>,
    pub mode: Option<Mode>,
}

impl DeviceRow {
    pub fn of(fact: &Fact) -> DeviceRow {
        let product = fact.product.as_deref().cloned().unwrap_or_default();

        DeviceRow {
            last_seen: fact.at,
            extension: fact.local.clone(),
            model: product.model,
            firmware: product.firmware,
            mode: Mode::of(fact),
        }
    }

    /// Adds a fact of the same phone. Facts come in the order of their instants, but for late ones.
    pub fn add(&mut self, fact: &Fact) {
        let other = DeviceRow::of(fact);
        let (older, newer) = if other.last_seen < self.last_seen {
            (other, self.clone())
        } else {
            (self.clone(), other)
        };
        let newest =
            |a: Option<Mode>, b: Option<Mode>| a.into_iter().chain(b).max_by_key(|mode| mode.since);

        *self = DeviceRow {
            last_seen: newer.last_seen,
            extension: newer.extension.or(older.extension),
            model: newer.model.or(older.model),
            firmware: newer.firmware.or(older.firmware),
            mode: newest(older.mode, newer.mode),
        };
    }
}

/// The columns of `devices` in the order in which both databases select them.
pub(in crate::adapter) type StoredDevice = (
    String,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
);

pub(in crate::adapter) fn reported(stored: StoredDevice) -> ReportedDevice {
    let (device, last_seen, extension, model, firmware, state, state_since) = stored;
    let text = |text: Option<String>| text.as_deref().map(Into::into);

    ReportedDevice {
        device,
        last_seen,
        extension,
        model: text(model),
        firmware: text(firmware),
        dnd_since: state_since.filter(|_| state.as_deref() == Some(DND)),
    }
}

pub(in crate::adapter) fn silent(
    (site, extension, since): (String, String, i64),
) -> SilentExtension {
    SilentExtension {
        site,
        extension,
        since,
    }
}

/// The phones of a batch.
pub(in crate::adapter) fn rows_of<'f>(
    facts: impl Iterator<Item = &'f Fact>,
) -> BTreeMap<(Site, Device), DeviceRow> {
    let mut rows: BTreeMap<(Site, Device), DeviceRow> = BTreeMap::new();
    for fact in facts {
        rows.entry((fact.site.clone(), fact.device.clone()))
            .and_modify(|row| row.add(fact))
            .or_insert_with(|| DeviceRow::of(fact));
    }

    rows
}
