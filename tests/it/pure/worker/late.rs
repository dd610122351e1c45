//! Facts that are older than the state in memory.

use std::time::Duration;

use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;

use super::new_ledger;
use crate::support::overlay::EPOCH;
use crate::support::worker::{
    WorkerUnderTest, assert_stored, batches, encode, folded, stored, traffic,
};

#[tokio::test]
async fn a_late_fact_corrects_its_call() {
    let (_folder, ledger) = new_ledger().await;
    let mut messages = traffic(Duration::from_mins(25));
    let late = take_answer_after(&mut messages, 300);

    let mut all = batches(&messages, 64);
    all.push(vec![late.encode()]);
    let notifications = WorkerUnderTest::on_sqlite(&ledger).run(all).await;

    let number = remote_number(&late);
    let kinds: Vec<NoticeKind> = notifications
        .iter()
        .filter(|notification| notification.data.contains(&number))
        .map(|notification| notification.kind)
        .collect();
    assert!(
        kinds.contains(&NoticeKind::Missed) && kinds.contains(&NoticeKind::MissedRetracted),
        "{kinds:?}"
    );
    messages.push(late);
    assert_stored(&ledger, &messages).await;
}

/// Removes the first answer after some seconds.
fn take_answer_after(messages: &mut Vec<Message>, seconds: i64) -> Message {
    let after = EPOCH + seconds * 1_000_000;
    let index = messages.iter().position(|message| match message {
        Message::Event(envelope) => envelope.at > after && envelope.target.contains("answered"),
        Message::Tick(_) => false,
    });

    messages.remove(index.expect("the traffic has answers"))
}

fn remote_number(message: &Message) -> String {
    let Message::Event(envelope) = message else {
        panic!("a tick has no number")
    };
    let (_, value) = envelope.target.split_once("&r=").unwrap();

    value.split('&').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_late_fact_from_before_a_restart_corrects_its_call() {
    let (_folder, ledger) = new_ledger().await;
    let remote = "remote=%2B15551230000";
    // The end of the conversation is lost, and half a day passes.
    let early = [
        report(
            1,
            0,
            &format!("incoming?mac=000b82000001&local=201&{remote}"),
        ),
        report(
            2,
            3,
            &format!("answered?mac=000b82000001&local=201&{remote}"),
        ),
        tick_after_hours(12),
    ];
    let late = [
        report(
            3,
            3_600,
            &format!("incoming?mac=000b82000002&local=202&{remote}"),
        ),
        report(
            4,
            3_620,
            &format!("missed?mac=000b82000002&local=202&{remote}"),
        ),
        tick_after_hours(13),
    ];

    for messages in [&early, &late] {
        WorkerUnderTest::on_sqlite(&ledger)
            .run(vec![encode(messages)])
            .await;
    }

    let expected = folded(&[early, late].concat(), &Policy::default());
    assert_eq!(stored(&ledger).await, expected);
}

fn report(id: u128, second: i64, event: &str) -> Message {
    Message::Event(Envelope::new(
        EventId(id),
        At(EPOCH) + Span::seconds(second),
        &Site::default(),
        None,
        &format!("/gs/cti/{event}"),
        "",
        BodyForm::None,
    ))
}

fn tick_after_hours(hours: i64) -> Message {
    Message::Tick((At(EPOCH) + Span::seconds(hours * 3_600)).into())
}
