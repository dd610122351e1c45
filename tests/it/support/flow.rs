//! Call flows: the reports of the phones, and the records that must come out.
//!
//! A fact line reads `seconds phone event remote leg`; the remote `-` withholds its number, and `_`
//! is one that the phone does not name. An event with a leading `?` is one that a
//! phone may not be configured to send. Some events are tokens, because firmware differs:
//! `answered` may come twice; `noans` is the end of an unanswered ring, `rej` of a refused one,
//! `drop` of one that another phone took. Every form of a token must give the same record.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    pub name: String,
    /// The extension of each phone.
    pub phones: BTreeMap<String, String>,
    facts: String,
    #[serde(default)]
    pub call: Vec<Expected>,
    /// The policy of the site, as a policy file; the defaults where it is absent.
    #[serde(default)]
    pub policy: String,
    /// Overlays under which this flow cannot be distinguished from another one.
    #[serde(default)]
    pub except: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub direction: String,
    pub outcome: String,
    /// `-` for a withheld number.
    pub from: String,
    /// Alternatives are separated by `|`.
    pub to: String,
    pub requested: Option<String>,
    pub answered_by: Option<String>,
    #[serde(default)]
    pub live: bool,
    pub ring: Option<f64>,
    pub talk: Option<f64>,
    pub total: Option<f64>,
    pub missed: Vec<String>,
    pub transfer: Option<ExpectedTransfer>,
    #[serde(default)]
    pub linked: bool,
    pub link: Option<String>,
    #[serde(default)]
    pub pickup: bool,
    pub origin: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedTransfer {
    pub kind: String,
    pub state: String,
    pub to: String,
}

/// One report of a phone.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Milliseconds since the flow began.
    pub at: i64,
    pub phone: String,
    pub name: String,
    pub remote: String,
    pub leg: String,
    pub optional: bool,
}

#[derive(Deserialize)]
struct File {
    flow: Vec<Flow>,
}

/// All flows of the folder `tests/flows`.
pub fn all() -> Vec<Flow> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();

    let read = |path| {
        toml::from_str::<File>(&fs::read_to_string(path).unwrap())
            .unwrap()
            .flow
    };

    paths.iter().flat_map(read).collect()
}

impl Flow {
    pub fn events(&self) -> Vec<Event> {
        self.facts
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(event)
            .collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a flow takes minutes, and not ages"
)]
fn event(line: &str) -> Event {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [at, phone, event, remote, leg] = words[..] else {
        panic!("not a fact line: {line}")
    };

    let at = (at.parse::<f64>().unwrap() * 1000.0).round() as i64;
    let optional = event.starts_with('?');

    Event {
        at,
        phone: phone.into(),
        name: event.trim_start_matches('?').into(),
        remote: remote.into(),
        leg: leg.into(),
        optional,
    }
}

/// Milliseconds between the events of a token.
const BETWEEN_PARTS_MS: usize = 30;
/// The forms of each token.
const FORMS: [(&str, &[&[&str]]); 4] = [
    ("answered", &[&["answered"], &["answered", "answered"]]),
    (
        "noans",
        &[
            &["missed"],
            &["missed", "hangup"],
            &["hangup", "missed"],
            &["hangup"],
        ],
    ),
    (
        "rej",
        &[
            &["rejected"],
            &["missed"],
            &["hangup"],
            &["rejected", "missed"],
        ],
    ),
    ("drop", &[&["missed"], &["hangup"], &[]]),
];

/// Replaces every token by one of its forms: `choose` is asked once for each.
pub fn expand(events: &[Event], mut choose: impl FnMut(usize) -> usize) -> Vec<Event> {
    let mut expanded = Vec::new();

    for event in events {
        let Some((_, forms)) = FORMS.iter().find(|(token, _)| *token == event.name) else {
            expanded.push(event.clone());
            continue;
        };

        let form = forms[choose(forms.len()) % forms.len()];
        for (later, name) in (0..).step_by(BETWEEN_PARTS_MS).zip(form) {
            expanded.push(Event {
                at: event.at + later,
                name: (*name).into(),
                ..event.clone()
            });
        }
    }
    expanded.sort_by_key(|event| event.at);

    expanded
}
