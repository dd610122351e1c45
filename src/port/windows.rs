//! Windows of agents, at whichever gateway they are open.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::time::At;

/// The phone whose calls a window shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    pub site: String,
    pub extension: String,
}

impl Line {
    #[must_use]
    pub fn new(site: &str, extension: &str) -> Line {
        Line {
            site: site.to_owned(),
            extension: extension.to_owned(),
        }
    }
}

/// The last window of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWindow {
    pub line: Line,
    pub is_open: bool,
    /// The last sign of it.
    pub seen_at: At,
}

/// The stored windows.
#[async_trait]
pub trait Windows: Send + Sync {
    /// Stores the lines with an open window at a gateway. Other windows of this gateway are closed now.
    async fn keep_windows(&self, gateway: &str, lines: &[Line], now: At)
    -> Result<(), LedgerError>;

    /// The last window of each line of a site, or of all sites. An open one whose gateway has given no
    /// sign since `alive` counts as closed.
    async fn last_windows(
        &self,
        site: Option<&str>,
        alive: At,
    ) -> Result<Vec<LastWindow>, LedgerError>;
}
