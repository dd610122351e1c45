//! The site's own extensions: every extension that a device reported as its own account, with the
//! first fact that named it.
//!
//! An extension counts for a call only if it was reported before the call's last fact, so later
//! reports never change earlier calls.

use std::collections::HashMap;

use compact_str::CompactString;
use foldhash::fast::FixedState;

use super::device::Extension;
use super::fact::FactKey;
use super::time::At;

/// Maximum number of extensions per site. A site that reports more is misconfigured; further
/// extensions are not stored.
const EXTENSIONS_MAX: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    first_report: HashMap<CompactString, FactKey, FixedState>,
}

impl Extensions {
    pub fn contains(&self, extension: &Extension) -> bool {
        self.first_report.contains_key(extension.as_str())
    }

    /// Stores an extension with its first report; later reports change nothing.
    pub fn insert(&mut self, extension: &Extension, first_report: FactKey) {
        if self.first_report.len() < EXTENSIONS_MAX {
            self.first_report
                .entry(extension.as_str().into())
                .or_insert(first_report);
        }
    }

    /// All extensions, ordered by name.
    pub fn all(&self) -> Vec<(Extension, At)> {
        let mut all: Vec<(Extension, At)> = self
            .first_report
            .iter()
            .filter_map(|(dial, first)| Some((Extension::parse(dial)?, first.at)))
            .collect();
        all.sort();
        all
    }

    /// Whether a device had reported this extension at or before the fact `as_of`. Later reports
    /// never change an earlier call.
    pub fn was_reported(&self, dial: &str, as_of: FactKey) -> bool {
        self.first_report
            .get(dial)
            .is_some_and(|first| *first <= as_of)
    }
}
