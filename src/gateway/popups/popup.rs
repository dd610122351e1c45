//! The popup of one agent for one call: a pure function of the call's record.

use std::cmp::Reverse;

use serde_json::{Value, json};

use crate::port::directory::Helpline;

/// The agent whose phone decides which calls are his.
pub(super) struct Agent<'a> {
    pub extension: &'a str,
    /// The name under which he claims calls.
    pub name: &'a str,
    /// The helplines of his site.
    pub helplines: &'a [Helpline],
}

/// A call for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub kind: Kind,
    /// His phone has a part in the call. Otherwise it rings at other phones of his helpline.
    pub at_phone: bool,
}

/// The meaning of a call for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ring,
    /// A colleague hands the call over.
    Handover,
    Talk,
    /// Another phone took it.
    Taken,
    /// It ended without an answer.
    Missed,
    Gone,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Ring => "ring",
            Kind::Handover => "handover",
            Kind::Talk => "talk",
            Kind::Taken => "taken",
            Kind::Missed => "missed",
            Kind::Gone => "gone",
        }
    }

    pub(super) fn is_ringing(self) -> bool {
        matches!(self, Kind::Ring | Kind::Handover)
    }

    /// Whether a window shows it when it opens.
    pub(super) fn is_current(self) -> bool {
        self.is_ringing() || self == Kind::Talk
    }
}

/// The meaning of the call for the agent; `None` when it is none of his, or he only placed it.
pub(super) fn meaning(record: &Value, agent: &Agent<'_>) -> Option<Meaning> {
    if takes_part(record, agent.extension) {
        let kind = kind_at_phone(record, agent.extension)?;
        return Some(Meaning {
            kind,
            at_phone: true,
        });
    }

    let helpline = helpline_of(record, agent.helplines)?;
    let is_member = helpline
        .members
        .iter()
        .any(|member| member == agent.extension);
    is_member.then(|| Meaning {
        kind: kind_at_helpline(record),
        at_phone: false,
    })
}

pub(super) fn takes_part(record: &Value, extension: &str) -> bool {
    let participants = record["participants"].as_array();

    participants
        .into_iter()
        .flatten()
        .any(|participant| participant["extension"].as_str() == Some(extension))
}

/// The meaning of a call that was shown to an agent and is none of his any more: by now it rings at the
/// phones of another helpline.
pub(super) fn meaning_of_shown(record: &Value) -> Meaning {
    let kind = match kind_at_helpline(record) {
        Kind::Ring => Kind::Gone,
        kind => kind,
    };

    Meaning {
        kind,
        at_phone: false,
    }
}

/// The meaning of a helpline's call for its members whose phones do not ring.
fn kind_at_helpline(record: &Value) -> Kind {
    if record["answered_at"].is_string() {
        Kind::Taken
    } else if record["outcome"] == "missed" {
        Kind::Missed
    } else if record["ended_at"].is_string() {
        Kind::Gone
    } else {
        Kind::Ring
    }
}

/// The meaning of the call for a phone that has a part in it; `None` when it only placed it.
fn kind_at_phone(record: &Value, extension: &str) -> Option<Kind> {
    let participants = record["participants"].as_array()?;
    let own = participants
        .iter()
        .filter(|participant| participant["extension"].as_str() == Some(extension));
    let outcomes: Vec<(&str, &str)> = own
        .map(|own| {
            let text = |field: &str| own[field].as_str().unwrap_or_default();
            let outcome = match text("outcome") {
                "ringing" if !rings(record, own) => "answered_elsewhere",
                outcome => outcome,
            };
            (outcome, text("role"))
        })
        .filter(|(_, role)| *role != "caller")
        .collect();
    let has = |wanted: &str| outcomes.iter().any(|(outcome, _)| *outcome == wanted);

    // Of several devices of one extension the one that talks decides, then one that rings.
    if outcomes.is_empty() {
        None
    } else if has("talking") {
        Some(Kind::Talk)
    } else if let Some((_, role)) = outcomes.iter().find(|(outcome, _)| *outcome == "ringing") {
        let is_handover = *role == "transfer_target";
        Some(if is_handover {
            Kind::Handover
        } else {
            Kind::Ring
        })
    } else if has("answered") {
        Some(Kind::Gone)
    } else if record["outcome"] == "missed" {
        Some(Kind::Missed)
    } else if record["answered_at"].is_string() {
        Some(Kind::Taken)
    } else {
        Some(Kind::Gone)
    }
}

/// Whether a participant rings for a call that it can still take. A phone that rang before the
/// answer elsewhere is silent, although its own report of that comes later, or never.
pub(in crate::gateway) fn rings(record: &Value, participant: &Value) -> bool {
    let rang_at = participant["rang_at"].as_str();
    let is_transfer = participant["role"] == "transfer_target";

    participant["outcome"] == "ringing" && (is_transfer || record["answered_at"].as_str() < rang_at)
}

/// The document of a popup.
pub(super) fn document(
    record: &Value,
    Meaning { kind, at_phone }: Meaning,
    agent: &Agent<'_>,
    claimed_by: Option<&str>,
) -> Value {
    let line = asked_for(record, agent);
    let taken_by = record["answered_by"]["extension"].as_str();
    let handed_over_by = (kind == Kind::Handover)
        .then_some(taken_by)
        .flatten()
        .map(|extension| json!({ "extension": extension }));

    json!({
        "id": record["id"],
        "call_id": record["id"],
        "kind": kind.name(),
        "at_phone": at_phone,
        "since": since(record, kind, agent.extension),
        "caller": record["from"],
        "for": line,
        "claimed_by": claimed_by.map(|name| json!({ "name": name, "display_name": name })),
        "mine": claimed_by == Some(agent.name),
        "taken_by": taken_by,
        "handed_over_by": handed_over_by,
        "also_ringing": ringing_beside(record, agent.extension),
    })
}

/// The line that the caller asked for: a helpline, or the agent's own.
fn asked_for(record: &Value, agent: &Agent<'_>) -> Value {
    match helpline_of(record, agent.helplines) {
        Some(Helpline { number, name, .. }) => {
            json!({ "kind": "helpline", "number": number, "name": name })
        }
        None => json!({ "kind": "extension", "number": agent.extension, "name": null }),
    }
}

/// The helpline that was called: by its number, or because several of its members rang first. Phones
/// that ring later, outside of it, do not take the call from it.
pub(super) fn helpline_of<'h>(record: &Value, helplines: &'h [Helpline]) -> Option<&'h Helpline> {
    let requested = record["requested"]["number"].as_str();
    let by_number = helplines
        .iter()
        .find(|helpline| Some(helpline.number.as_str()) == requested);
    if by_number.is_some() {
        return by_number;
    }

    let called = called_extensions(record);
    let first_members = |helpline: &Helpline| {
        let is_member = |extension: &&&str| {
            let mut members = helpline.members.iter();
            members.any(|member| member == **extension)
        };
        called.iter().take_while(is_member).count()
    };

    helplines
        .iter()
        .map(|helpline| (first_members(helpline), helpline))
        .filter(|(first_members, _)| *first_members > 1)
        .max_by_key(|(first_members, helpline)| (*first_members, Reverse(helpline.members.len())))
        .map(|(_, helpline)| helpline)
}

/// The extensions that were called, in the order in which they rang.
fn called_extensions(record: &Value) -> Vec<&str> {
    let participants = record["participants"].as_array();
    let callees = participants
        .into_iter()
        .flatten()
        .filter(|participant| participant["role"] == "callee");
    let mut called: Vec<(Option<&str>, &str)> = callees
        .filter_map(|callee| Some((callee["rang_at"].as_str(), callee["extension"].as_str()?)))
        .collect();
    called.sort_unstable();

    let mut extensions: Vec<&str> = Vec::with_capacity(called.len());
    for (_, extension) in called {
        if !extensions.contains(&extension) {
            extensions.push(extension);
        }
    }
    extensions
}

fn ringing_beside(record: &Value, extension: &str) -> Vec<String> {
    let participants = record["participants"].as_array();
    let ringing = participants.into_iter().flatten().filter(|participant| {
        rings(record, participant) && participant["extension"].as_str() != Some(extension)
    });

    let mut extensions: Vec<String> = ringing
        .filter_map(|participant| participant["extension"].as_str().map(ToOwned::to_owned))
        .collect();
    extensions.sort();
    extensions.dedup();
    extensions
}

fn since(record: &Value, kind: Kind, extension: &str) -> Value {
    let field = match kind {
        Kind::Ring | Kind::Handover => "rang_at",
        Kind::Talk => "answered_at",
        Kind::Taken => return record["answered_at"].clone(),
        Kind::Missed | Kind::Gone => "left_at",
    };
    let participants = record["participants"].as_array();
    let own = participants
        .into_iter()
        .flatten()
        .filter(|participant| participant["extension"].as_str() == Some(extension));

    own.filter_map(|participant| participant[field].as_str())
        .max()
        .map_or_else(|| record["started_at"].clone(), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(participants: &Value) -> Value {
        json!({
            "id": "c",
            "from": { "number": "+4930123456" },
            "to": { "number": null },
            "requested": { "number": null },
            "started_at": "2026-01-01T00:00:00Z",
            "answered_at": null,
            "ended_at": null,
            "outcome": null,
            "answered_by": null,
            "participants": participants,
        })
    }

    fn participant(extension: &str, role: &str, outcome: &str) -> Value {
        json!({
            "extension": extension, "role": role, "outcome": outcome,
            "rang_at": "2026-01-01T00:00:01Z", "answered_at": null,
        })
    }

    #[test]
    fn a_call_is_what_the_phone_of_the_agent_makes_of_it() {
        let mut call = record(&json!([
            participant("201", "callee", "ringing"),
            participant("202", "callee", "ringing"),
            participant("203", "caller", "talking"),
            participant("204", "transfer_target", "ringing"),
        ]));
        assert_eq!(kind_at_phone(&call, "201"), Some(Kind::Ring));
        assert_eq!(kind_at_phone(&call, "203"), None);
        assert_eq!(kind_at_phone(&call, "204"), Some(Kind::Handover));

        call["answered_at"] = json!("2026-01-01T00:00:05Z");
        // 201 has not reported yet that it is silent.
        call["participants"][1]["outcome"] = json!("talking");
        assert_eq!(kind_at_phone(&call, "201"), Some(Kind::Taken));
        assert_eq!(kind_at_phone(&call, "202"), Some(Kind::Talk));
    }

    #[test]
    fn the_device_that_talks_decides_for_its_extension() {
        let call = record(&json!([
            participant("201", "callee", "answered_elsewhere"),
            participant("201", "callee", "talking"),
        ]));

        assert_eq!(kind_at_phone(&call, "201"), Some(Kind::Talk));
    }

    #[test]
    fn a_popup_names_the_line_and_who_else_rings() {
        let call = record(&json!([
            participant("201", "callee", "ringing"),
            participant("202", "callee", "ringing"),
        ]));
        let agent = Agent {
            extension: "201",
            name: "ayesha",
            helplines: &[Helpline {
                site: "berlin".to_owned(),
                number: "240".to_owned(),
                name: "Sales".to_owned(),
                members: vec!["201".to_owned(), "202".to_owned()],
            }],
        };

        let meaning = meaning(&call, &agent).unwrap();
        assert_eq!((meaning.kind, meaning.at_phone), (Kind::Ring, true));
        let popup = document(&call, meaning, &agent, Some("omar"));

        assert_eq!(
            popup["for"],
            json!({ "kind": "helpline", "number": "240", "name": "Sales" })
        );
        assert_eq!(popup["also_ringing"], json!(["202"]));
        assert_eq!(popup["since"], "2026-01-01T00:00:01Z");
        assert_eq!(popup["claimed_by"]["name"], "omar");
        assert_eq!(popup["mine"], false);
    }

    #[test]
    fn a_call_of_a_helpline_concerns_its_members_whose_phones_are_silent() {
        let helplines = [Helpline {
            site: "berlin".to_owned(),
            number: "240".to_owned(),
            name: "Sales".to_owned(),
            members: ["201", "202", "203"].map(ToOwned::to_owned).to_vec(),
        }];
        let agent = |extension: &'static str| Agent {
            extension,
            name: extension,
            helplines: &helplines,
        };
        let mut call = record(&json!([
            participant("201", "callee", "ringing"),
            participant("202", "callee", "ringing"),
        ]));

        let silent = |call: &Value| meaning(call, &agent("203")).map(|found| found.kind);
        assert_eq!(silent(&call), Some(Kind::Ring));
        assert!(!meaning(&call, &agent("203")).unwrap().at_phone);
        assert_eq!(meaning(&call, &agent("209")), None);

        call["answered_at"] = json!("2026-01-01T00:00:05Z");
        assert_eq!(silent(&call), Some(Kind::Taken));
        call["participants"][0]["role"] = json!("caller");
        call["participants"][1]["extension"] = json!("209");
        assert_eq!(
            silent(&call),
            None,
            "one phone rings, and no number was named"
        );
        call["requested"]["number"] = json!("240");
        assert_eq!(silent(&call), Some(Kind::Taken));
    }

    #[test]
    fn phones_that_ring_later_do_not_take_a_call_from_its_helpline() {
        let helpline = |number: &str, members: &[&str]| Helpline {
            site: "berlin".to_owned(),
            number: number.to_owned(),
            name: number.to_owned(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
        };
        let helplines = [
            helpline("240", &["201", "202", "203"]),
            helpline("250", &["201", "202", "209"]),
            helpline("260", &["201", "202", "203", "204"]),
        ];
        let called = |rings: &[(&str, u32)]| {
            let callees: Vec<Value> = rings
                .iter()
                .map(|(extension, second)| {
                    json!({
                        "extension": extension, "role": "callee", "outcome": "ringing",
                        "rang_at": format!("2026-01-01T00:00:{second:02}Z"),
                    })
                })
                .collect();
            let call = record(&callees.into());
            helpline_of(&call, &helplines).map(|helpline| helpline.number.clone())
        };

        let first = [("201", 1), ("203", 1)];
        assert_eq!(called(&first), Some("240".to_owned()));
        let and_later = [("208", 9), ("201", 1), ("203", 1)];
        assert_eq!(called(&and_later), Some("240".to_owned()));
        // The helpline that has all of the phones is the one that was called.
        let all = [("201", 1), ("202", 1), ("209", 2)];
        assert_eq!(called(&all), Some("250".to_owned()));
        assert_eq!(called(&[("208", 1), ("201", 2), ("203", 2)]), None);
        assert_eq!(called(&[("201", 1)]), None);
    }
}
