//! Batches as a worker commits them, made of a few requests.

use std::sync::Arc;

use cordboard::domain::Timeline;
use cordboard::domain::fact::{EventId, Fact, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::port::ledger::{BelievedInstants, CallUpdate, Changes, Lookback, ReceivedFact};
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;

use super::overlay::EPOCH;

/// The lookback of the default rules.
pub const LOOKBACK: Lookback = Lookback {
    links: Span::seconds(120),
    calls: Span::seconds(14_400),
    believed: BelievedInstants::ALL,
};

/// Seconds after the epoch of the call flows.
pub fn after_seconds(seconds: i64) -> At {
    At(EPOCH + seconds * 1_000_000)
}

/// The fact of one request, received this many seconds after the epoch.
pub fn received(number: u128, second: i64, target: &str) -> ReceivedFact {
    let envelope = Envelope::new(
        EventId(number),
        after_seconds(second),
        &Site::default(),
        None,
        target,
        "",
        BodyForm::None,
    );

    of_envelope(&envelope, &Policy::default())
}

/// An answered call and a missed one.
pub fn two_calls() -> Vec<ReceivedFact> {
    let lines = [
        (0, "incoming?mac=000b82000001&local=201&remote=+4930111&c=a"),
        (3, "answered?mac=000b82000001&local=201&remote=+4930111&c=a"),
        (5, "incoming?mac=000b82000002&local=202&remote=+4930222&c=b"),
        (9, "missed?mac=000b82000002&local=202&remote=+4930222&c=b"),
        (30, "hangup?mac=000b82000001&local=201&remote=+4930111&c=a"),
    ];

    (1..)
        .zip(lines)
        .map(|(number, (second, line))| received(number, second, &format!("/gs/cti/{line}")))
        .collect()
}

/// The facts in these messages; ticks have none.
pub fn facts(messages: &[Message]) -> Vec<ReceivedFact> {
    let policy = Policy::default();

    messages
        .iter()
        .filter_map(|message| match message {
            Message::Event(envelope) => Some(of_envelope(envelope, &policy)),
            Message::Tick(_) => None,
        })
        .collect()
}

fn of_envelope(envelope: &Envelope, policy: &Policy) -> ReceivedFact {
    ReceivedFact {
        fact: envelope.fact(|_| policy).unwrap(),
        message: envelope.encode(),
    }
}

/// The batch that a worker commits for these facts.
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

/// A site without park slots: a call is final as soon as no ring can continue it.
pub fn timeline() -> Timeline {
    let policy = Policy {
        park_window: Span::ZERO,
        ..Policy::default()
    };

    Timeline::new(Site::default(), Arc::new(policy))
}
