//! The policy of a site: delays, time windows, feature codes, and the numbers of its own
//! extensions. Plain data with defaults.
//!
//! All time values are spans of event time. They separate cases that the facts of phones do not
//! distinguish, such as a second ring of one call and a second call.

use super::number::{Form, Number};
use super::region::Region;
use super::time::Span;

/// The configurable rules of one site. The defaults suit a site without any configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The region of national numbers; without it only international numbers have an E.164 form.
    pub region: Option<Region>,

    /// The time from the last ring until an unanswered call is decided to be missed.
    pub missed_delay: Span,
    /// The maximum silence between two rounds of one unanswered call. A decision waits at least
    /// this long.
    pub rering_gap: Span,
    /// The maximum time from the end of a conversation to a ring of the same party that continues
    /// the call (parked, queued, transferred).
    pub resume_gap: Span,
    /// The maximum time between the first rings of phones that share a caller who withholds the
    /// number.
    pub ring_join: Span,

    /// The maximum time from an explicit transfer to the ring of its target.
    pub transfer_window: Span,
    /// The time a finished call is remembered, to link the next call of the same party to it.
    pub link_window: Span,
    /// The maximum time between the ends of the two legs of a transferring phone.
    pub together: Span,

    /// The maximum time by which two requests of different connections may overtake each other.
    pub reorder: Span,
    /// The maximum delay of a repeated request.
    pub duplicate: Span,

    /// A conversation no longer than this, begun while another phone rang too, is a lost race for
    /// the answer.
    pub claim_race: Span,
    /// Two phones that both talk longer than this are two calls.
    pub overlap: Span,
    /// A phone that goes on ringing longer than this after the answer elsewhere rang for another
    /// call.
    pub drop_late: Span,
    /// The maximum time between a pickup and the silence of the phone that proves which call was
    /// picked up.
    pub pickup_evidence: Span,
    /// The maximum duration of an announcement that a caller hears in place of an extension that
    /// never reported any fact.
    pub announcement_max: Span,

    /// The maximum time from the end of a conversation to the dialling of a phone that takes its
    /// party from a slot of the PBX.
    pub park_window: Span,

    /// The end of a leg that rings longer without another sign is lost.
    pub ring_max: Span,
    /// The end of a conversation that lasts longer without another sign is lost.
    pub duration_max: Span,

    /// A conversation without a sign for this long, and without any later report, was over: a ring
    /// of its party after that time was a new call.
    pub doubt_after: Span,

    /// Feature codes that pick up a ringing call: alone, or followed by the ringing extension.
    pub pickup_codes: Vec<String>,
    /// Extensions declared by the directory and the numbering plan, as dial patterns (`X` is any
    /// digit). They need no report of a phone.
    pub extensions: Vec<String>,
    /// Extensions whose phones report no facts, as dial patterns: the report of the caller's phone
    /// suffices.
    pub silent_extensions: Vec<String>,
    /// Numbers that look like an extension and never are one.
    pub emergency_numbers: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            region: None,
            missed_delay: Span::seconds(5),
            rering_gap: Span::seconds(6),
            resume_gap: Span::millis(5_500),
            ring_join: Span::seconds(2),
            transfer_window: Span::seconds(120),
            link_window: Span::seconds(120),
            together: Span::seconds(2),
            reorder: Span::seconds(1),
            duplicate: Span::seconds(10),
            claim_race: Span::seconds(2),
            overlap: Span::seconds(3),
            drop_late: Span::millis(2_500),
            pickup_evidence: Span::seconds(1),
            announcement_max: Span::seconds(30),
            park_window: Span::seconds(300),
            ring_max: Span::seconds(300),
            duration_max: Span::seconds(4 * 3600),
            doubt_after: Span::seconds(1_800),
            pickup_codes: strings(&["*8", "**"]),
            extensions: Vec::new(),
            silent_extensions: Vec::new(),
            emergency_numbers: strings(&["110", "112", "911", "999"]),
        }
    }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// Longer accounts are full numbers, of which the guess cannot tell which are colleagues.
const EXTENSION_GUESS_DIGITS_MAX: usize = 8;

/// The target of a pickup code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pickup<'a> {
    /// Any ringing phone.
    Any,
    /// The phones of one extension.
    Extension(&'a str),
}

impl Policy {
    /// The time from the last ring until an unanswered call is decided.
    pub(super) fn missed_after(&self) -> Span {
        self.missed_delay.max(self.rering_gap)
    }

    /// Whether the directory or the numbering plan lists this extension.
    pub(super) fn lists_extension(&self, dial: &str) -> bool {
        self.extensions.iter().any(|pattern| matches(pattern, dial))
    }

    /// Whether this extension's phone is configured as reporting no facts.
    pub(super) fn is_silent_extension(&self, dial: &str) -> bool {
        self.silent_extensions
            .iter()
            .any(|pattern| matches(pattern, dial))
    }

    /// Whether a number dialled at extension `own` probably is a colleague's: plain digits, as many
    /// as the own extension has, and not those of a public number. This guess serves sites that do not
    /// declare their numbering plan.
    pub(super) fn looks_like_extension(&self, dialled: &Number, own: &str) -> bool {
        self.extensions.is_empty()
            && dialled.form() == Form::Digits
            && dialled.dial().len() == own.len()
            && own.len() <= EXTENSION_GUESS_DIGITS_MAX
            && dialled.e164().is_none()
            && own.bytes().all(|b| b.is_ascii_digit())
            && !self
                .emergency_numbers
                .iter()
                .any(|number| number == dialled.dial())
    }

    /// The target of a dialled pickup code; `None` if the number is no pickup code.
    pub(super) fn pickup<'a>(&self, dialled: &'a Number) -> Option<Pickup<'a>> {
        if dialled.form() != Form::Code {
            return None;
        }

        let rest = self
            .pickup_codes
            .iter()
            .find_map(|code| dialled.dial().strip_prefix(code.as_str()))?;
        if rest.is_empty() {
            return Some(Pickup::Any);
        }
        rest.bytes()
            .all(|b| b.is_ascii_digit())
            .then_some(Pickup::Extension(rest))
    }
}

/// Matches a dial pattern: `X` stands for one digit, every other character for itself.
fn matches(pattern: &str, dial: &str) -> bool {
    pattern.len() == dial.len()
        && pattern.bytes().zip(dial.bytes()).all(|(p, d)| {
            if p.eq_ignore_ascii_case(&b'x') {
                d.is_ascii_digit()
            } else {
                p == d
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::region::Region;

    #[test]
    fn pickup_codes_stand_alone_or_before_an_extension() {
        let policy = Policy::default();
        let number = |text: &str| Number::parse(text, None);

        assert_eq!(policy.pickup(&number("*8")), Some(Pickup::Any));
        assert_eq!(
            policy.pickup(&number("*88001")),
            Some(Pickup::Extension("8001"))
        );
        assert_eq!(
            policy.pickup(&number("**201")),
            Some(Pickup::Extension("201"))
        );
        assert_eq!(policy.pickup(&number("*97")), None);
        assert_eq!(policy.pickup(&number("8001")), None);
    }

    #[test]
    fn patterns_match_whole_numbers() {
        assert!(matches("2XX", "203"));
        assert!(!matches("2XX", "2033"));
        assert!(!matches("2XX", "2*3"));
    }

    #[test]
    fn a_short_number_looks_like_an_extension_only_to_one_of_the_same_length() {
        let policy = Policy::default();
        assert!(policy.looks_like_extension(&Number::parse("1604", None), "1603"));
        assert!(!policy.looks_like_extension(&Number::parse("112", None), "203"));
        assert!(!policy.looks_like_extension(&Number::parse("16041", None), "1603"));

        let region = Region::parse("US");
        let outside = Number::parse("3035550177", region);
        assert!(!policy.looks_like_extension(&outside, "3035550100"));
        let outside = Number::parse("3035550177", None);
        assert!(!policy.looks_like_extension(&outside, "3035550100"));
    }
}
