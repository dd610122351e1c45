//! Laws of batches: written once, counted, withdrawn, and independent of their size.

use std::time::Duration;

use cordboard::domain::fact::EventId;
use cordboard::domain::time::At;
use cordboard::port::dead_letters::DeadLetters;
use cordboard::port::desk::Desk;
use cordboard::port::ledger::{Changes, Ledger, ReceivedFact, RejectedMessage};
use cordboard::port::query::{OperationCounts, Query};
use cordboard::simulate::Fleet;

use super::desk::WHOLE_DESK;
use super::{Store, outcomes};
use crate::support::batches::{
    LOOKBACK, after_seconds, changes, facts, received, timeline, two_calls,
};
use crate::support::fleet;

pub async fn hours_of_statistics_begin_as_the_period_does(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let facts = two_calls();
    ledger
        .commit(&changes(&mut timeline(), facts, At::END))
        .await
        .unwrap();
    let (quarter, hour) = (900_000_000, 3_600_000_000);
    let began = after_seconds(0).0;
    let hours = async |since: i64| {
        let stats = ledger.stats(None, since, i64::MAX).await.unwrap();
        let calls: i64 = stats.iter().map(|stat| stat.calls).sum();
        assert_eq!(calls, 2);
        stats[0].hour
    };

    assert_eq!(hours(began - hour - 1).await, began - began % hour);
    for quarters in 0..4 {
        let since = (began / hour - 2) * hour + quarters * quarter;
        let expected = began - (began - since) % hour;
        assert_eq!(hours(since).await, expected, "{quarters}");
    }
}

pub async fn a_batch_written_twice_is_written_once(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let all = changes(&mut timeline(), two_calls(), At::END);
    let contents = async || {
        (
            outcomes(&ledger).await,
            ledger.entries(&WHOLE_DESK).await.unwrap(),
            ledger.stats(None, i64::MIN, i64::MAX).await.unwrap(),
        )
    };

    ledger.commit(&all).await.unwrap();
    let once = contents().await;
    ledger.commit(&all).await.unwrap();

    assert_eq!(contents().await, once);
    let (outcomes, missed, stats) = once;
    assert_eq!((outcomes.len(), missed.len(), stats.len()), (2, 1, 1));
    assert_eq!(
        (stats[0].calls, stats[0].answered, stats[0].missed),
        (2, 1, 1)
    );
}

pub async fn small_batches_leave_the_same_rows_as_one_large_batch<S: Store>(_: &S) {
    let fleet = Fleet {
        seed: 7,
        phones: 30,
        calls_per_second: 0.5,
        duration: Duration::from_mins(4),
    };
    let all = facts(&fleet::messages(&fleet));

    // Each history ends while calls are ringing, answered, held and over; later batches continue
    // them.
    for seen in [all.len() / 3, all.len() / 2, all.len()] {
        let store = S::new().await;
        let decided = commit_in_small_batches(&store, &all[..seen]).await;

        let at_once = S::new().await;
        let ledger = at_once.open().await;
        ledger.take_over(LOOKBACK).await.unwrap();
        let large = changes(&mut timeline(), all[..seen].to_vec(), decided);
        ledger.commit(&large).await.unwrap();

        let expected = at_once.rows().await;
        assert!(
            expected.len() > 50 && expected.iter().any(|line| line.contains("state")),
            "{expected:#?}"
        );
        assert_eq!(store.rows().await, expected);
    }
}

/// Commits facts seven by seven, with a new owner after twenty batches. Returns the watermark.
async fn commit_in_small_batches(store: &impl Store, facts: &[ReceivedFact]) -> At {
    let mut timeline = timeline();
    let mut watermark = At::START;
    let mut ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();

    for (number, some) in facts.chunks(7).enumerate() {
        if number == 20 {
            ledger = store.open().await;
            ledger.take_over(LOOKBACK).await.unwrap();
        }
        watermark = At(some.last().unwrap().fact.at.0 - 1);

        // Workers look facts up as well. They do not always say that facts are new, and then the
        // commit has to find that out.
        assert_eq!(
            ledger.facts_not_stored(some).await.unwrap().len(),
            some.len()
        );
        let batch = Changes {
            facts_are_new: number % 2 == 0,
            ..changes(&mut timeline, some.to_vec(), watermark)
        };
        ledger.commit(&batch).await.unwrap();
    }

    watermark
}

pub async fn unknown_facts_are_those_that_are_not_stored(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let all = changes(&mut timeline(), two_calls(), At::END);
    ledger.commit(&all).await.unwrap();

    let target = "/gs/cti/incoming?mac=000b82000001&local=201&remote=1";
    let asked = [two_calls().swap_remove(2), received(77, 5, target)];

    assert_eq!(
        ledger.facts_not_stored(&asked).await.unwrap(),
        vec![EventId(77)]
    );
    let stored = two_calls().swap_remove(2);
    assert_eq!(
        ledger.stored_messages(&asked).await.unwrap(),
        vec![(stored.fact.id, stored.message)]
    );
}

pub async fn live_calls_pending_missed_calls_and_dead_letters_are_counted(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let mut timeline = timeline();

    // The first call is talking, and the phone of the second one has just stopped ringing.
    let mut facts = two_calls();
    let end = facts.pop().unwrap();
    let mut some = changes(&mut timeline, facts, after_seconds(10));
    some.rejected.push(RejectedMessage {
        message: b"?".to_vec(),
        reason: "no".into(),
    });
    ledger.commit(&some).await.unwrap();

    let during = OperationCounts {
        live: 2,
        missed_pending: 1,
        dead: 1,
    };
    assert_eq!(ledger.counts().await.unwrap(), during);

    let rest = changes(&mut timeline, vec![end], At::END);
    ledger.commit(&rest).await.unwrap();

    let after = OperationCounts {
        live: 0,
        missed_pending: 0,
        dead: 1,
    };
    assert_eq!(ledger.counts().await.unwrap(), after);
}

pub async fn a_withdrawn_call_leaves_nothing_behind_and_an_answered_one_is_no_longer_missed(
    store: &impl Store,
) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let all = changes(&mut timeline(), two_calls(), At::END);
    ledger.commit(&all).await.unwrap();

    // A late fact shows that the missed call was answered.
    let target = "/gs/cti/answered?mac=000b82000002&local=202&remote=+4930222&c=b";
    let mut facts = two_calls();
    facts.push(received(9, 8, target));
    let corrected = changes(&mut timeline(), facts, At::END);
    ledger.commit(&corrected).await.unwrap();
    assert!(ledger.entries(&WHOLE_DESK).await.unwrap().is_empty());

    let withdrawal = Changes {
        withdrawn_calls: all.calls.iter().map(|call| call.record.id).collect(),
        ..Changes::default()
    };
    ledger.commit(&withdrawal).await.unwrap();
    assert!(outcomes(&ledger).await.is_empty());
    assert!(
        ledger
            .stats(None, i64::MIN, i64::MAX)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn a_message_without_a_fact_is_kept_once_as_it_came(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let dead = RejectedMessage {
        message: vec![0, 255, 7],
        reason: "not JSON".into(),
    };
    let changes = Changes {
        rejected: vec![dead.clone(), dead],
        ..Changes::default()
    };

    ledger.commit(&changes).await.unwrap();
    ledger.commit(&changes).await.unwrap();
    assert_eq!(store.dead_messages().await, vec![vec![0, 255, 7]]);

    let mut letters = ledger.dead_letters(i64::MIN, 10).await.unwrap();
    let (id, letter) = letters.pop().unwrap();
    assert_eq!(*letter.message, [0, 255, 7]);
    assert_eq!(&*letter.reason, "not JSON");
    assert!(ledger.dead_letters(id, 10).await.unwrap().is_empty());

    ledger.remove_dead_letter(&letter.digest).await.unwrap();
    assert_eq!(ledger.counts().await.unwrap().dead, 0);
}
