//! Passwords, stored as argon2id with the parameters that OWASP recommends: 19 MiB, two passes.

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};
use argon2::{Algorithm, Argon2, Params, Version};

/// Length of a password, in characters. No other rule: length is what counts.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// A longer password would only cost time.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("a password needs at least {PASSWORD_CHARS_MIN} characters")]
    TooShort,
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    #[error("a password must not be the name of its account")]
    IsName,
}

/// The stored form of a password, with its parameters and salt.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// Whether a password may be chosen.
///
/// # Errors
/// The rule that it breaks.
pub fn check_password(password: &str, account: &str) -> Result<(), PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(PasswordError::TooShort);
    }
    if password.eq_ignore_ascii_case(account) {
        return Err(PasswordError::IsName);
    }

    Ok(())
}

impl PasswordHash {
    /// Hashes a password; takes tens of milliseconds of a processor.
    ///
    /// # Panics
    /// When the operating system has no random numbers for the salt.
    #[must_use]
    pub fn of(password: &str) -> PasswordHash {
        let hash = argon2()
            .hash_password(password.as_bytes())
            .expect("a checked password can be hashed");

        PasswordHash(hash.to_string())
    }

    #[must_use]
    pub fn from_column(column: String) -> PasswordHash {
        PasswordHash(column)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the password; takes as long as hashing one.
    #[must_use]
    pub fn matches(&self, password: &str) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }

        phc::PasswordHash::new(&self.0)
            .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in range");

    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_recognised_and_another_is_not() {
        let hash = PasswordHash::of("correct horse battery");

        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(hash.matches("correct horse battery"));
        assert!(!hash.matches("correct horse batterY"));
        assert!(!PasswordHash::from_column("x".to_owned()).matches("x"));
    }

    #[test]
    fn short_endless_and_obvious_passwords_are_refused() {
        assert_eq!(
            check_password("short", "katrin"),
            Err(PasswordError::TooShort)
        );
        assert_eq!(
            check_password(&"a".repeat(1_025), "katrin"),
            Err(PasswordError::TooLong)
        );
        assert_eq!(
            check_password("Katrin-Vogel-1", "katrin-vogel-1"),
            Err(PasswordError::IsName)
        );
        assert_eq!(check_password("äöüäöüäöüäöü", "katrin"), Ok(()));
    }
}
