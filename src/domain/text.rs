//! Texts that phones show and people read: their characters, and the names and numbers of people,
//! which are stored and displayed, but never printed in logs.

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

/// Whether a character may stand in a text. Control characters, direction marks and overrides, and
/// characters without a width may not: they would let one text look like another. The joiners of
/// Persian and Indian names have no width either, and are allowed in names.
#[must_use]
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{2064}'
                | '\u{2066}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Whether a character may stand in a number, which has no joiners.
#[must_use]
pub fn is_printable_in_number(c: char) -> bool {
    is_printable(c) && !matches!(c, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_stand_in_no_text_and_joiners_in_names_only() {
        let visible = |text: &str| {
            text.chars()
                .filter(|c| is_printable(*c))
                .collect::<String>()
        };

        assert_eq!(
            visible("a\u{202e}b\u{200b}c\u{feff}d\u{0}e\u{ad}f"),
            "abcdef"
        );
        assert_eq!(visible("می\u{200c}خواهم Zoë 王"), "می\u{200c}خواهم Zoë 王");
        assert!(!is_printable_in_number('\u{200c}'));
        assert!("+49 (0)30/123-4".chars().all(is_printable_in_number));
    }
}
