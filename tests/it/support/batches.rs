//! What a worker would write of a few requests.

use std::sync::Arc;

use cordboard::domain::Timeline;
use cordboard::domain::fact::{EventId, Fact, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::port::ledger::{CallUpdate, Changes, Lookback, ReceivedFact};
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;

use super::overlay::EPOCH;

/// As the default rules have it.
pub const MEMORY: Lookback = Lookback {
    links: Span::seconds(120),
    calls: Span::seconds(14_400),
};

pub fn received(number: u128, second: i64, target: &str) -> ReceivedFact {
    let envelope = Envelope::new(
        EventId(number),
        At(EPOCH + second * 1_000_000),
        &Site::default(),
        None,
        target,
        "",
        BodyForm::None,
    );
    let policy = Policy::default();
    ReceivedFact {
        fact: envelope.fact(|_| &policy).unwrap(),
        message: envelope.encode(),
    }
}

/// A call that is answered, and one that nobody takes.
pub fn two_calls() -> Vec<ReceivedFact> {
    let lines = [
        (0, "incoming?mac=000b82000001&local=201&remote=+4930111&c=a"),
        (3, "answered?mac=000b82000001&local=201&remote=+4930111&c=a"),
        (5, "incoming?mac=000b82000002&local=202&remote=+4930222&c=b"),
        (9, "missed?mac=000b82000002&local=202&remote=+4930222&c=b"),
        (30, "hangup?mac=000b82000001&local=201&remote=+4930111&c=a"),
    ];
    lines
        .iter()
        .enumerate()
        .map(|(index, (second, line))| {
            received(index as u128 + 1, *second, &format!("/gs/cti/{line}"))
        })
        .collect()
}

/// The report that is in a message.
pub fn of_message(message: &Message, policy: &Policy) -> Option<ReceivedFact> {
    match message {
        Message::Report(envelope) => Some(ReceivedFact {
            fact: envelope.fact(|_| policy).unwrap(),
            message: envelope.encode(),
        }),
        Message::Tick(_) => None,
    }
}

/// What a worker would write for these facts.
pub fn changes(timeline: &mut Timeline, facts: Vec<ReceivedFact>, watermark: At) -> Changes {
    let bare: Vec<Fact> = facts.iter().map(|received| received.fact.clone()).collect();
    let delta = timeline.apply(bare, watermark);
    Changes {
        calls: CallUpdate::from_delta(delta.changed, delta.finished).collect(),
        withdrawn_calls: delta.withdrawn,
        facts,
        watermark: Some(watermark),
        ..Changes::default()
    }
}

pub fn timeline() -> Timeline {
    Timeline::new(Site::default(), Arc::new(Policy::default()))
}
