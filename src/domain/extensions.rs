//! The extensions a site is known to have, because a device reported one as its own, and since
//! when.

use std::collections::HashMap;

use compact_str::CompactString;
use foldhash::fast::FixedState;

use super::device::Extension;
use super::fact::FactKey;
use super::time::At;

/// Extensions remembered per site; a site that reports more is misconfigured, and the surplus stays
/// unknown.
const EXTENSIONS_MAX: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    first_report: HashMap<CompactString, FactKey, FixedState>,
}

impl Extensions {
    pub fn knows(&self, extension: &Extension) -> bool {
        self.first_report.contains_key(extension.as_str())
    }

    pub fn learn(&mut self, extension: &Extension, by: FactKey) {
        if self.first_report.len() < EXTENSIONS_MAX {
            self.first_report
                .entry(extension.as_str().into())
                .or_insert(by);
        }
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> Vec<(Extension, At)> {
        let mut all: Vec<(Extension, At)> = self
            .first_report
            .iter()
            .filter_map(|(dial, first)| Some((Extension::parse(dial)?, first.at)))
            .collect();
        all.sort();
        all
    }

    /// Whether a device had reported this extension by then. What is learned later never changes an
    /// earlier call.
    pub fn reported_by(&self, dial: &str, then: FactKey) -> bool {
        self.first_report
            .get(dial)
            .is_some_and(|first| *first <= then)
    }
}
