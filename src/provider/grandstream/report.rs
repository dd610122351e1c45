//! The parameters of one report: all their spellings, and the fact that they state.
//!
//! Rules: an unexpanded variable arrives as literal text, and counts as absent. The first
//! occurrence of a parameter wins, because a caller's name can smuggle further ones into the
//! request. Unknown parameters stay in the envelope alone; long texts are cut.

use compact_str::CompactString;

use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallRef, EventId, Fact, Kind, Product, Site};
use crate::domain::number::Number;
use crate::domain::region::Region;
use crate::domain::text::PrivateText;
use crate::domain::text::is_printable;
use crate::domain::time::At;

const NAME_CHARS_MAX: usize = 256;
/// A longer value is odd, whatever it means.
const VALUE_CHARS_MAX: usize = 256;

/// A parameter that the product understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Device,
    Local,
    ActiveUser,
    Remote,
    RemoteName,
    LocalName,
    CallRef,
    Model,
    Firmware,
}

fn field_of(key: &str) -> Option<Field> {
    let key: CompactString = key
        .trim()
        .chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect();

    Some(match key.as_str() {
        "mac" | "m" | "device" => Field::Device,
        "local" | "l" => Field::Local,
        "activeuser" | "u" => Field::ActiveUser,
        "remote" | "r" => Field::Remote,
        "displayremote" | "remotename" | "n" => Field::RemoteName,
        "displaylocal" | "localname" => Field::LocalName,
        "callid" | "callref" | "c" | "d" => Field::CallRef,
        "product" | "model" => Field::Model,
        "programversion" | "firmware" | "v" => Field::Firmware,
        _ => return None,
    })
}

/// The report has no parameter that names its phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("names no device: neither `mac` nor `local` has a value")]
pub struct NoDevice;

/// The parameters of one report, collected one by one.
#[derive(Clone, Debug, Default)]
pub struct Report {
    device: Option<Device>,
    local: Option<Extension>,
    active_user: Option<Extension>,
    /// As sent: the region of the site decides how the number is parsed.
    remote: Option<PrivateText>,
    remote_name: Option<PrivateText>,
    local_name: Option<PrivateText>,
    call_ref: Option<CallRef>,
    model: Option<PrivateText>,
    firmware: Option<PrivateText>,
    oddities: Oddities,
}

/// Irregularities of a report that is accepted nevertheless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Oddities {
    duplicate_parameter: bool,
    cut: bool,
    characters_removed: bool,
}

impl Report {
    /// The names of the report's irregularities, as labels of the metric.
    pub fn oddities(&self) -> impl Iterator<Item = &'static str> {
        let Oddities {
            duplicate_parameter,
            cut,
            characters_removed,
        } = self.oddities;
        let opaque_device = matches!(self.device(), Some(Device::Named(_)));

        let all = [
            ("duplicate_parameter", duplicate_parameter),
            ("cut", cut),
            ("characters_removed", characters_removed),
            ("opaque_device", opaque_device),
        ];
        all.into_iter()
            .filter_map(|(name, present)| present.then_some(name))
    }

    /// Adds one parameter. An unknown one stays in the envelope alone; a repeated known one is ignored.
    pub fn add_parameter(&mut self, key: &str, value: &str) {
        self.note_irregular_text(value);
        let Some(field) = field_of(key) else {
            return;
        };

        // The text of a variable that this firmware does not know.
        if value.trim_start().starts_with('$') {
            return;
        }

        self.oddities.duplicate_parameter |= match field {
            Field::Device => set_once(&mut self.device, || Device::parse(value)),
            Field::Local => set_once(&mut self.local, || Extension::parse(value)),
            Field::ActiveUser => set_once(&mut self.active_user, || Extension::parse(value)),
            Field::Remote => set_once(&mut self.remote, || Some(value.into())),
            Field::RemoteName => set_once(&mut self.remote_name, || non_empty_text(value)),
            Field::LocalName => set_once(&mut self.local_name, || non_empty_text(value)),
            Field::CallRef => set_once(&mut self.call_ref, || CallRef::parse(value)),
            Field::Model => set_once(&mut self.model, || non_empty_text(value)),
            Field::Firmware => set_once(&mut self.firmware, || non_empty_text(value)),
        };
    }

    fn note_irregular_text(&mut self, value: &str) {
        self.oddities.cut |=
            value.len() > VALUE_CHARS_MAX && value.chars().count() > VALUE_CHARS_MAX;
        self.oddities.characters_removed |= !value.chars().all(is_printable);
    }

    /// The phone of the report; the account, where no parameter names the phone.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        let account = || self.local.as_ref().or(self.active_user.as_ref());

        self.device
            .clone()
            .or_else(|| account().and_then(|account| Device::parse(account.as_str())))
    }

    /// The account, as the fact of the report has it.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        let account = self.local.as_ref().or(self.active_user.as_ref());

        account.map(Extension::as_str)
    }

    /// The number of the other party, as sent.
    #[must_use]
    pub fn remote(&self) -> Option<&str> {
        self.remote.as_deref()
    }

    /// The call, as the phone names it.
    #[must_use]
    pub fn call_ref(&self) -> Option<&str> {
        self.call_ref.as_ref().map(CallRef::as_str)
    }

    /// The fact that the report states.
    ///
    /// # Errors
    /// [`NoDevice`] when no parameter names the phone.
    pub fn into_fact(
        self,
        id: EventId,
        at: At,
        site: Site,
        kind: Kind,
        region: Option<Region>,
    ) -> Result<Fact, NoDevice> {
        let device = self.device().ok_or(NoDevice)?;
        let local = self.local.or(self.active_user);
        let remote = self.remote.map(|text| Number::parse(&text, region));

        Ok(Fact {
            id,
            at,
            site,
            device,
            local,
            kind,
            remote,
            call_ref: self.call_ref,
            remote_name: self.remote_name,
            local_name: self.local_name,
            product: Product::of(self.model, self.firmware),
        })
    }
}

/// Fills an empty slot. Returns whether it was full already.
fn set_once<T>(slot: &mut Option<T>, value: impl FnOnce() -> Option<T>) -> bool {
    if slot.is_none() {
        *slot = value();
        return false;
    }

    true
}

fn non_empty_text(value: &str) -> Option<PrivateText> {
    let text = clean_text(value, NAME_CHARS_MAX);

    (!text.is_empty()).then(|| text.into())
}

/// Text for people: without invisible characters, and of limited length.
fn clean_text(value: &str, chars_max: usize) -> CompactString {
    value
        .trim()
        .chars()
        .filter(|c| is_printable(*c))
        .take(chars_max)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(parameters: &[(&str, &str)]) -> Result<Fact, NoDevice> {
        let mut report = Report::default();
        for (key, value) in parameters {
            report.add_parameter(key, value);
        }

        report.into_fact(EventId(1), At(0), Site::default(), Kind::Incoming, None)
    }

    #[test]
    fn every_spelling_of_a_parameter_is_understood() {
        for key in ["callId", "call_id", "call-id", "CALLID", "c", "d"] {
            let fact = fact(&[("mac", "aa"), (key, "x@h")]);
            assert_eq!(
                fact.map(|fact| fact.call_ref),
                Ok(CallRef::parse("x@h")),
                "{key}"
            );
        }
    }

    #[test]
    fn of_two_references_the_first_that_is_no_placeholder_counts() {
        let fact = fact(&[("m", "aa"), ("c", "$call-id"), ("d", "7f@pbx")]);
        assert_eq!(fact.map(|fact| fact.call_ref), Ok(CallRef::parse("7f@pbx")));
    }

    #[test]
    fn irregularities_are_reported_by_name() {
        let oddities = |parameters: &[(&str, &str)]| {
            let mut report = Report::default();
            for (key, value) in parameters {
                report.add_parameter(key, value);
            }
            report.oddities().collect::<Vec<_>>()
        };

        assert_eq!(
            oddities(&[
                ("mac", "000b82000001"),
                ("remote", "1"),
                ("c", "$call-id"),
                ("d", "1")
            ]),
            [""; 0]
        );
        assert_eq!(
            oddities(&[("mac", "000b82000001"), ("mac", "000b82000002")]),
            ["duplicate_parameter"]
        );
        assert_eq!(
            oddities(&[("mac", "AA:BB"), ("n", "a\nb")]),
            ["characters_removed", "opaque_device"]
        );
        assert_eq!(
            oddities(&[("mac", "000b82000001"), ("n", &"n".repeat(300))]),
            ["cut"]
        );
    }

    #[test]
    fn the_first_occurrence_wins() {
        let fact = fact(&[
            ("mac", "000b82000001"),
            ("remote", "123"),
            ("n", "Bob"),
            ("mac", "000b82ffffff"),
            ("remote", "456"),
        ]);

        let (device, remote) = fact
            .map(|fact| {
                (
                    fact.device.to_string(),
                    fact.remote.map(|n| n.raw().to_owned()),
                )
            })
            .unwrap_or_default();
        assert_eq!(
            (device.as_str(), remote.as_deref()),
            ("000b82000001", Some("123"))
        );
    }

    #[test]
    fn a_phone_without_a_mac_goes_by_its_account() {
        assert_eq!(
            fact(&[("mac", "$mac"), ("local", "203")]).map(|fact| fact.device.to_string()),
            Ok("203".to_owned())
        );
        assert_eq!(fact(&[("remote", "123")]), Err(NoDevice));
    }

    #[test]
    fn the_model_and_the_firmware_of_a_phone_are_known() {
        let fact = fact(&[("mac", "aa"), ("product", "GRP2614"), ("v", "1.0.5.48")]);
        let product = Product::of(Some("GRP2614".into()), Some("1.0.5.48".into()));

        assert_eq!(fact.map(|fact| fact.product), Ok(product));
    }

    #[test]
    fn an_absent_remote_is_not_a_withheld_one() {
        assert_eq!(
            fact(&[("mac", "aa"), ("remote", "$remote")]).map(|fact| fact.remote),
            Ok(None)
        );
        assert_eq!(
            fact(&[("mac", "aa"), ("remote", "")]).map(|fact| fact.remote.map(|n| n.is_withheld())),
            Ok(Some(true))
        );
    }
}
