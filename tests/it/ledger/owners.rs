//! Laws of taking a partition over: the fence, and the state that the next owner recovers.

use std::collections::BTreeMap;

use cordboard::domain::fact::EventId;
use cordboard::domain::time::At;
use cordboard::port::ledger::{
    BelievedInstants, Changes, Ledger, LedgerError, Lookback, RecordAudit,
};
use cordboard::wire::message::IngressId;

use super::{Store, outcomes};
use crate::support::batches::{LOOKBACK, after_seconds, changes, received, timeline, two_calls};
use crate::support::overlay::EPOCH;

pub async fn a_replaced_owner_writes_nothing_any_more(store: &impl Store) {
    let first = store.open().await;
    let second = store.open().await;
    first.take_over(LOOKBACK).await.unwrap();
    second.take_over(LOOKBACK).await.unwrap();
    let all = changes(&mut timeline(), two_calls(), At::END);

    assert!(matches!(first.commit(&all).await, Err(LedgerError::Fenced)));
    assert!(outcomes(&second).await.is_empty());

    second.commit(&all).await.unwrap();
    assert_eq!(outcomes(&first).await.len(), 2);
}

pub async fn the_next_owner_recovers_the_facts_of_open_calls(store: &impl Store) {
    let ledger = store.open().await;
    let recovered = ledger.take_over(LOOKBACK).await.unwrap();
    assert!(recovered.messages.is_empty());
    assert!(recovered.last_fact_at.is_none());

    let mut facts = two_calls();
    facts.pop();
    let last = facts.iter().map(|received| received.fact.at).max();
    let watermark = after_seconds(25);
    let batch = changes(&mut timeline(), facts, watermark);
    ledger.commit(&batch).await.unwrap();

    let recovered = ledger.take_over(LOOKBACK).await.unwrap();
    assert_eq!(recovered.watermark, Some(watermark));
    assert_eq!(recovered.open_calls.len(), 1);
    assert_eq!(recovered.messages.len(), 4);
    assert_eq!(recovered.last_fact_at, last);
    let extensions: Vec<&str> = recovered
        .extensions
        .iter()
        .map(|(_, extension, _)| extension.as_str())
        .collect();
    assert_eq!(extensions, ["201", "202"]);
}

pub async fn the_next_owner_recovers_closed_calls_that_later_ones_may_be_linked_to(
    store: &impl Store,
) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();

    // Both calls are over and final; the last of them ended a minute and a half ago.
    let closed = changes(&mut timeline(), two_calls(), after_seconds(120));
    ledger.commit(&closed).await.unwrap();
    let recovered = ledger.take_over(LOOKBACK).await.unwrap();
    assert_eq!(recovered.open_calls.len(), 0);
    assert_eq!(recovered.messages.len(), 5);

    // Half a minute later no link reaches back to them.
    let later = Changes {
        watermark: Some(after_seconds(151)),
        ..Changes::default()
    };
    ledger.commit(&later).await.unwrap();
    let recovered = ledger.take_over(LOOKBACK).await.unwrap();
    assert_eq!(recovered.messages.len(), 0);
}

pub async fn promises_and_attempts_survive_their_owner(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let start = after_seconds(0);
    let ticks: BTreeMap<IngressId, At> =
        [(IngressId(1), start), (IngressId(2), At(start.0 + 5))].into();
    let changes = Changes {
        ticks: ticks.clone(),
        watermark: Some(start),
        ..Changes::default()
    };
    ledger.commit(&changes).await.unwrap();
    // A batch without a promise deletes none.
    ledger.commit(&Changes::default()).await.unwrap();

    for (message, attempts) in [(b"m", 1), (b"m", 2), (b"n", 1)] {
        assert_eq!(ledger.record_attempt(message).await.unwrap(), attempts);
    }

    let next = store.open().await;
    let recovered = next.take_over(LOOKBACK).await.unwrap();
    assert_eq!(recovered.ticks, ticks);
    assert_eq!(recovered.watermark, Some(start));
    assert_eq!(next.record_attempt(b"m").await.unwrap(), 3);

    next.clear_attempts(b"m").await.unwrap();
    assert_eq!(next.record_attempt(b"m").await.unwrap(), 1);
    assert_eq!(next.facts_kept_since().await.unwrap(), At::START);
    assert_eq!(next.sites().await.unwrap(), []);
}

pub async fn time_ahead_of_the_clock_is_set_back_and_facts_stay(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let absurd = i64::MAX / 1_000_000 - 5;
    let mut facts = two_calls();
    facts.push(received(
        9,
        absurd - EPOCH / 1_000_000,
        "/gs/cti/incoming?mac=000b82000009&local=209&remote=+4930999&c=z",
    ));
    let mut batch = changes(&mut timeline(), facts.clone(), At::END);
    let now = after_seconds(60);
    batch.ticks = [(IngressId(1), now), (IngressId(2), At(i64::MAX - 1))].into();
    ledger.commit(&batch).await.unwrap();

    let next = store.open().await;
    let lookback = Lookback {
        believed: BelievedInstants {
            first: after_seconds(-60),
            last: now,
        },
        ..LOOKBACK
    };
    let recovered = next.take_over(lookback).await.unwrap();
    assert_eq!(recovered.watermark, Some(now));
    assert_eq!(recovered.ticks, [(IngressId(1), now)].into());
    let ahead = &recovered.absurd.facts;
    assert_eq!(ahead.len(), 1);
    assert_eq!((ahead[0].first, ahead[0].count), (ahead[0].last, 1));
    let absurd = facts[5].message.clone();
    assert!(!recovered.messages.contains(&absurd), "it is not read");

    // The fact stays, and the owner withdraws the call.
    assert!(store.dead_messages().await.is_empty());
    assert_eq!(recovered.absurd.calls, [EventId(9)]);
    let withdrawn = Changes {
        withdrawn_calls: recovered.absurd.calls,
        ..Changes::default()
    };
    next.commit(&withdrawn).await.unwrap();
    let again = store.open().await.take_over(lookback).await.unwrap();
    assert!(again.absurd.calls.is_empty() && again.absurd.watermark.is_none());
    assert_eq!(again.watermark, Some(now));
}
