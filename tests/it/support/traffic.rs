//! Arbitrary traffic: facts that make sense and facts that make none, from few enough phones and
//! parties to collide all the time.

use cordboard::domain::device::{Device, Extension};
use cordboard::domain::fact::{CallRef, DeviceState, EventId, Fact, Kind, Site};
use cordboard::domain::number::Number;
use cordboard::domain::time::At;
use proptest::prelude::*;

use super::overlay::EPOCH;

const EXTENSIONS: [&str; 5] = ["201", "202", "203", "204", "2001"];
const OUTSIDE: [&str; 6] = [
    "+15551230000",
    "+15559990000",
    "*8",
    "**202",
    "anonymous",
    "6300",
];

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::Incoming),
        4 => Just(Kind::Outgoing),
        6 => Just(Kind::Answered),
        6 => Just(Kind::Hangup),
        1 => Just(Kind::Rejected),
        3 => Just(Kind::Missed),
        1 => Just(Kind::Hold),
        1 => Just(Kind::Resume),
        1 => Just(Kind::BlindTransfer),
        1 => Just(Kind::AttendedTransfer),
        1 => Just(Kind::Device(DeviceState::Idle)),
    ]
}

fn remote() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        8 => proptest::sample::select(&EXTENSIONS[..]).prop_map(Some),
        8 => proptest::sample::select(&OUTSIDE[..]).prop_map(Some),
        1 => Just(None),
    ]
}

/// Milliseconds between two facts: none, within the windows of the rules, or far beyond them.
fn gap_ms() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => 0..5_i64,
        4 => 5..1_500_i64,
        3 => 1_500..7_000_i64,
        1 => 7_000..150_000_i64,
        1 => Just(20_000_000_i64),
    ]
}

prop_compose! {
    fn report()(
        gap in gap_ms(),
        phone in 0..5_usize,
        kind in kind(),
        remote in remote(),
        call_ref in proptest::option::weighted(0.6, 0..4_u8),
        named in proptest::bool::weighted(0.9),
    ) -> (i64, usize, Kind, Option<&'static str>, Option<u8>, bool) {
        (gap, phone, kind, remote, call_ref, named)
    }
}

/// Up to `most` facts in their order, each with its own id.
pub fn facts(most: usize) -> impl Strategy<Value = Vec<Fact>> {
    proptest::collection::vec(report(), 0..most).prop_map(|reports| {
        let mut at = EPOCH;
        let mut facts = Vec::with_capacity(reports.len());

        for (index, (gap, phone, kind, remote, call_ref, named)) in reports.into_iter().enumerate()
        {
            at += gap * 1_000;
            facts.push(Fact {
                id: EventId(index as u128 + 1),
                at: At(at),
                site: Site::default(),
                device: Device::Mac(0x000b_8200_0000 + phone as u64),
                local: named.then(|| Extension::parse(EXTENSIONS[phone])).flatten(),
                kind,
                remote: remote.map(|text| Number::parse(text, None)),
                call_ref: call_ref.and_then(|leg| CallRef::parse(&format!("{phone}.{leg}"))),
                remote_name: Some("Somebody".into()),
                local_name: None,
                product: None,
            });
        }

        facts
    })
}

/// A permutation as the sequence of places to take the next fact from.
pub fn order(most: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..most.max(1), most)
}

/// The items in an order that `order` chooses.
pub fn shuffled<T: Clone>(items: &[T], order: &[usize]) -> Vec<T> {
    let mut left = items.to_vec();
    let mut taken = Vec::with_capacity(items.len());
    let mut places = order.iter().cycle();

    while !left.is_empty() {
        let place = places.next().copied().unwrap_or(0) % left.len();
        taken.push(left.remove(place));
    }

    taken
}
