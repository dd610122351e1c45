//! The number of a remote party: the displayed text, and the normal form in which the numbers of
//! two phones are compared.

use std::fmt;

use compact_str::CompactString;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat};

use super::region::Region;
use super::text::is_printable_in_number;

const RAW_CHARS_MAX: usize = 64;
/// Shorter digit strings are extensions or service numbers, never subscriber numbers of the public
/// network.
const PUBLIC_DIGITS_MIN: usize = 7;
/// The length of the longest E.164 number, with some room for prefixes.
const PUBLIC_DIGITS_MAX: usize = 20;
/// The number of national digits that must agree before two spellings count as one number.
const NATIONAL_DIGITS_MIN: usize = 5;
const NATIONAL_WITHOUT_TRUNK_DIGITS_MIN: usize = 9;
/// The number of trailing digits that all spellings of a number share: the key of the party index.
const TAIL_DIGITS: usize = 5;

/// The texts that phones and PBXs display instead of a number. `266696687` spells "anonymous" on a
/// keypad.
const WITHHELD: [&str; 14] = [
    "anonymous",
    "anonym",
    "unknown",
    "withheld",
    "private",
    "restricted",
    "unavailable",
    "blocked",
    "hidden",
    "invalid",
    "none",
    "null",
    "266696687",
    "nonumber",
];

/// Prefixes that transmit or suppress the caller's own number for one call; the called number
/// follows.
const CALLER_ID_PREFIXES: [&str; 4] = ["*31#", "#31#", "*30#", "#30#"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The caller hides the number; two hidden numbers are never equal.
    Withheld,
    /// Digits of a subscriber, an extension or a service.
    Digits,
    /// A feature code: digits with `*` or `#`.
    Code,
    /// A SIP user name or any other text.
    Name,
}

/// The number of a remote party.
#[derive(Clone, PartialEq, Eq)]
pub struct Number {
    raw: CompactString,
    /// The compared form: plain digits, the code, or the lower-cased name; empty when withheld.
    dial: CompactString,
    e164: Option<CompactString>,
    form: Form,
}

/// Redacted, because numbers are personal data. A 16-bit hash and the last two characters show
/// whether two numbers are equal, and no number.
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.dial.bytes().fold(0_u16, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        });
        let tail = self
            .dial
            .char_indices()
            .rev()
            .nth(1)
            .filter(|_| self.dial.len() > 5)
            .map_or("", |(from, _)| &self.dial[from..]);

        write!(f, "Number(#{hash:04x}..{tail})")
    }
}

impl Number {
    /// Reads a number as a phone displays it. Never fails: unrecognised text becomes a name.
    #[must_use]
    pub fn parse(text: &str, region: Option<Region>) -> Number {
        let raw: CompactString = text
            .trim()
            .chars()
            .filter(|c| is_printable_in_number(*c))
            .take(RAW_CHARS_MAX)
            .collect();

        let mut dial = clean_address(text);
        if let Some(called) = CALLER_ID_PREFIXES
            .iter()
            .find_map(|prefix| dial.strip_prefix(prefix))
            .filter(|rest| !rest.is_empty())
        {
            dial = called.into();
        }

        let international = dial.starts_with('+');
        let digits = dial.strip_prefix('+').unwrap_or(&dial);
        if digits.is_empty() || WITHHELD.contains(&digits) {
            return Number {
                raw,
                dial: CompactString::default(),
                e164: None,
                form: Form::Withheld,
            };
        }
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            return Number::of_digits(raw, digits, international, region);
        }

        let form = if digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
        {
            Form::Code
        } else {
            Form::Name
        };

        Number {
            raw,
            dial,
            e164: None,
            form,
        }
    }

    /// The party of a leg whose phone named no party.
    #[must_use]
    pub fn withheld() -> Number {
        Number {
            raw: CompactString::default(),
            dial: CompactString::default(),
            e164: None,
            form: Form::Withheld,
        }
    }

    fn of_digits(raw: CompactString, digits: &str, plus: bool, region: Option<Region>) -> Number {
        let without_idd = if plus {
            None
        } else {
            digits
                .strip_prefix("00")
                .filter(|rest| rest.len() >= PUBLIC_DIGITS_MIN && !rest.starts_with('0'))
        };

        let international = plus || without_idd.is_some();
        let digits = without_idd.unwrap_or(digits);
        let e164 = if (PUBLIC_DIGITS_MIN..=PUBLIC_DIGITS_MAX).contains(&digits.len()) {
            to_e164(digits, international, region)
        } else {
            None
        };

        Number {
            raw,
            dial: digits.into(),
            e164,
            form: Form::Digits,
        }
    }

    /// The text as the phone sent it.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The compared form: digits without `+`, the feature code, or a lower-cased name.
    #[must_use]
    pub fn dial(&self) -> &str {
        &self.dial
    }

    #[must_use]
    pub fn e164(&self) -> Option<&str> {
        self.e164.as_deref()
    }

    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.form == Form::Withheld
    }

    /// Whether a text stands for a number that is withheld.
    #[must_use]
    pub fn shows_none(text: &str) -> bool {
        Number::parse(text, None).is_withheld()
    }

    /// Whether both spellings mean one party. Withheld numbers are never the same party.
    #[must_use]
    pub fn same_party(&self, other: &Number) -> bool {
        if self.form != other.form || self.is_withheld() {
            return false;
        }
        if self.dial == other.dial {
            return true;
        }
        if self.form != Form::Digits {
            return false;
        }

        match (&self.e164, &other.e164) {
            (Some(a), Some(b)) => a == b,
            _ => {
                national_matches(&self.dial, &other.dial)
                    || national_matches(&other.dial, &self.dial)
            }
        }
    }

    /// Whether the number has too few digits for the public network: an extension, a group or a
    /// service.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.form == Form::Digits && self.dial.len() < PUBLIC_DIGITS_MIN
    }

    /// Whether this number, dialled inside the site, is that extension.
    #[must_use]
    pub fn is_extension(&self, extension: &str) -> bool {
        !self.is_withheld() && self.dial == extension
    }

    /// The index key shared by every spelling of this party; `None` when withheld.
    #[must_use]
    pub fn key(&self) -> Option<PartyKey> {
        (!self.is_withheld()).then(|| PartyKey::of(&self.dial))
    }
}

/// The key of a party in the index of live calls: equal for all spellings of one party, rarely
/// equal for two parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartyKey(u64);

impl PartyKey {
    #[must_use]
    pub fn of(dial: &str) -> PartyKey {
        let bytes = dial.as_bytes();
        let tail = &bytes[bytes.len().saturating_sub(TAIL_DIGITS)..];
        let packed = tail
            .iter()
            .fold(0_u64, |key, byte| (key << 8) | u64::from(*byte));

        PartyKey(packed)
    }
}

/// Strips the wrapping of an address in SIP and HTTP: URI scheme, host, display name, separators,
/// invisible marks, foreign digits.
pub(super) fn clean_address(text: &str) -> CompactString {
    // A form decoder turns the `+` of `+49..` into a blank; no number starts with a blank of its
    // own.
    let plus_eaten = text.starts_with(' ')
        && text.trim().bytes().filter(u8::is_ascii_digit).count() >= PUBLIC_DIGITS_MIN
        && text.trim().starts_with(|c: char| c.is_ascii_digit());

    let mut rest = text.trim();
    if let (Some(open), Some(close)) = (rest.find('<'), rest.rfind('>'))
        && open < close
    {
        rest = &rest[open + 1..close];
    }
    for scheme in ["sips:", "sip:", "tel:"] {
        if rest
            .get(..scheme.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        {
            rest = &rest[scheme.len()..];
        }
    }
    let end = rest.find(['@', ';', '?']).unwrap_or(rest.len());

    let mut cleaned: CompactString = rest[..end]
        .chars()
        .filter_map(plain_char)
        .take(RAW_CHARS_MAX)
        .flat_map(char::to_lowercase)
        .collect();
    if plus_eaten && !cleaned.starts_with('0') {
        cleaned.insert(0, '+');
    }
    cleaned
}

/// The plain form of a character: separators vanish, foreign digits become ASCII.
fn plain_char(c: char) -> Option<char> {
    match c {
        ' '
        | '-'
        | '.'
        | '('
        | ')'
        | '/'
        | '"'
        | '\''
        | '<'
        | '>'
        | '\u{a0}'
        | '\u{2010}'..='\u{2015}' => None,
        '\u{660}'..='\u{669}' => char::from_digit(c as u32 - 0x660, 10),
        '\u{6f0}'..='\u{6f9}' => char::from_digit(c as u32 - 0x6f0, 10),
        '\u{966}'..='\u{96f}' => char::from_digit(c as u32 - 0x966, 10),
        '\u{ff10}'..='\u{ff19}' => char::from_digit(c as u32 - 0xff10, 10),
        '\u{ff0b}' => Some('+'),
        c => Some(c).filter(|c| is_printable_in_number(*c)),
    }
}

/// The E.164 form, as far as the digits and the site's region prove it. Without a region only
/// international numbers have one.
fn to_e164(digits: &str, international: bool, region: Option<Region>) -> Option<CompactString> {
    let with_plus = || {
        let mut text = CompactString::from("+");
        text.push_str(digits);
        text
    };

    if international {
        return PHONE_NUMBER_UTIL.parse(with_plus(), None).ok().map(|n| {
            PHONE_NUMBER_UTIL
                .format(&n, PhoneNumberFormat::E164)
                .as_ref()
                .into()
        });
    }

    let Region(region) = region?;
    let valid = |parsed: Option<PhoneNumber>| {
        parsed.filter(|number| PHONE_NUMBER_UTIL.is_valid_number(number))
    };
    let national = valid(PHONE_NUMBER_UTIL.parse(digits, Some(region)).ok());
    let foreign = || valid(PHONE_NUMBER_UTIL.parse(with_plus(), None).ok());
    // Where national numbers begin with a trunk prefix, digits without it are an international
    // number that lost its `+`, if they can be one.
    let found = match national {
        Some(national) if is_complete(digits, &national) => Some(national),
        national => foreign().or(national),
    }?;

    Some(
        PHONE_NUMBER_UTIL
            .format(&found, PhoneNumberFormat::E164)
            .as_ref()
            .into(),
    )
}

/// Whether the digits are the national form of the number, with the trunk prefix where there is one.
fn is_complete(digits: &str, national: &PhoneNumber) -> bool {
    let form = PHONE_NUMBER_UTIL.format(national, PhoneNumberFormat::National);
    let form_digits = form.as_ref().bytes().filter(u8::is_ascii_digit);

    form_digits.eq(digits.bytes())
}

/// Whether `full` is the international form of the national number `national`: the same digits
/// after a country calling code.
fn national_matches(national: &str, full: &str) -> bool {
    let (significant, digits_min) = match national.strip_prefix('0') {
        Some(rest) => (rest, NATIONAL_DIGITS_MIN),
        None => (national, NATIONAL_WITHOUT_TRUNK_DIGITS_MIN),
    };

    significant.len() >= digits_min && full.strip_suffix(significant).is_some_and(is_calling_code)
}

/// Whether the digits are a country calling code.
fn is_calling_code(digits: &str) -> bool {
    let Ok(code) = digits.parse::<u16>() else {
        return false;
    };

    match digits.len() {
        1 => matches!(code, 1 | 7),
        2 => {
            matches!(code,
                20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66
                | 81 | 82 | 84 | 86 | 90..=95 | 98)
        }
        3 => {
            matches!(code / 10,
                21..=26 | 29 | 35 | 37 | 38 | 42 | 50 | 59 | 67..=69
                | 80 | 85 | 87 | 88 | 96 | 97 | 99)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text, None)
    }

    /// A region, and numbers in all spellings that its phones may show.
    const SPELLINGS: [(&str, &[&str]); 10] = [
        (
            "DE",
            &[
                "01717603361",
                "491717603361",
                "+491717603361",
                "00491717603361",
            ],
        ),
        (
            "DE",
            &[
                "04059643150",
                "494059643150",
                "+494059643150",
                "00494059643150",
            ],
        ),
        (
            "DE",
            &[
                "04131789012",
                "494131789012",
                "+494131789012",
                "00494131789012",
            ],
        ),
        ("DE", &["33670500330", "+33670500330", "0033670500330"]),
        (
            "ES",
            &["912345678", "34912345678", "+34912345678", "0034912345678"],
        ),
        (
            "ES",
            &["612345678", "34612345678", "+34612345678", "0034612345678"],
        ),
        ("ES", &["491717603361", "+491717603361", "00491717603361"]),
        (
            "GB",
            &[
                "02079460123",
                "442079460123",
                "+442079460123",
                "00442079460123",
            ],
        ),
        (
            "GB",
            &[
                "07911123456",
                "447911123456",
                "+447911123456",
                "00447911123456",
            ],
        ),
        ("GB", &["491717603361", "+491717603361", "00491717603361"]),
    ];

    #[test]
    fn a_country_code_without_a_plus_is_understood() {
        for (region, spellings) in SPELLINGS {
            let region = Region::parse(region);
            let numbers = spellings.iter().map(|text| Number::parse(text, region));
            let numbers: Vec<Number> = numbers.collect();

            for pair in numbers.windows(2) {
                assert!(pair[0].same_party(&pair[1]), "{spellings:?}");
            }
        }
    }

    #[test]
    fn a_number_cannot_be_printed_by_accident() {
        let debugged = |text: &str| format!("{:?}", Number::parse(text, None));
        assert!(
            debugged("+4930987654321").ends_with("..21)")
                && !debugged("+4930987654321").contains("98765")
        );
        assert_eq!(debugged("+4930987654321"), debugged("004930987654321"));
        assert!(
            debugged("203").ends_with("..)"),
            "the debug form of a short number has no digits"
        );
    }

    #[test]
    fn three_spellings_of_one_number_are_one_party_with_and_without_a_region() {
        let spellings = [
            "0612345678",
            "+33612345678",
            "33612345678",
            "0033612345678",
            "06 12 34 56 78",
            "sip:+33612345678@pbx",
        ];
        for region in [None, Region::parse("fr")] {
            for a in spellings {
                for b in spellings {
                    let a = Number::parse(a, region);
                    let b = Number::parse(b, region);
                    assert!(a.same_party(&b), "{a:?} {b:?}");
                    assert_eq!(a.key(), b.key());
                }
            }
        }

        assert_eq!(
            Number::parse("0612345678", Region::parse("FR")).e164(),
            Some("+33612345678")
        );
        assert_eq!(number("0612345678").e164(), None);
    }

    #[test]
    fn different_numbers_stay_different() {
        for (a, b) in [
            ("8001", "8000"),
            ("+4930111", "+4930222"),
            ("0612345678", "+33612345679"),
            ("201", "1201"),
            ("*8", "8"),
            ("1234567", "01234567"),
        ] {
            assert!(!number(a).same_party(&number(b)), "{a} {b}");
        }
    }

    #[test]
    fn withheld_callers_are_never_the_same_party() {
        for text in [
            "",
            "anonymous",
            "Anonymous",
            "Unknown",
            "withheld",
            "sip:anonymous@anonymous.invalid",
            "+266696687",
            "<>",
        ] {
            assert!(number(text).is_withheld(), "{text}");
            assert!(!number(text).same_party(&number(text)));
        }
    }

    #[test]
    fn feature_codes_survive() {
        for text in ["*8", "**203", "*88001", "**9642301", "*21*0171123456#"] {
            assert_eq!(
                (number(text).dial(), number(text).form()),
                (text, Form::Code)
            );
        }

        assert_eq!(number("#31#0171123456").dial(), "0171123456");
    }

    #[test]
    fn an_eaten_plus_comes_back() {
        assert_eq!(number(" 4915112345678").e164(), Some("+4915112345678"));
        assert_eq!(number("\u{661}\u{662}\u{663}").dial(), "123");
    }

    #[test]
    fn a_long_text_is_cut_and_not_rejected() {
        let long = "x".repeat(500);
        assert_eq!(number(&long).raw().len(), RAW_CHARS_MAX);
    }
}
