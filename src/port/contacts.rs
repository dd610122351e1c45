//! Contacts: the names of outside numbers, and the notes of agents about their callers.
//!
//! Both belong to a number of a site, in the form of [`number_key`], which all spellings of one
//! number share. Several contacts may have one number: the people of a company behind its exchange.

use std::fmt;

use async_trait::async_trait;

use super::error::LedgerError;
use super::webhooks::SendError;
use crate::domain::number::Number;
use crate::domain::text::PrivateText;
use crate::domain::time::At;

/// Contacts that one number shows.
pub const CANDIDATES_MAX: usize = 5;

/// A person or a company behind an outside number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub site: String,
    pub number: PrivateText,
    pub name: PrivateText,
    /// Empty where there is none.
    pub company: PrivateText,
    /// The page of the contact in another program; empty where there is none.
    pub url: PrivateText,
}

/// The text of an agent about a caller.
#[derive(Clone, PartialEq, Eq)]
pub struct CallerNote {
    pub text: PrivateText,
    pub written_by: String,
    pub written_at: At,
}

impl fmt::Debug for CallerNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerNote")
            .field("written_at", &self.written_at)
            .finish_non_exhaustive()
    }
}

/// A contact of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundContact {
    pub name: PrivateText,
    /// Empty where there is none.
    pub company: PrivateText,
    /// Empty where there is none.
    pub url: PrivateText,
}

/// Another program that knows callers.
#[async_trait]
pub trait ContactSource: Send + Sync {
    /// The contacts at an address, which names a number; at most [`CANDIDATES_MAX`].
    ///
    /// # Errors
    /// Why there was no answer, without the address.
    async fn contacts_at(&self, url: &str) -> Result<Vec<FoundContact>, SendError>;
}

/// A part of the contacts, by site, name and number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactPage {
    pub site: Option<String>,
    /// A fragment of a name, of a company, or of a number.
    pub text: Option<PrivateText>,
    /// Contacts before the page.
    pub skipped: u32,
    pub limit: u32,
}

/// The form in which a number is stored and looked up: international where it has such a form.
/// `None` for a caller who hides his number.
#[must_use]
pub fn number_key(number: &Number) -> Option<&str> {
    (!number.is_withheld()).then(|| number.e164().unwrap_or_else(|| number.dial()))
}

/// The stored contacts and notes.
#[async_trait]
pub trait Contacts: Send + Sync {
    /// The contacts of a number, by name, at most [`CANDIDATES_MAX`].
    async fn contacts_of(&self, site: &str, number: &str) -> Result<Vec<Contact>, LedgerError>;

    /// The contacts of several numbers, each with its site, by name.
    async fn contacts_of_all(
        &self,
        numbers: &[(String, String)],
    ) -> Result<Vec<Contact>, LedgerError>;

    async fn contacts(&self, page: &ContactPage) -> Result<Vec<Contact>, LedgerError>;

    /// Stores all contacts or none, each in place of the one with its site, number and name. With
    /// `replaces`, a site, its other contacts are removed together with that. Returns their number.
    async fn put_contacts(
        &self,
        contacts: &[Contact],
        replaces: Option<&str>,
    ) -> Result<u64, LedgerError>;

    /// Removes the contacts of a number, or the one of them with the name. Returns their number.
    async fn remove_contacts(
        &self,
        site: &str,
        number: &str,
        name: Option<&str>,
    ) -> Result<u64, LedgerError>;

    async fn note_of(&self, site: &str, number: &str) -> Result<Option<CallerNote>, LedgerError>;

    /// Stores a note in place of the one before; none removes it.
    async fn set_note(
        &self,
        site: &str,
        number: &str,
        note: Option<&CallerNote>,
    ) -> Result<(), LedgerError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::region::Region;

    #[test]
    fn all_spellings_of_a_number_have_one_key() {
        let region = Region::parse("DE");
        for text in ["030 23125418", "+49 30 23125418", "004930-23125418"] {
            let number = Number::parse(text, region);
            assert_eq!(number_key(&number), Some("+493023125418"), "{text}");
        }

        assert_eq!(number_key(&Number::parse("anonymous", region)), None);
        assert_eq!(number_key(&Number::parse("4711", region)), Some("4711"));
    }
}
