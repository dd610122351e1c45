//! Rules of a site: goals and opening hours, which people set.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::time::At;

/// The rules of one site, as a person set them last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRules {
    pub site: String,
    /// A JSON document.
    pub rules: String,
    pub changed_by: String,
    pub changed_at: At,
}

/// The stored rules.
#[async_trait]
pub trait SiteRules: Send + Sync {
    /// The rules of all sites that have some, in the order of their names.
    async fn rules(&self) -> Result<Vec<StoredRules>, LedgerError>;

    /// Stores rules in place of those of the site before.
    async fn set_rules(&self, rules: &StoredRules) -> Result<(), LedgerError>;

    /// Removes the rules of a site. False when it has none.
    async fn remove_rules(&self, site: &str) -> Result<bool, LedgerError>;
}
