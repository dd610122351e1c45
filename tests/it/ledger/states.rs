//! Laws of the states of calls that other programs register.

use cordboard::domain::fact::EventId;
use cordboard::domain::time::At;
use cordboard::port::ledger::Ledger;
use cordboard::port::query::Query;
use cordboard::port::states::{
    CallPlace, CallState, OutdatedStates, Registered, StateChange, StateLedger, StateName,
};

use super::Store;
use crate::support::batches::{LOOKBACK, after_seconds, changes, timeline, two_calls};

pub async fn other_programs_register_calls_and_join_their_sessions_to_ours(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();

    register_call_of_another_program(&ledger).await;
    join_session_to_call_of_phones(&ledger).await;
    join_session_to_final_call(&ledger).await;
    add_metadata_up_to_the_limit(&ledger).await;
    keep_the_digits_of_numbers(&ledger).await;
    find_places(&ledger).await;
    close_old_calls(&ledger).await;
}

pub async fn a_key_that_could_not_be_written_is_noted_until_it_is(store: &impl Store) {
    let (one, other) = (store.open().await, store.open().await);
    let call = StateName::Call("x".to_owned());
    let session = StateName::Session("x".to_owned());

    for name in [&call, &session, &call] {
        one.note_outdated(name).await.unwrap();
    }
    let outdated = other.outdated(9).await.unwrap();
    let expected = [(&call, 2), (&session, 1)];
    let found: Vec<(&StateName, i64)> = outdated.iter().map(|one| (&one.name, one.times)).collect();
    assert_eq!(found, expected);
    assert_eq!(other.outdated(1).await.unwrap().len(), 1);

    // Noted again since it was read.
    one.note_outdated(&session).await.unwrap();
    for listed in &outdated {
        other.forget_outdated(listed).await.unwrap();
    }
    let left = one.outdated(9).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0].name, left[0].times), (&session, 2));
}

async fn register_call_of_another_program(ledger: &impl StateLedger) {
    let state = registered("x", Some("s1"));
    assert!(ledger.register(&state).await.unwrap().state == state);

    // A second registration without a session keeps the session.
    let again = ledger.register(&registered("x", None)).await.unwrap();
    assert_eq!(again.state.session_id.as_deref(), Some("s1"));
    assert_eq!(again.session_before.as_deref(), Some("s1"));
    let found = ledger.by_session("s1").await.unwrap().unwrap();
    assert_eq!(found.call_id, "x");

    let answer = change("x", "answered", 1, false);
    let (answered, changed) = ledger.update(&answer).await.unwrap().unwrap();
    assert!(changed);
    assert_eq!(answered.status, "answered");
    let read = |metadata: &str| serde_json::from_str::<serde_json::Value>(metadata).unwrap();
    assert_eq!(read(&answered.metadata), serde_json::json!({ "a": 1 }));

    let mut more = change("x", "answered", 1, false);
    more.metadata = Some(r#"{"b":{"c":[1,"x",true,null]},"a":"2"}"#.to_owned());
    let (merged, _) = ledger.update(&more).await.unwrap().unwrap();
    assert_eq!(
        read(&merged.metadata),
        serde_json::json!({ "a": "2", "b": { "c": [1, "x", true, null] } })
    );
    let again = ledger.register(&registered("x", None)).await.unwrap();
    assert_eq!(read(&again.state.metadata)["a"], 1);
    assert_eq!(read(&again.state.metadata)["b"]["c"][1], "x");

    let unknown = change("unknown", "answered", 1, false);
    assert!(ledger.update(&unknown).await.unwrap().is_none());
}

/// The session stays over every commit and the end of the call, and only the phones change the
/// state.
async fn join_session_to_call_of_phones(ledger: &(impl Ledger + Query + StateLedger)) {
    let mut timeline = timeline();
    let mut facts = two_calls();
    let end = facts.pop().unwrap();
    let some = changes(&mut timeline, facts, after_seconds(10));
    ledger.commit(&some).await.unwrap();

    let ours = EventId(1).to_string();
    let joined = ledger.register(&registered(&ours, Some("s2"))).await;
    assert_eq!(joined.unwrap().state.provider, "grandstream");
    let failure = change(&ours, "failed", 2, true);
    let (_, changed) = ledger.update(&failure).await.unwrap().unwrap();
    assert!(!changed);
    assert_eq!(ledger.active(10).await.unwrap().len(), 3);

    let rest = changes(&mut timeline, vec![end], At::END);
    ledger.commit(&rest).await.unwrap();

    let over = ledger.by_session("s2").await.unwrap().unwrap();
    assert_eq!(over.call_id, ours);
    assert_eq!(over.status, "completed");
    assert!(over.ended_at.is_some());
    let without_session = ledger.by_id(&EventId(3).to_string()).await.unwrap();
    let of_log = without_session.expect("a call that is over is found in the log");
    assert_eq!(of_log.provider, "grandstream");
    assert!(of_log.metadata.contains("\"participants\""));

    let parted = ledger.unregister(Registered::Session("s2")).await.unwrap();
    assert_eq!(parted.len(), 1);
    assert!(ledger.by_session("s2").await.unwrap().is_none());
    assert!(ledger.by_id(&ours).await.unwrap().is_some());
    let again = ledger.unregister(Registered::Session("s2")).await.unwrap();
    assert!(again.is_empty());
}

/// A call that is over keeps the state that its phones reported.
async fn join_session_to_final_call(ledger: &impl StateLedger) {
    let ours = EventId(3).to_string();
    let before = ledger.by_id(&ours).await.unwrap().unwrap();
    let looked_up = ledger.register(&registered(&ours, None)).await.unwrap();
    assert!(looked_up.state == before && !looked_up.is_stored);

    let joined = ledger.register(&registered(&ours, Some("s3"))).await;
    let joined = joined.unwrap().state;
    assert_eq!(joined.session_id.as_deref(), Some("s3"));
    assert_eq!(joined.provider, "grandstream");
    assert_eq!(joined.status, before.status);
    assert_eq!(joined.ended_at, before.ended_at);
    assert_eq!(joined.metadata, before.metadata);
    let failure = change(&ours, "failed", 2, true);
    let (_, changed) = ledger.update(&failure).await.unwrap().unwrap();
    assert!(!changed);

    let found = ledger.by_session("s3").await.unwrap().unwrap();
    assert_eq!((found.call_id, found.status), (ours, before.status));
}

async fn add_metadata_up_to_the_limit(ledger: &impl StateLedger) {
    let metadata = |name: &str| format!("{{\"{name}\":\"{}\"}}", "x".repeat(60_000));
    let mut state = registered("long", None);
    state.metadata = metadata("a");
    assert!(ledger.register(&state).await.unwrap().is_stored);
    assert!(ledger.register(&state).await.unwrap().is_stored);

    let mut more = change("long", "answered", 1, false);
    more.metadata = Some(metadata("b"));
    assert!(ledger.update(&more).await.unwrap().unwrap().1);
    more.metadata = Some(metadata("c"));
    let (kept, changed) = ledger.update(&more).await.unwrap().unwrap();
    assert!(!changed && !kept.metadata.contains("\"c\""));
    state.metadata = metadata("c");
    assert!(!ledger.register(&state).await.unwrap().is_stored);

    let end = change("long", "completed", 2, true);
    assert!(ledger.update(&end).await.unwrap().unwrap().1);
}

/// Another member is added: those that were there stay as they were written.
async fn keep_the_digits_of_numbers(ledger: &impl StateLedger) {
    let numbers = r#"{"large":18446744073709551615,"seconds":1234567890.123456}"#;
    let mut state = registered("exact", None);
    numbers.clone_into(&mut state.metadata);
    ledger.register(&state).await.unwrap();
    let mut more = change("exact", "completed", 2, true);
    more.metadata = Some(r#"{"other":0}"#.to_owned());

    let (merged, _) = ledger.update(&more).await.unwrap().unwrap();
    for number in ["18446744073709551615", "1234567890.123456"] {
        assert!(merged.metadata.contains(number), "{}", merged.metadata);
    }
}

async fn find_places(ledger: &impl StateLedger) {
    let calls = ["x", "exact", "nowhere"].map(str::to_owned);
    let mut places = ledger.places(&calls).await.unwrap();
    places.sort_by(|one, other| one.call_id.cmp(&other.call_id));

    let place = |call_id: &str, is_over| CallPlace {
        call_id: call_id.to_owned(),
        site: "default".to_owned(),
        is_over,
    };
    assert_eq!(places, [place("exact", true), place("x", false)]);
    let ended = ledger.ended_since(after_seconds(2), 9).await.unwrap();
    assert!(ended.iter().any(|state| state.call_id == "exact"));
    let later = At(after_seconds(2).0 + 1);
    assert!(ledger.ended_since(later, 9).await.unwrap().is_empty());
    let ours = [EventId(1).to_string()];
    assert!(!ledger.places(&ours).await.unwrap().is_empty());
}

async fn close_old_calls(ledger: &impl StateLedger) {
    let created = after_seconds(0);
    let now = At(created.0 + 9);

    assert!(ledger.close_older(created, now).await.unwrap().is_empty());
    let after = At(created.0 + 1);
    let closed = ledger.close_older(after, now).await.unwrap();
    assert_eq!((closed.len(), closed[0].status.as_str()), (1, "failed"));

    let closed = ledger.by_id("x").await.unwrap().unwrap();
    assert_eq!(closed.status, "failed");
    assert!(ledger.active(10).await.unwrap().is_empty());
}

fn registered(call_id: &str, session_id: Option<&str>) -> CallState {
    CallState {
        call_id: call_id.to_owned(),
        session_id: session_id.map(ToOwned::to_owned),
        provider: "carrier".to_owned(),
        site: "default".to_owned(),
        direction: "inbound".to_owned(),
        status: "ringing".to_owned(),
        from_number: Some("+4930111".into()),
        to_number: None,
        metadata: "{\"a\":1}".to_owned(),
        created_at: after_seconds(0),
        updated_at: after_seconds(0),
        ended_at: None,
    }
}

fn change(call_id: &str, status: &str, second: i64, ends: bool) -> StateChange {
    StateChange {
        call_id: call_id.to_owned(),
        status: status.to_owned(),
        metadata: None,
        now: after_seconds(second),
        ends,
    }
}
