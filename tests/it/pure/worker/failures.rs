//! A failing database, and notifications.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cordboard::domain::time::Span;
use cordboard::simulate::Dice;
use cordboard::wire::message::Message;
use serde_json::Value;

use super::new_ledger;
use crate::support::failing::Failing;
use crate::support::worker::{WorkerUnderTest, assert_stored, batches, stored, traffic};

#[tokio::test]
async fn notifications_say_what_was_committed() {
    let (_folder, ledger) = new_ledger().await;
    let mut messages = traffic(Duration::from_mins(2));
    let end = messages.iter().map(Message::at).max().unwrap();
    messages.push(Message::Tick((end + Span::seconds(3_600)).into()));

    let notifications = WorkerUnderTest::on_sqlite(&ledger)
        .run(batches(&messages, 10))
        .await;

    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for notification in notifications {
        let document: Value = serde_json::from_str(&notification.data).unwrap();
        last.insert(notification.call.to_string(), document["call"].clone());
    }
    let stored = stored(&ledger).await;
    assert_eq!(last.len(), stored.len());
    for (id, record) in &stored {
        let record: Value = serde_json::from_str(record).unwrap();
        assert_eq!(last[id]["outcome"], record["outcome"], "call {id}");
    }
}

#[tokio::test]
async fn a_failing_database_changes_no_record_and_repeats_no_notification() {
    let (_folder, ledger) = new_ledger().await;
    let messages = traffic(Duration::from_mins(2));
    let failing = Failing {
        one_in: 6,
        dice: Mutex::new(Dice::new(3)),
        ..Failing::on(&ledger)
    };

    let notifications = WorkerUnderTest::on(Arc::new(failing))
        .run(batches(&messages, 40))
        .await;

    assert_stored(&ledger, &messages).await;
    let numbers: Vec<u64> = notifications.iter().map(|one| one.number).collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "in order, without gaps or repetitions");
}
