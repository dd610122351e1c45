//! Roles, their rights, and the sites to which an account is limited.

use std::fmt;

use crate::domain::fact::{DEFAULT_SITE, Site};

/// The role of an account or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A screen on the wall: reads, with masked numbers.
    Wallboard,
    /// Takes calls, and calls back.
    Agent,
    /// The desk, statistics and exports of a site.
    Supervisor,
    /// A program: reads calls and registers states of its own.
    Integrator,
    /// Phones, accounts, tokens.
    Admin,
}

/// A right beyond reading calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Changes the entries of the missed-call desk.
    Desk,
    /// Takes calls that ring.
    Claim,
    /// Reads lists as CSV.
    Export,
    /// Changes people, helplines and contacts.
    Directory,
    /// Changes accounts and tokens.
    Accounts,
    /// Reads the audit log.
    Audit,
    /// Registers and changes call states.
    States,
    /// Sets up receivers of notifications.
    Webhooks,
    /// Sees all numbers after a request that the audit log keeps.
    Reveal,
}

impl Role {
    pub const ALL: [Role; 5] = [
        Role::Wallboard,
        Role::Agent,
        Role::Supervisor,
        Role::Integrator,
        Role::Admin,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Wallboard => "wallboard",
            Role::Agent => "agent",
            Role::Supervisor => "supervisor",
            Role::Integrator => "integrator",
            Role::Admin => "admin",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    #[must_use]
    pub fn rights(self) -> &'static [Right] {
        match self {
            Role::Wallboard => &[],
            Role::Agent => &[Right::Desk, Right::Claim],
            Role::Supervisor => &[Right::Desk, Right::Claim, Right::Export],
            Role::Integrator => &[Right::States, Right::Export, Right::Webhooks],
            Role::Admin => &Right::ALL,
        }
    }

    /// Whether the role sees the numbers of all calls. An agent sees those of his own calls; an
    /// admin those of all calls once the audit log has his request.
    #[must_use]
    pub fn sees_all_numbers(self) -> bool {
        matches!(self, Role::Supervisor | Role::Integrator)
    }
}

impl Right {
    pub const ALL: [Right; 9] = [
        Right::Desk,
        Right::Claim,
        Right::Export,
        Right::Directory,
        Right::Accounts,
        Right::Audit,
        Right::States,
        Right::Webhooks,
        Right::Reveal,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Right::Desk => "desk",
            Right::Claim => "claim",
            Right::Export => "export",
            Right::Directory => "directory",
            Right::Accounts => "accounts",
            Right::Audit => "audit",
            Right::States => "states",
            Right::Webhooks => "webhooks",
            Right::Reveal => "reveal",
        }
    }
}

/// The sites that an account may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteScope {
    All,
    /// At least one, each once, in the order in which they were given.
    Only(Vec<Site>),
}

impl SiteScope {
    #[must_use]
    pub fn contains(&self, site: &str) -> bool {
        match self {
            SiteScope::All => true,
            SiteScope::Only(sites) => sites.iter().any(|own| own.as_str() == site),
        }
    }

    /// Whether every site of another scope is in this one.
    #[must_use]
    pub fn covers(&self, other: &SiteScope) -> bool {
        match (self, other) {
            (SiteScope::All, _) => true,
            (SiteScope::Only(_), SiteScope::All) => false,
            (own, SiteScope::Only(sites)) => sites.iter().all(|site| own.contains(site.as_str())),
        }
    }

    /// The site of an account's phone. With several sites there is none: every one of them may have a
    /// phone with the same extension.
    #[must_use]
    pub fn own_site(&self) -> Option<&str> {
        match self {
            SiteScope::All => Some(DEFAULT_SITE),
            SiteScope::Only(sites) => match sites.as_slice() {
                [only] => Some(only.as_str()),
                _ => None,
            },
        }
    }

    /// The names of the sites; `None` for all.
    #[must_use]
    pub fn names(&self) -> Option<Vec<&str>> {
        match self {
            SiteScope::All => None,
            SiteScope::Only(sites) => Some(sites.iter().map(Site::as_str).collect()),
        }
    }

    /// The stored form: a JSON list of names, nothing for all sites.
    #[must_use]
    pub fn to_column(&self) -> Option<String> {
        self.names()
            .map(|names| serde_json::json!(names).to_string())
    }

    /// Reads the stored form. An unreadable column gives no site at all.
    #[must_use]
    pub fn from_column(column: Option<&str>) -> SiteScope {
        match column {
            None => SiteScope::All,
            Some(column) => {
                let names: Vec<String> = serde_json::from_str(column).unwrap_or_default();
                let sites = names.iter().filter_map(|name| Site::parse(name));
                SiteScope::Only(each_once(sites.collect()))
            }
        }
    }

    /// Reads a list of names.
    ///
    /// # Errors
    /// The name that no site can have.
    pub fn parse(names: &[String]) -> Result<SiteScope, String> {
        if names.is_empty() {
            return Ok(SiteScope::All);
        }

        let sites = names
            .iter()
            .map(|name| Site::parse(name).ok_or_else(|| name.clone()));
        Ok(SiteScope::Only(each_once(sites.collect::<Result<_, _>>()?)))
    }
}

/// A site that is given twice is one site: its phones are those of the account.
fn each_once(sites: Vec<Site>) -> Vec<Site> {
    let mut once: Vec<Site> = Vec::with_capacity(sites.len());
    for site in sites {
        if !once.contains(&site) {
            once.push(site);
        }
    }

    once
}

impl fmt::Display for SiteScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SiteScope::All => f.write_str("all sites"),
            SiteScope::Only(sites) => {
                let names: Vec<&str> = sites.iter().map(Site::as_str).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_is_given_twice_is_one() {
        let names = ["berlin".to_owned(), "berlin".to_owned()];

        let scope = SiteScope::parse(&names).unwrap();

        assert_eq!(scope.own_site(), Some("berlin"));
        assert_eq!(
            SiteScope::from_column(Some("[\"berlin\",\"berlin\"]")),
            scope
        );
    }
}
