//! Masking: a role without the right to a number sees its country code and its last two digits.
//!
//! Numbers are masked before they leave the program, never by the page. Extensions and names are
//! never masked.

use serde_json::Value;

const DIGITS_SHOWN: usize = 2;
/// A number without an international form that is not longer is an extension or a short code.
const EXTENSION_CHARS_MAX: usize = 6;
const MASK: char = '•';

/// A number of an outside party, masked. The length stays.
#[must_use]
pub fn mask_number(number: &str) -> String {
    let shown = shown_prefix(number);
    let digits = number.chars().filter(char::is_ascii_digit).count();
    let mut seen = 0;

    number
        .chars()
        .enumerate()
        .map(|(index, char)| {
            if !char.is_ascii_digit() {
                // Letters of an unusual number may say as much as its digits.
                let is_letter = char.is_alphanumeric();
                return if is_letter { MASK } else { char };
            }
            seen += 1;
            let is_last = seen + DIGITS_SHOWN > digits && digits > shown + DIGITS_SHOWN;
            if index < shown || is_last { char } else { MASK }
        })
        .collect()
}

/// Characters of `+` and the country code; none where the number does not begin with `+`.
fn shown_prefix(number: &str) -> usize {
    const TWO_DIGITS: [&str; 44] = [
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46",
        "47", "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63",
        "64", "65", "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
    ];

    let Some(digits) = number.strip_prefix('+') else {
        return 0;
    };
    if digits.starts_with(['1', '7']) {
        return 2;
    }

    match digits.get(..2) {
        Some(two) if TWO_DIGITS.contains(&two) => 3,
        _ => 4.min(number.len()),
    }
}

/// Masks the numbers of a call record or of another document with parties.
pub fn mask_record(record: &mut Value) {
    for party in ["from", "to", "requested"] {
        if let Some(party) = record.get_mut(party) {
            mask_party(party);
        }
    }

    if let Some(target) = record.pointer_mut("/transfer/to")
        && let Some(masked) = target.as_str().and_then(masked_if_outside)
    {
        *target = masked.into();
    }
}

fn mask_party(party: &mut Value) {
    let e164 = party["e164"].as_str().map(mask_number);
    let number = party["number"].as_str().map(ToOwned::to_owned);

    match (number, e164) {
        (Some(_), Some(e164)) => {
            party["number"] = e164.into();
            party["e164"] = Value::Null;
        }
        (Some(number), None) => {
            if let Some(masked) = masked_if_outside(&number) {
                party["number"] = masked.into();
            }
        }
        (None, _) => {}
    }
}

/// The masked form of a number; `None` for an extension or a short code.
#[must_use]
pub fn masked_if_outside(number: &str) -> Option<String> {
    (number.chars().count() > EXTENSION_CHARS_MAX).then(|| mask_number(number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_country_code_and_the_last_two_digits_stay() {
        for (number, masked) in [
            ("+493023125418", "+49••••••••18"),
            ("+13035550177", "+1••••••••77"),
            ("+923001234567", "+92••••••••67"),
            ("+35312345678", "+353••••••78"),
            ("03001234567", "•••••••••67"),
            ("+4912", "+49••"),
            ("call-me", "••••-••"),
            ("", ""),
        ] {
            assert_eq!(mask_number(number), masked);
        }
    }

    #[test]
    fn numbers_of_a_record_are_masked_and_extensions_are_not() {
        let mut record = json!({
            "from": { "number": "03023125418", "e164": "+493023125418", "name": "Katrin" },
            "to": { "number": "201", "e164": null, "name": null },
            "requested": { "number": null, "e164": null, "name": null },
            "transfer": { "to": "017612345678" },
            "participants": [{ "extension": "201" }],
        });

        mask_record(&mut record);

        assert_eq!(record["from"]["number"], "+49••••••••18");
        assert_eq!(record["from"]["e164"], Value::Null);
        assert_eq!(record["from"]["name"], "Katrin");
        assert_eq!(record["to"]["number"], "201");
        assert_eq!(record["transfer"]["to"], "••••••••••78");
    }
}
