//! Integer settings with an allowed range. The range always begins at 1: a zero would switch off a
//! limit or stop a timer.

use super::BadConfig;

/// An integer setting, its value, and the largest allowed value.
pub(super) struct Bound {
    pub key: &'static str,
    pub value: u64,
    pub max: u64,
}

impl Bound {
    pub(super) fn new(key: &'static str, value: impl Into<u64>, max: u64) -> Bound {
        Bound {
            key,
            value: value.into(),
            max,
        }
    }
}

/// Rejects the first setting of a section that is out of its range.
pub(super) fn check(section: &str, bounds: &[Bound]) -> Result<(), BadConfig> {
    match bounds
        .iter()
        .find(|bound| !(1..=bound.max).contains(&bound.value))
    {
        Some(Bound { key, value, max }) => Err(BadConfig(format!(
            "`{section}.{key}` must be between 1 and {max}, not {value}"
        ))),
        None => Ok(()),
    }
}
