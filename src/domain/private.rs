//! What belongs to people: their names and numbers. It is kept and shown to those who work with it,
//! and never printed for those who debug.

use std::fmt;
use std::ops::Deref;

use compact_str::CompactString;

/// A name or a number of a person. Its debug form, and with it every log line made of one, says
/// nothing.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateText(CompactString);

impl fmt::Debug for PrivateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(private)")
    }
}

impl Deref for PrivateText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<CompactString> for PrivateText {
    fn from(text: CompactString) -> PrivateText {
        PrivateText(text)
    }
}

impl From<&str> for PrivateText {
    fn from(text: &str) -> PrivateText {
        PrivateText(text.into())
    }
}
