//! Arguments that accounts and tokens share.

use super::failure::Failure;
use crate::access::{Role, SiteScope};
use crate::ops::AccountError;

const NAME_BYTES_MAX: usize = 64;

pub(super) fn parse_role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("the roles are {}", names.join(", "))
    })
}

pub(super) fn sites(names: &[String]) -> Result<SiteScope, Failure> {
    SiteScope::parse(names).map_err(|name| Failure::Usage(format!("{name:?} is no site name")))
}

/// Names stand in logs, lists and the keys of other programs.
pub(super) fn check_name(name: String) -> Result<String, Failure> {
    let is_plain = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "._-@+".contains(char));

    if is_plain {
        Ok(name)
    } else {
        Err(Failure::Usage(
            "a name has 1 to 64 letters, digits, dots, dashes, underscores, `@` and `+`".to_owned(),
        ))
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
