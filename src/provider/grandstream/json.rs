//! JSON objects as phones and programs write them: some begin with a byte order mark, and some cut
//! a name in the middle of a surrogate pair. Both are mended instead of losing the event.

use std::borrow::Cow;

use serde_json::{Map, Value};

const BYTE_ORDER_MARK: &str = "\u{feff}";
const HIGH_SURROGATES: std::ops::Range<u16> = 0xd800..0xdc00;
const LOW_SURROGATES: std::ops::Range<u16> = 0xdc00..0xe000;

/// The object in a text; `None` where it is none.
#[must_use]
pub fn json_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let text = String::from_utf8_lossy(bytes);
    let text = without_mark(&text);

    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&without_lone_surrogates(text)))
        .ok()
}

/// Whether a text is meant as a JSON object.
#[must_use]
pub fn looks_like_json(text: &str) -> bool {
    without_mark(text).trim_start().starts_with('{')
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Replaces escapes of surrogates that are not half of a pair by the replacement character.
fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;

    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];

        let escape = match surrogate(rest) {
            Some(high) if HIGH_SURROGATES.contains(&high) => {
                let low = rest.get(6..).and_then(surrogate);
                if low.is_some_and(|low| LOW_SURROGATES.contains(&low)) {
                    mended.push_str(&rest[..12]);
                    rest = &rest[12..];
                    continue;
                }
                6
            }
            Some(_) => 6,
            None => {
                // Two bytes, so that an escaped backslash does not begin another escape.
                let length = rest.chars().take(2).map(char::len_utf8).sum();
                mended.push_str(&rest[..length]);
                rest = &rest[length..];
                continue;
            }
        };
        mended.push_str("\\ufffd");
        rest = &rest[escape..];
    }
    if mended.is_empty() {
        return Cow::Borrowed(text);
    }

    mended.push_str(rest);
    Cow::Owned(mended)
}

/// The surrogate in the escape at the beginning of a text.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;

    (HIGH_SURROGATES.start..LOW_SURROGATES.end)
        .contains(&unit)
        .then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_and_halves_of_pairs_are_mended() {
        for (text, name) in [
            ("{\"n\":\"a\"}", "a"),
            ("\u{feff}{\"n\":\"a\"}", "a"),
            (r#"{"n":"a\ud800"}"#, "a\u{fffd}"),
            (r#"{"n":"\udc00b"}"#, "\u{fffd}b"),
            (r#"{"n":"\ud83d\ude00\ud83d"}"#, "\u{1f600}\u{fffd}"),
            (r#"{"n":"\ud83d\ud83d\ude00"}"#, "\u{fffd}\u{1f600}"),
            (r#"{"n":"\\ud800\ud800"}"#, "\\ud800\u{fffd}"),
            (r#"{"n":"\ud800ü\n"}"#, "\u{fffd}ü\n"),
        ] {
            let object = json_object(text.as_bytes()).unwrap_or_default();

            assert_eq!(object.get("n"), Some(&Value::from(name)), "{text}");
        }
        assert!(json_object(b"[]").is_none() && json_object(b"{\"n\":\"\\ud8").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[\\\\ud83f{}\": ü]{0,40}") {
            let _ = json_object(text.as_bytes());
        }
    }
}
