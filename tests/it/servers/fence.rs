//! Commits whose worker gave up waiting for their result, and which take effect after all.

use cordboard::adapter::postgres::PostgresLedger;
use cordboard::domain::Timeline;
use cordboard::domain::fact::EventId;
use cordboard::domain::time::At;
use cordboard::port::ledger::{Changes, Ledger, LedgerError, ReceivedFact};
use cordboard::port::query::Query;
use sqlx::{Connection, PgConnection};

use crate::support::batches::{LOOKBACK, after_seconds, changes, timeline, two_calls};
use crate::support::postgres::{WHOLE, WRONG_COPIES, database, ledger, value};
use crate::support::wait::{PATIENCE, eventually};

const BLOCKED: &str = "
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_given_up_is_found_out_when_it_comes_through_after_all() {
    let url = database().await;
    let owner = ledger(&url, WHOLE);
    let mut before = timeline();
    let (facts, _) = begin(&owner, &mut before).await;

    let given_up = Changes {
        facts_are_new: true,
        ..changes(&mut before, facts[1..4].to_vec(), after_seconds(20))
    };
    // The worker forgets its calls, and commits the same facts and one more before it learns the
    // result of the first commit.
    let anew = Changes {
        facts_are_new: true,
        ..changes(&mut timeline(), facts, At::END)
    };

    let mut locker = PgConnection::connect(&url).await.unwrap();
    let mut lock = locker.begin().await.unwrap();
    sqlx::query("SELECT FROM partition_owner FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    tokio::select! {
        _ = owner.commit(&given_up) => panic!("the fence is locked"),
        () = until_blocked(&url, 1) => {}
    }
    let release = async {
        until_blocked(&url, 2).await;
        lock.rollback().await.unwrap();
    };
    let (second, ()) = tokio::join!(owner.commit(&anew), release);
    assert!(
        matches!(second, Err(LedgerError::Unavailable(_))),
        "{second:?}"
    );

    owner.commit(&anew).await.unwrap();
    let answered = owner.call(&EventId(1).to_string()).await.unwrap().unwrap();
    assert!(answered.contains("\"status\":\"completed\""), "{answered}");
    assert_eq!(value::<i64>(&url, WRONG_COPIES).await, 0);
    let counted = "SELECT sum(calls)::bigint FROM call_stats";
    assert_eq!(value::<i64>(&url, counted).await, 2);

    // The commits of another owner are not taken for the owner's own past.
    let next = ledger(&url, WHOLE);
    next.take_over(LOOKBACK).await.unwrap();
    assert!(matches!(
        owner.commit(&anew).await,
        Err(LedgerError::Fenced)
    ));
    next.commit(&anew).await.unwrap();
}

/// As by a standby that lagged behind, and was promoted under its workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_set_back_is_taken_over_as_it_is() {
    let url = database().await;
    let owner = ledger(&url, WHOLE);
    let mut before = timeline();
    let (facts, first) = begin(&owner, &mut before).await;

    let mut admin = PgConnection::connect(&url).await.unwrap();
    for statement in [
        "DELETE FROM call_events",
        "UPDATE partition_owner SET commit_no = commit_no - 1",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let next = changes(&mut before, facts[1..].to_vec(), At::END);
    let refused = async || match owner.commit(&next).await {
        Err(LedgerError::Fenced) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(PATIENCE, "the fence", refused).await;
    let not_stored = owner.facts_not_stored(&first.facts).await;
    assert!(
        matches!(not_stored, Err(LedgerError::Fenced)),
        "{not_stored:?}"
    );

    owner.take_over(LOOKBACK).await.unwrap();
    let anew = changes(&mut timeline(), facts, At::END);
    owner.commit(&anew).await.unwrap();
    let stored = "SELECT count(*) FROM call_events";
    assert_eq!(value::<i64>(&url, stored).await, 5);
}

/// Takes all sites over, and stores the first fact of two calls. Returns all of their facts, and the
/// stored changes.
async fn begin(owner: &PostgresLedger, before: &mut Timeline) -> (Vec<ReceivedFact>, Changes) {
    owner.take_over(LOOKBACK).await.unwrap();
    let facts = two_calls();
    let first = changes(before, facts[..1].to_vec(), after_seconds(0));
    owner.commit(&first).await.unwrap();

    (facts, first)
}

/// Waits until so many statements wait for a lock.
async fn until_blocked(url: &str, statements: i64) {
    eventually(PATIENCE, "statements that wait for a lock", async || {
        let blocked: i64 = value(url, BLOCKED).await;
        if blocked < statements {
            return Err(format!("{blocked} of {statements}"));
        }

        Ok(())
    })
    .await;
}
