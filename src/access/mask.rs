//! Masking: a role without the right to a number sees its country code and its last two digits.
//!
//! Numbers are masked before they leave the program, never by the page. Extensions are never masked,
//! and names only where they are numbers: phones send one as the name of a caller without a name.

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

/// A text in which each number with more digits than an extension is masked, as are all letters
/// beside its digits.
#[must_use]
pub fn mask_numbers_in(text: &str) -> String {
    let is_of_word = |char: char| char.is_alphabetic() && !char.is_numeric();
    let mut masked = String::with_capacity(text.len());

    // Runs without letters: digits, and what stands between the digits of one number.
    for run in text.split_inclusive(is_of_word) {
        let number = run.trim_end_matches(is_of_word);
        if is_number(number) {
            masked.push_str(&mask_number(number));
        } else {
            masked.push_str(number);
        }
        masked.push_str(&run[number.len()..]);
    }
    masked
}

/// Whether a text has the digits of more than an extension.
fn is_number(text: &str) -> bool {
    text.chars().filter(|char| char.is_numeric()).count() > EXTENSION_CHARS_MAX
}

/// Masks the reference of a call, if it contains one of the numbers of the record.
fn mask_reference(reference: &mut Value, numbers: &[String]) {
    let Some(text) = reference.as_str() else {
        return;
    };
    let digits = digits_of(text);

    if numbers.iter().any(|number| digits.contains(number)) {
        *reference = mask_number(text).into();
    }
}

fn digits_of(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// The last digits of the numbers of a party: as many as are the same in each form of a number.
fn numbers_of(party: &Value) -> impl Iterator<Item = String> {
    ["number", "e164"].into_iter().filter_map(|form| {
        let digits = digits_of(party[form].as_str()?);
        let last = digits.len().checked_sub(EXTENSION_CHARS_MAX + 1)?;
        Some(digits[last..].to_owned())
    })
}

/// Masks the numbers of a call record or of another document with parties.
pub fn mask_record(record: &mut Value) {
    let parties = ["from", "to", "requested"].map(|party| &record[party]);
    let numbers: Vec<String> = parties.into_iter().flat_map(numbers_of).collect();
    let participants = record.get_mut("participants").and_then(Value::as_array_mut);
    for participant in participants.into_iter().flatten() {
        if let Some(reference) = participant.get_mut("call_ref") {
            mask_reference(reference, &numbers);
        }
    }

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
    if let Some(name) = party["name"].as_str() {
        party["name"] = mask_numbers_in(name).into();
    }
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
    fn names_are_masked_where_they_are_numbers() {
        for (name, masked) in [
            ("Katrin", "Katrin"),
            ("Room 101, floor 2", "Room 101, floor 2"),
            ("Praxis 24/7", "Praxis 24/7"),
            ("+49 30 23125418", "+49 •• ••••••18"),
            ("0300/123-45-67", "••••/•••-••-67"),
            ("Tel. 03001234567 Meier", "Tel. •••••••••67 Meier"),
            ("tel:+493023125418", "tel:+••••••••••18"),
            (
                "\u{0660}\u{0661}\u{0662}\u{0663}\u{0664}\u{0665}\u{0666}",
                "•••••••",
            ),
            ("", ""),
        ] {
            assert_eq!(mask_numbers_in(name), masked);
        }
    }

    #[test]
    fn a_reference_is_masked_where_it_contains_a_number_of_the_call() {
        let masked = |reference: &str| {
            let mut record = json!({
                "from": { "number": "03023125418", "e164": "+493023125418", "name": null },
                "participants": [{ "call_ref": reference }],
            });
            mask_record(&mut record);
            record["participants"][0]["call_ref"].clone()
        };

        assert_eq!(masked("1767225600.17"), "1767225600.17");
        assert_eq!(masked("4930-23125418@pbx"), "••••-••••••18@•••");
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
