//! The reporting party of a fact: the device (a phone) and the extension (the account on it).

use std::fmt;

use compact_str::CompactString;

use super::number::clean_address;
use super::text::is_printable_in_number;

const NAME_CHARS_MAX: usize = 64;

/// A phone. All spellings of one MAC address are one device; any other text is an opaque device
/// name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    Mac(u64),
    Named(CompactString),
}

impl Device {
    /// Reads the device name that a phone sends; `None` when no character remains. Names are cut to
    /// 64 characters and lower-cased.
    #[must_use]
    pub fn parse(text: &str) -> Option<Device> {
        let text = text.trim();
        if let Some(mac) = parse_mac(text) {
            return Some(Device::Mac(mac));
        }

        let name: CompactString = text
            .chars()
            .filter(|c| is_printable_in_number(*c))
            .take(NAME_CHARS_MAX)
            .flat_map(char::to_lowercase)
            .collect();

        (!name.is_empty()).then_some(Device::Named(name))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Mac(mac) => write!(f, "{mac:012x}"),
            Device::Named(name) => f.write_str(name),
        }
    }
}

/// Reads twelve hexadecimal digits with any of the usual separators.
fn parse_mac(text: &str) -> Option<u64> {
    let mut mac = 0_u64;
    let mut digits = 0;
    for c in text.chars() {
        if matches!(c, ':' | '-' | '.' | ' ') {
            continue;
        }
        mac = mac.checked_mul(16)? | u64::from(c.to_digit(16)?);
        digits += 1;
    }
    (digits == 12).then_some(mac)
}

/// An account of the site's own PBX, as a device reports it in `local`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extension(CompactString);

impl Extension {
    /// Reads an account name and strips its SIP wrapping, and the `+` of an account that is a full
    /// number: phones show it with and without. `None` when no character remains.
    #[must_use]
    pub fn parse(text: &str) -> Option<Extension> {
        let cleaned = clean_address(text);
        let plain = match cleaned.strip_prefix('+') {
            Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.into(),
            _ => cleaned,
        };
        (!plain.is_empty()).then_some(Extension(plain))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_mac_is_one_device() {
        let plain = Device::parse("000b82aabbcc");
        for spelling in [
            "000B82AABBCC",
            "00:0b:82:aa:bb:cc",
            "00-0B-82-AA-BB-CC",
            "000b.82aa.bbcc",
            " 00-0b:82-aa:bb-cc ",
        ] {
            assert_eq!(Device::parse(spelling), plain, "{spelling}");
        }

        assert_eq!(
            plain.map(|d| d.to_string()),
            Some("000b82aabbcc".to_owned())
        );
    }

    #[test]
    fn a_text_that_is_no_mac_is_an_opaque_name() {
        assert_eq!(
            Device::parse("AA:BB:CC"),
            Some(Device::Named("aa:bb:cc".into()))
        );
        assert_eq!(
            Device::parse("000b82aabbccdd00112233"),
            Some(Device::Named("000b82aabbccdd00112233".into()))
        );
        assert_eq!(Device::parse("   "), None);
    }

    #[test]
    fn an_extension_loses_its_sip_wrapping() {
        assert_eq!(
            Extension::parse("sip:1001@pbx.example;x=y")
                .as_ref()
                .map(Extension::as_str),
            Some("1001")
        );
        assert_eq!(
            Extension::parse("+4930999201"),
            Extension::parse("4930999201")
        );
        assert_eq!(Extension::parse(" "), None);
    }
}
