//! Arguments that accounts and tokens share.

use super::failure::Failure;
use crate::access::{ACCOUNT_NAMES, Role, SiteScope, is_account_name};
use crate::ops::AccountError;

pub(super) fn parse_role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("the roles are {}", names.join(", "))
    })
}

pub(super) fn sites(names: &[String]) -> Result<SiteScope, Failure> {
    SiteScope::parse(names).map_err(|name| Failure::Usage(format!("{name:?} is no site name")))
}

pub(super) fn check_name(name: String) -> Result<String, Failure> {
    if is_account_name(&name) {
        Ok(name)
    } else {
        Err(Failure::Usage(ACCOUNT_NAMES.to_owned()))
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Failure {
        match error {
            AccountError::Setup(error) => error.into(),
            other => Failure::Usage(other.to_string()),
        }
    }
}
