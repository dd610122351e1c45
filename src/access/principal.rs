//! The principal of a request: the account, the token, or everybody where no account exists.

use super::role::{Right, Role, SiteScope};
use crate::domain::device::Extension;

const NAME_BYTES_MAX: usize = 64;
/// The name of everybody where no account exists, in the audit log and on the desk.
const NO_ACCOUNT: &str = "-";
/// What a name is made of, for people.
pub const ACCOUNT_NAMES: &str =
    "a name has 1 to 64 letters, digits, dots, dashes, underscores, `@` and `+`";

/// Whether an account or a token may have the name. Names stand in logs, lists and the keys of other
/// programs.
#[must_use]
pub fn is_account_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name != NO_ACCOUNT
        // A path has another meaning with them.
        && !matches!(name, "." | "..")
        && name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "._-@+".contains(char))
}

/// The kind of a principal, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// No account exists, and the listener is reached from this machine only, or by permission.
    Open,
    User(String),
    Token(String),
}

/// The account behind a request, and its rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub identity: Identity,
    /// The name for people.
    pub display_name: Option<String>,
    pub role: Role,
    pub sites: SiteScope,
    /// The phone of the person.
    pub extension: Option<Extension>,
    /// An admin who asked for the numbers.
    pub has_revealed: bool,
}

/// Why a principal cannot read what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    #[error("this account does not see the site")]
    NotAllowed,
    #[error("`site` is missing; this account sees {0}")]
    Ambiguous(String),
}

impl Principal {
    /// The principal where no account exists.
    #[must_use]
    pub fn open() -> Principal {
        Principal {
            identity: Identity::Open,
            display_name: None,
            role: Role::Admin,
            sites: SiteScope::All,
            extension: None,
            has_revealed: true,
        }
    }

    /// An agent at extension 201, for tests.
    ///
    /// # Panics
    /// When a name is no site name.
    #[cfg(test)]
    pub(crate) fn agent_of(sites: &[&str]) -> Principal {
        let sites: Vec<String> = sites.iter().map(|name| (*name).to_owned()).collect();

        Principal {
            identity: Identity::User("katrin".to_owned()),
            role: Role::Agent,
            sites: SiteScope::parse(&sites).unwrap(),
            extension: Extension::parse("201"),
            has_revealed: false,
            ..Principal::open()
        }
    }

    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.role.rights().contains(&right)
    }

    /// The name in the audit log, and on the entries of the desk.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.identity {
            Identity::Open => NO_ACCOUNT,
            Identity::User(name) | Identity::Token(name) => name,
        }
    }

    /// Whether this is the account of a name.
    #[must_use]
    pub fn is_user(&self, name: &str) -> bool {
        matches!(&self.identity, Identity::User(own) if own == name)
    }

    /// The site of the person's phone.
    #[must_use]
    pub fn own_site(&self) -> Option<&str> {
        self.sites.own_site()
    }

    /// Whether every number of every call is shown.
    #[must_use]
    pub fn sees_all_numbers(&self) -> bool {
        self.role.sees_all_numbers() || self.has_revealed
    }

    /// Whether calls pass to this principal as they are stored.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.sites == SiteScope::All && self.sees_all_numbers()
    }

    /// The site that a query is limited to; `None` for all sites.
    ///
    /// # Errors
    /// When the site is not one of this principal's, or must be named.
    pub fn site(&self, requested: Option<String>) -> Result<Option<String>, SiteError> {
        match (&self.sites, requested) {
            (SiteScope::All, requested) => Ok(requested),
            (sites @ SiteScope::Only(_), Some(site)) => {
                if sites.contains(&site) {
                    Ok(Some(site))
                } else {
                    Err(SiteError::NotAllowed)
                }
            }
            (SiteScope::Only(sites), None) => match sites.as_slice() {
                [] => Err(SiteError::NotAllowed),
                [only] => Ok(Some(only.as_str().to_owned())),
                _ => Err(SiteError::Ambiguous(self.sites.to_string())),
            },
        }
    }
}
