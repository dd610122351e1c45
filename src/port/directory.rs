//! The directory of a site: people at their phones, and helplines with their members.

use std::fmt;

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::text::PrivateText;
use crate::domain::time::At;

/// A person at an extension.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    pub site: String,
    pub extension: String,
    pub name: PrivateText,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("site", &self.site)
            .field("extension", &self.extension)
            .finish_non_exhaustive()
    }
}

/// A group or a queue, with its number and the extensions that ring for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helpline {
    pub site: String,
    pub number: String,
    pub name: String,
    pub members: Vec<String>,
}

/// An agent who takes no calls of helplines for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub site: String,
    pub extension: String,
    pub reason: Option<String>,
    pub since: At,
}

/// An entry of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Person(Person),
    Helpline(Helpline),
}

/// The stored directory.
#[async_trait]
pub trait Directory: Send + Sync {
    /// People of a site, or of all sites, by extension.
    async fn people(&self, site: Option<&str>) -> Result<Vec<Person>, LedgerError>;

    /// Helplines of a site, or of all sites, by number.
    async fn helplines(&self, site: Option<&str>) -> Result<Vec<Helpline>, LedgerError>;

    /// Stores entries, each in place of the one with its site and number.
    async fn put(&self, entries: &[Entry]) -> Result<(), LedgerError>;

    /// Removes a person, with the pause under way. Returns whether there was one.
    async fn remove_person(&self, site: &str, extension: &str) -> Result<bool, LedgerError>;

    /// Removes a helpline. Returns whether there was one.
    async fn remove_helpline(&self, site: &str, number: &str) -> Result<bool, LedgerError>;

    /// The pauses of agents of a site, or of all sites.
    async fn pauses(&self, site: Option<&str>) -> Result<Vec<Pause>, LedgerError>;

    /// Begins a pause, in place of the one under way.
    async fn pause(&self, pause: &Pause) -> Result<(), LedgerError>;

    async fn end_pause(&self, site: &str, extension: &str) -> Result<(), LedgerError>;
}
