//! What a site may decide for itself: delays, windows, caps, feature codes and which numbers are
//! its own. Plain data with defaults.

use rlibphonenumber::Region;

use super::number::{Form, Number};
use super::time::Span;

/// The rules of one site that are numbers or lists. The defaults fit a site nobody has configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Where national numbers belong; without it only international numbers have an E.164 form.
    pub region: Option<Region>,

    /// How long after the last phone fell silent an unanswered call is decided to be missed.
    pub missed_delay: Span,
    /// How long nobody may ring between two rounds of one unanswered call. A decision waits at
    /// least this long.
    pub rering_gap: Span,
    /// How soon after a conversation the same party must ring again to be the same call (parked,
    /// put in a queue, sent on).
    pub resume_gap: Span,
    /// How close together phones must begin to ring to share a caller who withholds the number.
    pub ring_join: Span,

    /// How long an explicit transfer may take to ring somewhere.
    pub transfer_window: Span,
    /// How long a finished call is remembered to link the next call of the same party to it.
    pub link_window: Span,
    /// How close together the two legs of the phone that transfers must end.
    pub together: Span,

    /// How far two requests of different connections may overtake each other.
    pub reorder: Span,
    /// How late the same request may come again.
    pub duplicate: Span,

    /// A conversation no longer than this, begun while another phone rang too, is a lost race for
    /// the answer.
    pub claim_race: Span,
    /// Two phones that both talk longer than this are two calls.
    pub overlap: Span,
    /// A phone that goes on ringing longer than this after the answer elsewhere rang for another
    /// call.
    pub drop_late: Span,
    /// How close to a pickup the picked-up phone must fall silent to prove which one it was.
    pub pickup_evidence: Span,
    /// How long an announcement may talk to a caller in place of an extension that never reported
    /// anything.
    pub announcement_max: Span,

    /// A leg that rings longer without another sign has lost its end.
    pub ring_max: Span,
    /// A conversation that lasts longer without another sign has lost its end.
    pub duration_max: Span,

    /// A conversation without a sign for so long, of which nothing is ever heard again, was over:
    /// who rang in its name by then rang anew.
    pub doubt_after: Span,

    /// Feature codes that pick up a ringing call: alone, or followed by the ringing extension.
    pub pickup_codes: Vec<String>,
    /// Extensions known without any report, as dial patterns (`X` is any digit): the directory and
    /// the numbering plan.
    pub extensions: Vec<String>,
    /// Extensions whose phones report nothing, as dial patterns: their caller's word is enough.
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
            drop_late: Span::seconds(5),
            pickup_evidence: Span::seconds(1),
            announcement_max: Span::seconds(30),
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

/// What a pickup code asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pickup<'a> {
    /// Any phone that rings.
    Any,
    Extension(&'a str),
}

impl Policy {
    /// How long after the last phone fell silent an unanswered call is decided.
    pub(super) fn missed_after(&self) -> Span {
        self.missed_delay.max(self.rering_gap)
    }

    /// Whether the directory or the numbering plan names this extension.
    pub(super) fn lists_extension(&self, dial: &str) -> bool {
        self.extensions.iter().any(|pattern| matches(pattern, dial))
    }

    /// Whether this extension's phone is known to report nothing.
    pub(super) fn is_silent_extension(&self, dial: &str) -> bool {
        self.silent_extensions
            .iter()
            .any(|pattern| matches(pattern, dial))
    }

    /// Whether somebody at `own` who dials this number means a colleague: plain digits, as many as
    /// the own extension has. A guess, for sites that do not state their numbering plan.
    pub(super) fn looks_like_extension(&self, dialled: &Number, own: &str) -> bool {
        self.extensions.is_empty()
            && dialled.form() == Form::Digits
            && dialled.dial().len() == own.len()
            && own.bytes().all(|b| b.is_ascii_digit())
            && !self
                .emergency_numbers
                .iter()
                .any(|number| number == dialled.dial())
    }

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

/// A dial pattern: `X` stands for one digit, everything else for itself.
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

    #[test]
    fn pickup_codes_stand_alone_or_before_an_extension() {
        let policy = Policy::default();
        let ask = |text: &str| Number::parse(text, None);
        assert_eq!(policy.pickup(&ask("*8")), Some(Pickup::Any));
        assert_eq!(
            policy.pickup(&ask("*88001")),
            Some(Pickup::Extension("8001"))
        );
        assert_eq!(policy.pickup(&ask("**201")), Some(Pickup::Extension("201")));
        assert_eq!(policy.pickup(&ask("*97")), None);
        assert_eq!(policy.pickup(&ask("8001")), None);
    }

    #[test]
    fn patterns_match_whole_numbers() {
        assert!(matches("2XX", "203"));
        assert!(!matches("2XX", "2033"));
        assert!(!matches("2XX", "2*3"));
    }

    #[test]
    fn a_short_number_is_an_extension_only_to_its_like() {
        let policy = Policy::default();
        assert!(policy.looks_like_extension(&Number::parse("1604", None), "1603"));
        assert!(!policy.looks_like_extension(&Number::parse("112", None), "203"));
        assert!(!policy.looks_like_extension(&Number::parse("16041", None), "1603"));
    }
}
