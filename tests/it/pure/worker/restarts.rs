//! Another owner goes on from the ledger's state.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::time::Span;
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;

use super::new_ledger;
use crate::support::failing::Failing;
use crate::support::sqlite;
use crate::support::worker::{
    WorkerUnderTest, assert_stored, batches, batches_of, encode, traffic,
};

#[tokio::test]
async fn restarts_at_any_batch_change_nothing() {
    let (_folder, ledger) = new_ledger().await;
    let messages = traffic(Duration::from_secs(400));
    let all = encode(&messages);
    let sizes = [3, 40, 1, 200, 7, 90, 500];
    let mut from = 0;

    for (round, size) in sizes.into_iter().cycle().enumerate() {
        if from >= all.len() {
            break;
        }
        // Messages that were not settled before the restart come again.
        let again = from.saturating_sub(round % 5);
        let to = (from + size).min(all.len());
        WorkerUnderTest::on_sqlite(&ledger)
            .run(batches_of(&all[again..to], 16))
            .await;
        from = to;
    }

    assert_stored(&ledger, &messages).await;
}

#[tokio::test]
async fn a_final_call_that_is_stored_as_open_is_corrected_by_the_next_owner() {
    let (folder, ledger) = new_ledger().await;
    let messages = traffic(Duration::from_mins(4));
    let (last, earlier) = messages.split_last().unwrap();
    WorkerUnderTest::on_sqlite(&ledger)
        .run(vec![encode(earlier)])
        .await;

    let pool = sqlite::pool(&folder.path().join("test.db")).await;
    let call: String = sqlx::query_scalar(
        "SELECT call_id
         FROM call_logs
         WHERE is_final = 1
         ORDER BY started_at DESC
         LIMIT 1",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    sqlx::query("UPDATE call_logs SET is_final = 0 WHERE call_id = ?1")
        .bind(&call)
        .execute(&pool)
        .await
        .unwrap();
    WorkerUnderTest::on_sqlite(&ledger)
        .run(vec![vec![last.encode()]])
        .await;

    let is_final: i64 = sqlx::query_scalar("SELECT is_final FROM call_logs WHERE call_id = ?1")
        .bind(&call)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(is_final, 1);
    assert_stored(&ledger, &messages).await;
}

/// Processes messages, and returns for how many facts the ledger was asked.
async fn lookups(ledger: &Arc<SqliteLedger>, messages: &[Message]) -> usize {
    let counting = Failing::on(ledger);
    let asked = Arc::clone(&counting.asked);
    WorkerUnderTest::on(Arc::new(counting))
        .run(batches(messages, 5))
        .await;

    asked.load(Ordering::Relaxed)
}

#[tokio::test]
async fn the_ledger_is_asked_only_for_facts_that_may_be_stored() {
    let (_folder, ledger) = new_ledger().await;
    let messages = traffic(Duration::from_mins(4));
    let is_report = |message: &&Message| matches!(message, Message::Event(_));
    let facts = messages.iter().filter(is_report).count();
    let (first, rest) = messages.split_at(messages.len() / 2);

    let asked = lookups(&ledger, first).await;
    assert!(asked <= 5, "{asked}: only the first batch of a site");

    // Unsettled messages come again, and then new ones.
    let again = 40.min(first.len());
    let asked = lookups(&ledger, &[&first[first.len() - again..], rest].concat()).await;
    assert!((1..=again).contains(&asked), "{asked} of {again} repeated");
    assert_stored(&ledger, &messages).await;

    let asked = lookups(&ledger, &messages).await;
    assert_eq!(asked, facts, "all of them may be stored");
    assert_stored(&ledger, &messages).await;

    // Events without a call are not read back at the take-over.
    let idle = idle_hours_after(&messages);
    lookups(&ledger, &idle).await;
    assert_eq!(lookups(&ledger, &idle).await, 1);
}

/// A tick long after the last call, and an event that belongs to no call.
fn idle_hours_after(messages: &[Message]) -> [Message; 2] {
    let last = messages.iter().map(Message::at).max().unwrap();
    let later = last + Span::seconds(3 * 3_600);
    let registered = Envelope::new(
        EventId(1),
        later + Span(1),
        &Site::default(),
        None,
        "/gs/cti/registered?mac=000b82000001&local=201",
        "",
        BodyForm::None,
    );

    [Message::Tick(later.into()), Message::Event(registered)]
}
