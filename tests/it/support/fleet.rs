//! The reports of a fleet of phones, as the ingress would have written them into the journal, with
//! a tick every second.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::time::At;
use cordboard::simulate::Fleet;
use cordboard::wire::envelope::{BodyForm, Envelope, id_at_place};
use cordboard::wire::message::Message;

/// 2026-01-01T00:00:00Z in microseconds.
const BEGAN: At = At(1_767_225_600_000_000);
/// An id of version 7, without its instant and its random bits.
const ID: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0000;

/// The messages in their order.
pub fn messages(fleet: &Fleet) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut tick = Duration::from_secs(1);

    for (report, number) in fleet.reports().into_iter().zip(0..) {
        while tick <= report.at {
            messages.push(Message::Tick(At(after(tick).0 - 1).into()));
            tick += Duration::from_secs(1);
        }

        let target = format!("/gs/cti/{}?{}", report.event, report.parameters());
        messages.push(Message::Event(Envelope::new(
            id(number, &Site::default(), after(report.at)),
            after(report.at),
            &Site::default(),
            Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            &target,
            "",
            BodyForm::None,
        )));
    }

    messages
}

/// The id of an event, as an ingress makes it.
pub fn id(number: u32, site: &Site, at: At) -> EventId {
    let millis = u128::try_from(at.0 / 1_000).expect("a time after 1970");
    // The last bits are those of the place.
    let random = ID | millis << 80 | u128::from(number) << 40;

    id_at_place(EventId(random), site, at)
}

fn after(span: Duration) -> At {
    At(BEGAN.0 + i64::try_from(span.as_micros()).expect("a fleet plays for hours, not for ages"))
}
