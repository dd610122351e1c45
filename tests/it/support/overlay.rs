//! Overlays: changes that networks and firmware make to the requests of a flow, and that change no
//! record.

use cordboard::domain::fact::{Fact, Site};
use cordboard::domain::time::At;
use cordboard::simulate::Dice;
use cordboard::wire::fact_line;
use cordboard::wire::instant;
use cordboard::wire::policy_file::Policies;
use serde_json::json;
use uuid::Uuid;

use super::flow::{Event, Flow};

/// 2026-01-01T00:00:00Z in microseconds.
pub const EPOCH: i64 = 1_767_225_600_000_000;
const FIRST_ID: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0000;

/// Spelling of the parameters of a phone's requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spelling {
    pub call_id: CallId,
    pub mac: usize,
    pub number: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum CallId {
    #[default]
    Sent,
    Absent,
    Placeholder,
}

/// The facts of some events, read through the same line format as everything else. Facts of equal
/// time keep their order.
pub fn facts(flow: &Flow, events: &[Event], spelling: Spelling, policies: &Policies) -> Vec<Fact> {
    lines(flow, events, spelling)
        .iter()
        .map(|line| {
            fact_line::parse(line, |site| policies.of(site))
                .unwrap_or_else(|error| panic!("{line}: {error}"))
        })
        .collect()
}

/// Some events as fact lines.
pub fn lines(flow: &Flow, events: &[Event], spelling: Spelling) -> Vec<String> {
    events
        .iter()
        .enumerate()
        .map(|(index, event)| line(flow, event, index, spelling))
        .collect()
}

/// One event as a fact line.
fn line(flow: &Flow, event: &Event, index: usize, spelling: Spelling) -> String {
    let phone = place(flow, &event.phone);
    let number_form = match spelling.number {
        0 => 0,
        form => form + phone,
    };
    let remote = match event.remote.as_str() {
        "-" => "anonymous".to_owned(),
        "_" => "$remote".to_owned(),
        named => number(named, number_form),
    };

    let mut line = json!({
        "at": instant::text(At(EPOCH + event.at * 1_000)),
        "event": event.name,
        "event_id": Uuid::from_u128(FIRST_ID + index as u128).to_string(),
        "mac": mac(phone, spelling.mac + phone),
        "local": flow.phones[&event.phone],
        "remote": remote,
    });
    match spelling.call_id {
        CallId::Sent => line["call_id"] = format!("{}.{}@h", event.phone, event.leg).into(),
        CallId::Placeholder => line["call_id"] = "$call-id".into(),
        CallId::Absent => {}
    }

    line.to_string()
}

/// The number of the device: accounts of one device share it.
pub fn place(flow: &Flow, phone: &str) -> usize {
    let device = |name: &str| name.replace(".b", "");

    flow.phones
        .keys()
        .position(|name| device(name) == device(phone))
        .unwrap_or_else(|| panic!("{}: no phone {phone}", flow.name))
}

/// The MAC address of a phone in one of four spellings.
pub fn mac(phone: usize, form: usize) -> String {
    let plain = format!("000b82{phone:06x}");
    let pairs = |separator: &str| {
        plain
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
            .collect::<Vec<_>>()
            .join(separator)
    };

    match form % 4 {
        0 => plain.clone(),
        1 => plain.to_uppercase(),
        2 => pairs(":"),
        _ => pairs("-").to_uppercase(),
    }
}

/// Other spellings of a public number; short and special numbers have only one.
fn number(remote: &str, form: usize) -> String {
    let known = [
        ("0612345678", "33", "612345678"),
        ("+4930111", "49", "30111"),
        ("+4930222", "49", "30222"),
        ("+49300", "49", "300"),
    ];
    let national = known.iter().find(|(number, ..)| *number == remote);

    let (code, significant, trunk) = match national {
        Some((_, code, significant)) => (*code, *significant, true),
        None if remote.starts_with("+1") && remote.len() == 12 => ("1", &remote[2..], false),
        None => return remote.into(),
    };

    match form {
        0 => remote.into(),
        form if form % 3 == 1 => format!("+{code}{significant}"),
        form if form % 3 == 2 || !trunk || significant.len() < 5 => format!("{code}{significant}"),
        _ => format!("0{significant}"),
    }
}

/// Every request twice, up to ten seconds apart.
pub fn duplicated(events: &[Event], dice: &mut Dice) -> Vec<Event> {
    let mut all = events.to_vec();
    all.extend(events.iter().map(|event| Event {
        at: event.at + dice.roll(10_000).cast_signed(),
        ..event.clone()
    }));
    all.sort_by_key(|event| event.at);

    all
}

/// All ways to let one request overtake another one less than a second before it: the two change
/// places in time. Each with the seconds between the two.
pub fn swaps(events: &[Event]) -> Vec<(f64, Vec<Event>)> {
    let mut all = Vec::new();

    for later in 1..events.len() {
        for earlier in 0..later {
            let apart_ms = i32::try_from(events[later].at - events[earlier].at).unwrap();
            if apart_ms >= 1_000 {
                continue;
            }

            let mut swapped = events.to_vec();
            swapped[earlier] = Event {
                at: events[earlier].at,
                ..events[later].clone()
            };
            swapped[later] = Event {
                at: events[later].at,
                ..events[earlier].clone()
            };
            all.push((f64::from(apart_ms) / 1000.0, swapped));
        }
    }

    all
}

/// The same flow beside itself, with another outside party and other extensions.
pub fn twin(flow: &Flow, events: &[Event]) -> (Flow, Vec<Event>) {
    let other = |number: &str| other_number(flow, number);
    let mut both = flow.clone();
    for (phone, extension) in &flow.phones {
        both.phones.insert(format!("{phone}'"), other(extension));
    }

    let mut all = events.to_vec();
    all.extend(events.iter().map(|event| Event {
        phone: format!("{}'", event.phone),
        remote: other(&event.remote),
        ..event.clone()
    }));
    all.sort_by_key(|event| event.at);

    for call in &flow.call {
        let mut call = call.clone();
        for number in [&mut call.from, &mut call.to] {
            *number = number.split('|').map(other).collect::<Vec<_>>().join("|");
        }
        call.requested = call.requested.as_deref().map(other);
        call.answered_by = call.answered_by.map(|phone| format!("{phone}'"));
        call.missed = call.missed.iter().map(|number| other(number)).collect();
        if let Some(transfer) = &mut call.transfer {
            transfer.to = other(&transfer.to);
        }
        both.call.push(call);
    }

    (both, all)
}

/// The number of the twin in place of this one.
fn other_number(flow: &Flow, number: &str) -> String {
    let ours = flow.phones.values().any(|extension| extension == number);
    let code = flow.phones.values().find_map(|extension| {
        number
            .strip_suffix(extension.as_str())
            .filter(|code| code.starts_with('*'))
    });

    match (ours, code) {
        (true, _) => format!("7{number}"),
        (false, Some(code)) => format!("{code}7{}", &number[code.len()..]),
        (false, None) if number.starts_with('*') || matches!(number, "-" | "_") => number.into(),
        (false, None) if number.len() <= 5 => format!("7{number}"),
        (false, None) => format!("{number}77"),
    }
}

pub fn site() -> Site {
    Site::default()
}
