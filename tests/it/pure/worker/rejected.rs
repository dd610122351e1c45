//! Messages that cannot be read, folded or stored are set aside, and their neighbours are not.

use std::sync::Arc;
use std::time::Duration;

use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::time::At;
use cordboard::health::FlowCounters;
use cordboard::port::dead_letters::DeadLetters;
use cordboard::port::intake::Delivery;
use cordboard::port::ledger::{BelievedInstants, Changes, Ledger, RejectedMessage};
use cordboard::port::query::Query;
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;
use cordboard::wire::policy_file::Policies;
use cordboard::worker::lookback;

use super::new_ledger;
use crate::support::failing::Failing;
use crate::support::overlay::EPOCH;
use crate::support::worker::{
    WorkerUnderTest, assert_stored, batches, batches_of, encode, traffic,
};

#[tokio::test]
async fn unreadable_messages_harm_no_neighbour() {
    let (_folder, ledger) = new_ledger().await;
    let messages = traffic(Duration::from_mins(2));
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let unreadable: [Vec<u8>; 8] = [
        Vec::new(),
        b"[]".to_vec(),
        b"{\"v\":2}".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"v\":1".to_vec(),
        b"{\"v\":1,\"tick\":\"x\"}".to_vec(),
        deep,
        b"{\"v\":1e400}".to_vec(),
    ];
    let mut all = encode(&messages);
    for (index, message) in unreadable.iter().enumerate() {
        all.insert(index * 9, message.clone());
    }

    WorkerUnderTest::on_sqlite(&ledger)
        .run(batches_of(&all, 10))
        .await;

    assert_stored(&ledger, &messages).await;
    let dead = ledger.counts().await.unwrap().dead;
    assert_eq!(dead as usize, unreadable.len());
}

#[tokio::test]
async fn a_message_that_ends_its_workers_is_set_aside() {
    const DEATHS_MAX: u32 = 20;
    let (_folder, ledger) = new_ledger().await;
    let messages = traffic(Duration::from_mins(2));
    let mut all = encode(&messages);
    all.insert(5, report(7, 0, "incoming?mac=000b82ffffff&r=+666").encode());

    let mut deaths = 0;
    loop {
        // No delivery was settled: all of them come again.
        let deliveries = all.iter().map(|message| Delivery {
            redelivered_often: true,
            ..message.clone().into()
        });
        let failing = Failing {
            deadly: Some(EventId(7)),
            ..Failing::on(&ledger)
        };
        let worker = WorkerUnderTest::on(Arc::new(failing));
        let run = worker.run_deliveries(vec![deliveries.collect()]);
        if tokio::spawn(run).await.is_ok() {
            break;
        }
        deaths += 1;
        assert!(deaths < DEATHS_MAX, "no worker survives");
    }

    assert_stored(&ledger, &messages).await;
    // Two without a count, and then five attempts that are counted.
    assert_eq!((deaths, ledger.counts().await.unwrap().dead), (2 + 5, 1));
}

#[tokio::test]
async fn messages_of_a_later_version_are_read_after_an_upgrade() {
    let (_folder, ledger) = new_ledger().await;
    let messages = traffic(Duration::from_mins(2));
    let is_report = |message: &&Message| matches!(message, Message::Event(_));
    let reports: Vec<Vec<u8>> = messages
        .iter()
        .filter(is_report)
        .map(Message::encode)
        .collect();
    // An earlier version rejected some messages, and two are still unreadable.
    let later_version = &reports[3..40];
    let rejected = later_version
        .iter()
        .map(|message| rejection(message, "unknown version 1"))
        .chain([
            rejection(b"{\"v\":9}", "unknown version 9"),
            rejection(&reports[50], "bad site name"),
        ]);
    store_rejected(&*ledger, rejected.collect()).await;

    let rest = encode(&messages)
        .into_iter()
        .filter(|message| !later_version.contains(message));
    WorkerUnderTest::on_sqlite(&ledger)
        .run(vec![rest.collect()])
        .await;

    assert_stored(&ledger, &messages).await;
    let letters = ledger.dead_letters(i64::MIN, 99).await.unwrap();
    let reasons: Vec<String> = letters
        .into_iter()
        .map(|(_, letter)| letter.reason)
        .collect();
    assert_eq!(reasons, ["unknown version 9", "bad site name"]);
}

fn rejection(message: &[u8], reason: &str) -> RejectedMessage {
    RejectedMessage {
        message: message.to_vec(),
        reason: reason.to_owned(),
    }
}

async fn store_rejected(ledger: &dyn Ledger, rejected: Vec<RejectedMessage>) {
    let changes = Changes {
        rejected,
        ..Changes::default()
    };
    ledger
        .take_over(lookback(&Policies::default(), BelievedInstants::ALL))
        .await
        .unwrap();

    ledger.commit(&changes).await.unwrap();
}

#[tokio::test]
async fn messages_that_the_database_rejects_are_set_aside() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(Duration::from_mins(2));
    let mut messages = good.clone();
    for second in 1..4_i64 {
        let poison = report(
            second.unsigned_abs().into(),
            second,
            &format!("incoming?mac=000b82fffff{second}&l=1&r=+666"),
        );
        let index = messages
            .iter()
            .position(|message| message.at() > poison.at())
            .unwrap();
        messages.insert(index, poison);
    }
    let counters = Arc::new(FlowCounters::default());
    counters.add_recovered(messages.len() as u64);

    let failing = Failing {
        poison: "+666",
        ..Failing::on(&ledger)
    };
    WorkerUnderTest::on(Arc::new(failing))
        .counters(&counters)
        .run(batches(&messages, 64))
        .await;

    assert_stored(&ledger, &good).await;
    let flow = counters.snapshot(0);
    assert_eq!((flow.dead, flow.imbalance), (3, 0));
    assert_eq!(ledger.counts().await.unwrap().dead, 3);
}

fn report(id: u128, second: i64, event: &str) -> Message {
    Message::Event(Envelope::new(
        EventId(id),
        At(EPOCH + second * 1_000_000),
        &Site::default(),
        None,
        &format!("/gs/cti/{event}"),
        "",
        BodyForm::None,
    ))
}
