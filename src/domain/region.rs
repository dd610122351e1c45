//! The region of a site, whose rules its national numbers follow.

use rlibphonenumber::PHONE_NUMBER_UTIL;

/// A region with a numbering plan, such as `FR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region(pub(super) rlibphonenumber::Region);

impl Region {
    /// Reads a two-letter code; `None` when there is no such region.
    #[must_use]
    pub fn parse(text: &str) -> Option<Region> {
        let code = text.trim().to_ascii_uppercase();
        let region = code.parse::<rlibphonenumber::Region>().ok()?;
        PHONE_NUMBER_UTIL.get_country_code_for_region(region)?;

        Some(Region(region))
    }
}
