//! A restart before any request of any call flow.

use std::sync::Arc;

use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::time::At;
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;
use cordboard::wire::policy_file::Policies;

use crate::support::flow::{self, Flow};
use crate::support::overlay::{EPOCH, mac, place};
use crate::support::sqlite;
use crate::support::worker::{WorkerUnderTest, encode, folded, stored};

const FIRST_ID: u128 = 0x019b_0000_0000_7000_8000_0000_0000_0000;
const DAY_US: i64 = 86_400_000_000;

#[tokio::test]
async fn a_restart_before_any_request_of_a_flow_changes_nothing() {
    let mut wrong = Vec::new();

    for flow in flow::all() {
        let policies = Policies::parse(&flow.policy).unwrap();
        let messages = messages_of(&flow);
        let expected = folded(&messages, policies.of(&Site::default()));

        // The first worker ends after the tick before a request.
        for cut in (1..messages.len()).step_by(2) {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Arc::new(sqlite::open(folder.path()).await);
            let (first, second) = messages.split_at(cut);
            for part in [first, second] {
                let batches = encode(part).into_iter().map(|message| vec![message]);
                WorkerUnderTest::on_sqlite(&ledger)
                    .policies(&policies)
                    .run(batches.collect())
                    .await;
            }

            let stored = stored(&ledger).await;
            if stored != expected {
                wrong.push(format!(
                    "{} at {cut}: {stored:#?} instead of {expected:#?}",
                    flow.name
                ));
            }
        }
    }

    assert!(
        wrong.is_empty(),
        "{} restarts:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The requests of a flow, with a tick before each, and the end of the day.
fn messages_of(flow: &Flow) -> Vec<Message> {
    let mut messages = Vec::new();

    for (index, event) in (0_u8..).zip(&flow::expand(&flow.events(), |_| 0)) {
        let at = At(EPOCH + event.at * 1_000 + i64::from(index));
        let mac = mac(place(flow, &event.phone), 0);
        let local = &flow.phones[&event.phone];
        let remote = match event.remote.as_str() {
            "-" => "anonymous",
            "_" => "$remote",
            number => number,
        };
        let target = format!(
            "/gs/cti/{}?m={mac}&l={local}&r={remote}&c={}.{}",
            event.name, event.phone, event.leg
        );

        messages.push(Message::Tick(At(at.0 - 1).into()));
        messages.push(Message::Event(Envelope::new(
            EventId(FIRST_ID + u128::from(index)),
            at,
            &Site::default(),
            None,
            &target,
            "",
            BodyForm::None,
        )));
    }
    messages.push(Message::Tick(At(EPOCH + DAY_US).into()));

    messages
}
