//! Secrets: text from the settings or from a file, hidden in everything that prints settings.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

/// Limit on the size of a secret file: a larger file is a wrong path, not a secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
const READABLE_BY_ALL: u32 = 0o004;
const HIDDEN: &str = "(hidden)";

/// Text that never appears in logs, errors or printed settings.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The plain text, for the code that makes keys and connections of it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads a secret from a file with restricted permissions.
    ///
    /// # Errors
    /// When the file cannot be read, is readable by every user of the machine, or is larger than a
    /// secret can be.
    pub fn read(path: &Path) -> io::Result<Secret> {
        let file = File::open(path)?;
        if file.metadata()?.permissions().mode() & READABLE_BY_ALL != 0 {
            return Err(io::Error::other(
                "every user of this machine can read it; run `chmod o-r` on it",
            ));
        }

        let mut text = String::new();
        file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > SECRET_BYTES_MAX {
            return Err(io::Error::other(format!(
                "larger than {SECRET_BYTES_MAX} bytes: not a secret"
            )));
        }

        Ok(Secret(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { HIDDEN })
    }
}
