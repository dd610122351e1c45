//! Personal data: the names and numbers of people. They are stored and displayed, but never printed
//! in logs.

use std::fmt;
use std::ops::Deref;

use compact_str::CompactString;

/// A name or a number of a person. The debug form is redacted, and so is every log line made of it.
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
