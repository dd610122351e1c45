//! Secrets of sessions, links, tickets and tokens: 256 random bits. Only their hash is stored.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

const SECRET_BYTES: usize = 32;
/// A longer text is no secret of this program, and is not hashed.
const TEXT_BYTES_MAX: usize = 128;

/// A secret in the form in which its holder keeps it. It has no debug form.
pub struct Secret(String);

/// The stored form of a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretHash(String);

impl Secret {
    /// A new secret; its prefix tells people and scanners of leaked secrets what it opens.
    ///
    /// # Panics
    /// When the operating system has no random numbers.
    #[must_use]
    pub fn random(prefix: &str) -> Secret {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).expect("the operating system has random numbers");

        Secret(format!(
            "{prefix}{}",
            BASE32_NOPAD.encode(&bytes).to_lowercase()
        ))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::digest(&self.0)
    }
}

impl SecretHash {
    /// The hash of a presented secret; `None` for a text that cannot be one.
    #[must_use]
    pub fn of(presented: &str) -> Option<SecretHash> {
        (!presented.is_empty() && presented.len() <= TEXT_BYTES_MAX)
            .then(|| SecretHash::digest(presented))
    }

    #[must_use]
    pub fn from_column(column: String) -> SecretHash {
        SecretHash(column)
    }

    fn digest(secret: &str) -> SecretHash {
        SecretHash(HEXLOWER.encode(&Sha256::digest(secret.as_bytes())))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hash)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_found_by_their_hash() {
        let (one, other) = (Secret::random("cb_"), Secret::random("cb_"));

        assert_ne!(one.as_str(), other.as_str());
        assert_eq!(one.as_str().len(), 3 + 52);
        assert_eq!(SecretHash::of(one.as_str()), Some(one.hash()));
        assert_eq!(SecretHash::of(""), None);
        assert_eq!(SecretHash::of(&"a".repeat(129)), None);
    }
}
