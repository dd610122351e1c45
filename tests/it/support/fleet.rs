//! The reports of a fleet of phones, as the ingress would have written them into the journal, with
//! a tick every second.

use std::time::Duration;

use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::time::At;
use cordboard::simulate::Fleet;
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;

/// 2026-01-01T00:00:00Z in microseconds.
const BEGAN: At = At(1_767_225_600_000_000);
const FIRST_ID: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0000;

/// The messages in their order.
pub fn messages(fleet: &Fleet) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut tick = Duration::from_secs(1);

    for (report, id) in fleet.reports().into_iter().zip(FIRST_ID..) {
        while tick <= report.at {
            messages.push(Message::Tick(At(after(tick).0 - 1).into()));
            tick += Duration::from_secs(1);
        }

        let target = format!("/gs/cti/{}?{}", report.event, report.parameters());
        messages.push(Message::Report(Envelope::new(
            EventId(id),
            after(report.at),
            &Site::default(),
            None,
            &target,
            "",
            BodyForm::None,
        )));
    }

    messages
}

fn after(span: Duration) -> At {
    At(BEGAN.0 + i64::try_from(span.as_micros()).expect("a fleet plays for hours, not for ages"))
}
