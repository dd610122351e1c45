//! The ledger's conformance suite: what every adapter of the port must do.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::batches::{MEMORY, changes, received, timeline, two_calls};
use crate::support::ledger::{block_on, open};
use crate::support::overlay::EPOCH;
use crate::support::postgres as server;
use cordboard::adapter::postgres::PostgresLedger;
use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::fact::EventId;
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::policy::Policy;
use cordboard::domain::time::At;
use cordboard::port::dead_letters::DeadLetters;
use cordboard::port::ledger::{
    Changes, Ledger, LedgerError, ReceivedFact, RecordAudit, RejectedMessage,
};
use cordboard::port::outbox::{Notification, NotificationLog};
use cordboard::port::query::{CallFilter, OperationCounts, Query};
use cordboard::port::states::{CallState, StateChange, StateLedger};
use cordboard::simulate::Fleet;
use cordboard::wire::message::IngressId;

/// Where ledgers of one kind are kept. Opened twice it is the same store, as two processes see it.
trait Store: Sized {
    type Ledger: Ledger + Query + StateLedger + DeadLetters + RecordAudit + NotificationLog;

    fn new() -> Self;
    async fn open(&self) -> Self::Ledger;
    /// What it keeps of messages that hold no fact.
    async fn dead_messages(&self) -> Vec<Vec<u8>>;
    /// The rows of calls beside their records, and of the states of those that are not final.
    async fn rows(&self) -> Vec<String>;
}

struct Sqlite(tempfile::TempDir);

impl Store for Sqlite {
    type Ledger = SqliteLedger;

    fn new() -> Sqlite {
        Sqlite(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> SqliteLedger {
        open(&self.0).await
    }

    async fn dead_messages(&self) -> Vec<Vec<u8>> {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(self.0.path().join("test.db"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::query_scalar("SELECT message FROM dead_events")
            .fetch_all(&pool)
            .await
            .unwrap()
    }

    async fn rows(&self) -> Vec<String> {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(self.0.path().join("test.db"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let sql = "SELECT json_array('who', call_id, place, extension, device, role, rang_at, answered_at, left_at, outcome) AS line FROM call_participants
            UNION ALL SELECT json_array('link', call_id, linked_call_id, kind, confidence, reason) FROM call_links
            UNION ALL SELECT json_array('missed', call_id, extensions, missed_at) FROM missed_call_logs WHERE NOT retracted
            UNION ALL SELECT json_array('stats', site, minute, direction, calls, answered, missed, ring_us, talk_us) FROM call_stats
            UNION ALL SELECT json_array('state', call_id, site, direction, status, from_number, to_number, ended_at) FROM call_states
            ORDER BY line";
        sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
    }
}

struct Postgres(std::sync::OnceLock<String>);

impl Store for Postgres {
    type Ledger = PostgresLedger;

    fn new() -> Postgres {
        Postgres(std::sync::OnceLock::new())
    }

    async fn open(&self) -> PostgresLedger {
        if self.0.get().is_none() {
            let _first = self.0.set(server::database().await);
        }
        server::ledger(self.0.get().unwrap(), server::WHOLE)
    }

    async fn dead_messages(&self) -> Vec<Vec<u8>> {
        vec![server::value(self.0.get().unwrap(), "SELECT message FROM dead_events").await]
    }

    async fn rows(&self) -> Vec<String> {
        let sql = "SELECT array_agg(line ORDER BY line) FROM (
                SELECT json_build_array('who', call_id, place, extension, device, role, rang_at, answered_at, left_at, outcome)::text AS line FROM call_participants
                UNION ALL SELECT json_build_array('link', call_id, linked_call_id, kind, confidence, reason)::text FROM call_links
                UNION ALL SELECT json_build_array('missed', call_id, extensions, missed_at)::text FROM missed_call_logs WHERE NOT retracted
                UNION ALL SELECT json_build_array('stats', site, minute, direction, calls, answered, missed, ring_us, talk_us)::text FROM call_stats
                UNION ALL SELECT json_build_array('state', call_id, site, direction, status, from_number, to_number, ended_at)::text FROM call_states
            ) AS lines";
        server::value(self.0.get().unwrap(), sql).await
    }
}

/// What every ledger must do. One of another kind joins with a store and a line at the end of this
/// macro.
macro_rules! every_ledger {
    ($($law:ident)*) => {
        every_ledger! { @of sqlite Sqlite $($law)* }
        every_ledger! { @of postgres Postgres $($law)* }
    };
    (@of $kind:ident $store:ident $($law:ident)*) => {
        mod $kind {
            use super::*;

            $(#[test]
            fn $law() {
                block_on(super::$law(&$store::new()));
            })*
        }
    };
}

every_ledger! {
    a_batch_written_twice_is_written_once
    news_are_kept_for_those_who_are_away_and_numbered_on
    it_counts_what_operations_watch
    it_knows_which_facts_it_has
    whoever_was_replaced_writes_nothing_any_more
    the_next_owner_is_told_what_the_open_calls_come_from
    a_withdrawn_call_leaves_nothing_behind_and_an_answered_one_is_no_longer_missed
    what_holds_no_fact_is_kept_once_as_it_came
    the_next_owner_is_told_of_calls_that_the_next_ones_may_be_linked_to
    promises_and_attempts_survive_whoever_wrote_them
    other_programs_register_calls_and_join_their_sessions_to_ours
    devices_and_extensions_can_be_looked_up
    what_is_written_bit_by_bit_stands_as_if_it_were_written_at_once
    filters_and_pages_find_what_is_asked_for
    whatever_is_asked_for_is_found_page_by_page
}

async fn outcomes(ledger: &impl Query) -> Vec<String> {
    let calls = ledger
        .calls(&CallFilter {
            limit: 100,
            ..CallFilter::default()
        })
        .await
        .unwrap();
    let outcome = |record: &str| {
        serde_json::from_str::<serde_json::Value>(record).unwrap()["outcome"].to_string()
    };
    calls.iter().map(|call| outcome(&call.record)).collect()
}

async fn a_batch_written_twice_is_written_once(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    let all = changes(&mut timeline(), two_calls(), At::END);
    ledger.commit(&all).await.unwrap();
    let once = (
        outcomes(&ledger).await,
        ledger.missed(10).await.unwrap(),
        ledger.stats(i64::MIN, i64::MAX).await.unwrap(),
    );
    ledger.commit(&all).await.unwrap();
    let twice = (
        outcomes(&ledger).await,
        ledger.missed(10).await.unwrap(),
        ledger.stats(i64::MIN, i64::MAX).await.unwrap(),
    );
    assert_eq!(once, twice);
    assert_eq!((once.0.len(), once.1.len(), once.2.len()), (2, 1, 1));
    assert_eq!(
        (once.2[0].calls, once.2[0].answered, once.2[0].missed),
        (2, 1, 1)
    );
}

async fn recent(ledger: &impl NotificationLog, most: u32) -> Vec<Notification> {
    let recent = ledger.recent(most).await.unwrap();
    recent.into_iter().map(|(_, one)| one).collect()
}

async fn news_are_kept_for_those_who_are_away_and_numbered_on(store: &impl Store) {
    let ledger = store.open().await;
    assert_eq!(ledger.take_over(MEMORY).await.unwrap().last_notification, 0);
    let news = |number: u64, kind| Notification {
        number,
        kind,
        call: EventId(7),
        data: format!("{{\"n\":{number}}}").into(),
    };
    let first = Changes {
        notifications: vec![news(1, NoticeKind::Started), news(2, NoticeKind::Answered)],
        ..Changes::default()
    };
    let far = Changes {
        notifications: vec![news(20_000, NoticeKind::Ended)],
        published_up_to: 20_000,
        ..Changes::default()
    };
    ledger.commit(&first).await.unwrap();
    ledger.commit(&first).await.unwrap();
    assert_eq!(
        (recent(&ledger, 1).await, recent(&ledger, 9).await),
        (
            first.notifications[1..].to_vec(),
            first.notifications.clone()
        )
    );
    assert_eq!(
        ledger.notifications_after(1, 9).await.unwrap(),
        first.notifications[1..]
    );
    assert_eq!(
        ledger.notifications_after(0, 1).await.unwrap(),
        first.notifications[..1]
    );
    ledger.commit(&far).await.unwrap();
    assert_eq!(
        ledger.take_over(MEMORY).await.unwrap().last_notification,
        20_000
    );
    assert_eq!(
        recent(&ledger, 9).await,
        far.notifications,
        "news of long ago are let go"
    );
}

async fn it_counts_what_operations_watch(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    let mut timeline = timeline();
    // The first call is talking, the second one's phone has just fallen silent.
    let mut facts = two_calls();
    let end = facts.pop().unwrap();
    let mut some = changes(&mut timeline, facts, At(EPOCH + 10_000_000));
    some.rejected.push(RejectedMessage {
        message: b"?".to_vec(),
        reason: "no".into(),
    });
    ledger.commit(&some).await.unwrap();
    assert_eq!(
        ledger.counts().await.unwrap(),
        OperationCounts {
            live: 2,
            missed_pending: 1,
            dead: 1
        }
    );
    ledger
        .commit(&changes(&mut timeline, vec![end], At::END))
        .await
        .unwrap();
    assert_eq!(
        ledger.counts().await.unwrap(),
        OperationCounts {
            live: 0,
            missed_pending: 0,
            dead: 1
        }
    );
}

async fn it_knows_which_facts_it_has(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    ledger
        .commit(&changes(&mut timeline(), two_calls(), At::END))
        .await
        .unwrap();
    let asked = [
        two_calls().swap_remove(2),
        received(
            77,
            5,
            "/gs/cti/incoming?mac=000b82000001&local=201&remote=1",
        ),
    ];
    assert_eq!(
        ledger.unknown_facts(&asked).await.unwrap(),
        vec![EventId(77)]
    );
}

async fn whoever_was_replaced_writes_nothing_any_more(store: &impl Store) {
    let (first, second) = (store.open().await, store.open().await);
    first.take_over(MEMORY).await.unwrap();
    second.take_over(MEMORY).await.unwrap();
    let all = changes(&mut timeline(), two_calls(), At::END);
    assert!(matches!(first.commit(&all).await, Err(LedgerError::Fenced)));
    assert!(outcomes(&second).await.is_empty());
    second.commit(&all).await.unwrap();
    assert_eq!(outcomes(&first).await.len(), 2);
}

async fn the_next_owner_is_told_what_the_open_calls_come_from(store: &impl Store) {
    let ledger = store.open().await;
    let standing = ledger.take_over(MEMORY).await.unwrap();
    assert!(standing.messages.is_empty() && standing.last_fact_at.is_none());
    let mut facts = two_calls();
    facts.pop();
    let last = facts.iter().map(|received| received.fact.at).max();
    let watermark = At(EPOCH + 25_000_000);
    ledger
        .commit(&changes(&mut timeline(), facts, watermark))
        .await
        .unwrap();
    let standing = ledger.take_over(MEMORY).await.unwrap();
    assert_eq!(
        (
            standing.watermark,
            standing.open_calls.len(),
            standing.messages.len()
        ),
        (Some(watermark), 1, 4)
    );
    assert_eq!(standing.last_fact_at, last);
    let known: Vec<&str> = standing
        .extensions
        .iter()
        .map(|(_, extension, _)| extension.as_str())
        .collect();
    assert_eq!(known, ["201", "202"]);
}

async fn a_withdrawn_call_leaves_nothing_behind_and_an_answered_one_is_no_longer_missed(
    store: &impl Store,
) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    let all = changes(&mut timeline(), two_calls(), At::END);
    ledger.commit(&all).await.unwrap();
    // A late fact shows that the missed call was answered.
    let mut facts = two_calls();
    facts.push(received(
        9,
        8,
        "/gs/cti/answered?mac=000b82000002&local=202&remote=+4930222&c=b",
    ));
    let corrected = changes(&mut timeline(), facts, At::END);
    ledger.commit(&corrected).await.unwrap();
    assert!(ledger.missed(10).await.unwrap().is_empty());
    let ids = all.calls.iter().map(|call| call.record.id).collect();
    ledger
        .commit(&Changes {
            withdrawn_calls: ids,
            ..Changes::default()
        })
        .await
        .unwrap();
    assert!(
        outcomes(&ledger).await.is_empty()
            && ledger.stats(i64::MIN, i64::MAX).await.unwrap().is_empty()
    );
}

async fn what_holds_no_fact_is_kept_once_as_it_came(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
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
    let (id, letter) = ledger
        .dead_letters(i64::MIN, 10)
        .await
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(
        (&*letter.message, &*letter.reason),
        (&[0, 255, 7][..], "not JSON")
    );
    assert!(ledger.dead_letters(id, 10).await.unwrap().is_empty());
    ledger.remove_dead_letter(&letter.digest).await.unwrap();
    assert_eq!(ledger.counts().await.unwrap().dead, 0);
}

async fn the_next_owner_is_told_of_calls_that_the_next_ones_may_be_linked_to(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    let mut timeline = timeline();
    // Both calls are over and final; the last of them ended a minute and a half ago.
    ledger
        .commit(&changes(
            &mut timeline,
            two_calls(),
            At(EPOCH + 120_000_000),
        ))
        .await
        .unwrap();
    let standing = ledger.take_over(MEMORY).await.unwrap();
    assert_eq!((standing.open_calls.len(), standing.messages.len()), (0, 5));
    ledger
        .commit(&Changes {
            watermark: Some(At(EPOCH + 151_000_000)),
            ..Changes::default()
        })
        .await
        .unwrap();
    assert_eq!(ledger.take_over(MEMORY).await.unwrap().messages.len(), 0);
}

async fn promises_and_attempts_survive_whoever_wrote_them(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    let ticks: BTreeMap<IngressId, At> =
        [(IngressId(1), At(EPOCH)), (IngressId(2), At(EPOCH + 5))].into();
    let changes = Changes {
        ticks: ticks.clone(),
        watermark: Some(At(EPOCH)),
        ..Changes::default()
    };
    ledger.commit(&changes).await.unwrap();
    // Nothing was promised in between, and nothing is forgotten for it.
    ledger.commit(&Changes::default()).await.unwrap();
    let attempts = (
        ledger.record_attempt(b"m").await.unwrap(),
        ledger.record_attempt(b"m").await.unwrap(),
        ledger.record_attempt(b"n").await.unwrap(),
    );
    assert_eq!(attempts, (1, 2, 1));
    let next = store.open().await;
    let standing = next.take_over(MEMORY).await.unwrap();
    assert_eq!(
        (standing.ticks, standing.watermark),
        (ticks, Some(At(EPOCH)))
    );
    assert_eq!(next.record_attempt(b"m").await.unwrap(), 3);
    next.clear_attempts(b"m").await.unwrap();
    assert_eq!(next.record_attempt(b"m").await.unwrap(), 1);
    assert_eq!(next.facts_kept_since().await.unwrap(), At::START);
    assert_eq!(next.sites().await.unwrap(), []);
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
        created_at: At(EPOCH),
        updated_at: At(EPOCH),
        ended_at: None,
    }
}

async fn other_programs_register_calls_and_join_their_sessions_to_ours(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    let change = |call_id: &str, status: &str, second: i64, ends| StateChange {
        call_id: call_id.to_owned(),
        status: status.to_owned(),
        metadata: None,
        now: At(EPOCH + second * 1_000_000),
        ends,
    };
    assert!(
        ledger.register(&registered("x", Some("s1"))).await.unwrap() == registered("x", Some("s1"))
    );
    // Again, without a session: it keeps the one it has.
    assert_eq!(
        ledger
            .register(&registered("x", None))
            .await
            .unwrap()
            .session_id
            .as_deref(),
        Some("s1")
    );
    assert_eq!(ledger.by_session("s1").await.unwrap().unwrap().call_id, "x");
    let (answered, changed) = ledger
        .update(&change("x", "answered", 1, false))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (&*answered.status, changed, &*answered.metadata),
        ("answered", true, "{\"a\":1}")
    );
    assert!(
        ledger
            .update(&change("nobody", "answered", 1, false))
            .await
            .unwrap()
            .is_none()
    );

    // One of ours: a session can be joined to it, and stays over every commit and its end; its
    // state is what the phones say.
    let mut timeline = timeline();
    let mut facts = two_calls();
    let end = facts.pop().unwrap();
    let some = changes(&mut timeline, facts, At(EPOCH + 10_000_000));
    ledger.commit(&some).await.unwrap();
    let ours = EventId(1).to_string();
    assert_eq!(
        ledger
            .register(&registered(&ours, Some("s2")))
            .await
            .unwrap()
            .provider,
        "grandstream"
    );
    assert!(
        !ledger
            .update(&change(&ours, "failed", 2, true))
            .await
            .unwrap()
            .unwrap()
            .1
    );
    assert_eq!(ledger.active(10).await.unwrap().len(), 3);
    ledger
        .commit(&changes(&mut timeline, vec![end], At::END))
        .await
        .unwrap();
    let over = ledger.by_session("s2").await.unwrap().unwrap();
    assert_eq!(
        (over.call_id, over.status.as_str(), over.ended_at.is_some()),
        (ours, "completed", true)
    );
    assert!(
        ledger
            .by_id(&EventId(3).to_string())
            .await
            .unwrap()
            .is_none(),
        "one without a session is only in the log"
    );

    assert_eq!(
        ledger.close_older(At(EPOCH), At(EPOCH + 9)).await.unwrap(),
        0
    );
    assert_eq!(
        ledger
            .close_older(At(EPOCH + 1), At(EPOCH + 9))
            .await
            .unwrap(),
        1
    );
    assert_eq!(ledger.by_id("x").await.unwrap().unwrap().status, "failed");
    assert!(ledger.active(10).await.unwrap().is_empty());
}

async fn devices_and_extensions_can_be_looked_up(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    ledger
        .commit(&changes(&mut timeline(), two_calls(), At::END))
        .await
        .unwrap();
    let devices = ledger.devices("default").await.unwrap();
    assert_eq!(
        devices,
        [
            ("000b82000001".to_owned(), EPOCH + 30_000_000),
            ("000b82000002".to_owned(), EPOCH + 9_000_000)
        ]
    );
    let extensions = ledger.extensions("default").await.unwrap();
    let known: Vec<(&str, i64)> = extensions
        .iter()
        .map(|known| (known.extension.as_str(), known.first_report))
        .collect();
    assert_eq!(known, [("201", EPOCH), ("202", EPOCH + 5_000_000)]);
    assert!(ledger.extensions("elsewhere").await.unwrap().is_empty());
}

async fn what_is_written_bit_by_bit_stands_as_if_it_were_written_at_once<S: Store>(_: &S) {
    let fleet = Fleet {
        seed: 7,
        phones: 30,
        calls_per_second: 0.5,
        duration: Duration::from_mins(4),
    };
    let policy = Policy::default();
    let all: Vec<ReceivedFact> = crate::support::fleet::messages(&fleet)
        .iter()
        .filter_map(|message| crate::support::batches::of_message(message, &policy))
        .collect();
    // Where it is stopped, calls are ringing, answered, held and over; afterwards another one goes
    // on.
    for seen in [all.len() / 3, all.len() / 2, all.len()] {
        let store = S::new();
        let (mut ledger, mut slow) = (store.open().await, timeline());
        ledger.take_over(MEMORY).await.unwrap();
        let mut decided = At::START;
        for (number, some) in all[..seen].chunks(7).enumerate() {
            if number == 20 {
                ledger = store.open().await;
                ledger.take_over(MEMORY).await.unwrap();
            }
            decided = At(some.last().unwrap().fact.at.0 - 1);
            // As a worker does; what it does not say has to be found out.
            assert_eq!(ledger.unknown_facts(some).await.unwrap().len(), some.len());
            let batch = Changes {
                facts_are_new: number % 2 == 0,
                ..changes(&mut slow, some.to_vec(), decided)
            };
            ledger.commit(&batch).await.unwrap();
        }
        let at_once = S::new();
        let ledger = at_once.open().await;
        ledger.take_over(MEMORY).await.unwrap();
        ledger
            .commit(&changes(&mut timeline(), all[..seen].to_vec(), decided))
            .await
            .unwrap();
        let expected = at_once.rows().await;
        assert!(
            expected.len() > 50 && expected.iter().any(|line| line.contains("state")),
            "{expected:#?}"
        );
        assert_eq!(store.rows().await, expected);
    }
}

async fn filters_and_pages_find_what_is_asked_for(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    ledger
        .commit(&changes(&mut timeline(), two_calls(), At::END))
        .await
        .unwrap();
    let all = || CallFilter {
        limit: 10,
        ..CallFilter::default()
    };
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (all(), 2),
        (
            CallFilter {
                extension: some("202"),
                ..all()
            },
            1,
        ),
        (
            CallFilter {
                number: some("+4930111"),
                ..all()
            },
            1,
        ),
        (
            CallFilter {
                outcome: some("missed"),
                ..all()
            },
            1,
        ),
        (
            CallFilter {
                direction: some("outbound"),
                ..all()
            },
            0,
        ),
        (
            CallFilter {
                since: Some(EPOCH + 1),
                ..all()
            },
            1,
        ),
        (
            CallFilter {
                until: Some(EPOCH + 1),
                ..all()
            },
            1,
        ),
        (
            CallFilter {
                site: some("elsewhere"),
                ..all()
            },
            0,
        ),
        (
            CallFilter {
                live: true,
                ..all()
            },
            0,
        ),
    ];
    for (place, (filter, expected)) in cases.into_iter().enumerate() {
        assert_eq!(
            ledger.calls(&filter).await.unwrap().len(),
            expected,
            "case {place}"
        );
    }
    let first = ledger
        .calls(&CallFilter {
            limit: 1,
            ..CallFilter::default()
        })
        .await
        .unwrap()
        .pop()
        .unwrap();
    let second = ledger
        .calls(&CallFilter {
            after: Some((first.started_at, first.id.clone())),
            ..all()
        })
        .await
        .unwrap();
    assert!(second.len() == 1 && second[0].id != first.id);
    assert_eq!(
        ledger.call(&first.id).await.unwrap().as_deref(),
        Some(first.record.as_str())
    );
    assert_eq!(ledger.call("nope").await.unwrap(), None);
}

/// What is found of a history, page by page.
async fn found(ledger: &impl Query, filter: &CallFilter) -> Vec<String> {
    let (mut filter, mut ids) = (
        CallFilter {
            limit: 7,
            ..filter.clone()
        },
        Vec::new(),
    );
    loop {
        let page = ledger.calls(&filter).await.unwrap();
        ids.extend(page.iter().map(|call| call.id.clone()));
        match page.last() {
            Some(last) if page.len() == 7 => {
                filter.after = Some((last.started_at, last.id.clone()))
            }
            _ => return ids,
        }
    }
}

async fn whatever_is_asked_for_is_found_page_by_page(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(MEMORY).await.unwrap();
    let fleet = Fleet {
        seed: 11,
        phones: 12,
        calls_per_second: 0.4,
        duration: Duration::from_mins(5),
    };
    let policy = Policy::default();
    let mut all: Vec<ReceivedFact> = crate::support::fleet::messages(&fleet)
        .iter()
        .filter_map(|message| crate::support::batches::of_message(message, &policy))
        .collect();
    // Some calls go on.
    all.truncate(all.len() * 9 / 10);
    let seen = At(all.last().unwrap().fact.at.0);
    ledger
        .commit(&changes(&mut timeline(), all, seen))
        .await
        .unwrap();
    let calls = ledger
        .calls(&CallFilter {
            limit: 10_000,
            ..CallFilter::default()
        })
        .await
        .unwrap();
    let records: Vec<(i64, serde_json::Value)> = calls
        .iter()
        .map(|call| (call.started_at, serde_json::from_str(&call.record).unwrap()))
        .collect();
    let middle = records[records.len() / 2].0;
    let numbers = records
        .iter()
        .filter_map(|(_, call)| call["from"]["number"].as_str())
        .take(1)
        .chain(["1001"]);
    let some = |texts: Vec<&str>| -> Vec<Option<String>> {
        texts
            .into_iter()
            .map(|text| Some(text.to_owned()))
            .chain([None])
            .collect()
    };
    let (sites, numbers, extensions) = (
        some(vec!["default", "elsewhere"]),
        some(numbers.collect()),
        some(vec!["1001", "1002"]),
    );
    let (outcomes, directions) = (
        some(vec!["answered", "missed", "no_answer", "lost"]),
        some(vec!["inbound", "outbound"]),
    );
    let statuses = some(vec!["completed", "failed", "ringing", "answered"]);
    let mut hits = 0;
    for case in 0..sites.len()
        * numbers.len()
        * extensions.len()
        * outcomes.len()
        * directions.len()
        * statuses.len()
        * 2
    {
        let mut rest = case;
        let mut pick = |of: &[Option<String>]| {
            let picked = of[rest % of.len()].clone();
            rest /= of.len();
            picked
        };
        let (site, number, extension) = (pick(&sites), pick(&numbers), pick(&extensions));
        let (outcome, direction, status) = (pick(&outcomes), pick(&directions), pick(&statuses));
        let since = (rest == 1).then_some(middle);
        let fits = |(started_at, call): &(i64, serde_json::Value)| {
            let is = |name: &str, wanted: &Option<String>| {
                wanted.is_none() || call[name].as_str() == wanted.as_deref()
            };
            let has_number = |wanted: &String| {
                ["from", "to"].iter().any(|party| {
                    ["number", "e164"]
                        .iter()
                        .any(|form| call[party][form] == **wanted)
                })
            };
            let has_extension = |wanted: &String| {
                call["participants"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|who| who["extension"] == **wanted)
            };
            is("site", &site)
                && is("outcome", &outcome)
                && is("direction", &direction)
                && is("status", &status)
                && number.as_ref().is_none_or(has_number)
                && extension.as_ref().is_none_or(has_extension)
                && since.is_none_or(|since| *started_at >= since)
        };
        let expected: Vec<&str> = records
            .iter()
            .filter(|record| fits(record))
            .filter_map(|(_, call)| call["id"].as_str())
            .collect();
        hits += usize::from(!expected.is_empty());
        let filter = CallFilter {
            site,
            number,
            extension,
            outcome,
            direction,
            status,
            since,
            ..CallFilter::default()
        };
        assert_eq!(found(&ledger, &filter).await, expected, "case {case}");
    }
    assert!(
        records.len() > 80 && hits > 100,
        "{} calls, {hits} questions with answers",
        records.len()
    );
}

#[test]
fn migrations_say_what_is_missing_and_running_them_twice_is_running_them_once() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("test.db"))
            .await
            .unwrap();
        assert!(
            ledger
                .migrations()
                .await
                .unwrap()
                .iter()
                .all(|migration| !migration.applied)
        );
        ledger.migrate().await.unwrap();
        ledger.migrate().await.unwrap();
        let status = ledger.migrations().await.unwrap();
        assert!(!status.is_empty() && status.iter().all(|migration| migration.applied));
    });
}
