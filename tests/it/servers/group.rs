//! Small batches of several partitions, committed with one statement.

use std::sync::Arc;

use cordboard::adapter::postgres::{CommitGroup, PartitionAddress, PostgresLedger};
use cordboard::domain::time::At;
use cordboard::port::ledger::{Changes, Ledger, LedgerError, RejectedMessage};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres, Transaction};

use crate::support::batches::{LOOKBACK, changes, received, timeline};
use crate::support::postgres::{WRONG_COPIES, database, ledger, value};
use crate::support::wait::{PATIENCE, eventually, within};

const PARTITIONS: u32 = 4;
/// Its batches need a table that a test locks, so that the others gather meanwhile.
const BLOCKED: usize = 3;
const WAITING_FOR_LOCKS: &str = "
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'";

fn partition(number: u32) -> PartitionAddress {
    PartitionAddress {
        generation: 1,
        number,
        count: PARTITIONS,
    }
}

/// The owner of all partitions, whose batches are committed together.
async fn owners(url: &str) -> Vec<Arc<PostgresLedger>> {
    let group = Arc::new(CommitGroup::new(&url.parse().unwrap()));
    let mut owners = Vec::new();

    for number in 0..PARTITIONS {
        let owner = ledger(url, partition(number)).in_group(Arc::clone(&group));
        owner.take_over(LOOKBACK).await.unwrap();
        owners.push(Arc::new(owner));
    }

    owners
}

/// A call that rings at a phone of the partition. Its commit reads nothing before it is written.
fn batch(number: usize) -> Changes {
    let target =
        format!("/gs/cti/incoming?mac=000b8200000{number}&local=20{number}&remote=+49301{number}");
    let fact = received(number as u128 + 1, 0, &target);

    Changes {
        facts_are_new: true,
        ..changes(&mut timeline(), vec![fact], At::START)
    }
}

/// A batch that also sets a message aside.
fn batch_with_dead_letter(number: usize) -> Changes {
    let rejected = RejectedMessage {
        message: b"unreadable".to_vec(),
        reason: "a test".to_owned(),
    };

    Changes {
        rejected: vec![rejected],
        ..batch(number)
    }
}

/// Runs a statement that locks something until the transaction ends.
async fn lock<'l>(
    connection: &'l mut PgConnection,
    lock: &'static str,
) -> Transaction<'l, Postgres> {
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query(lock).execute(&mut *transaction).await.unwrap();

    transaction
}

async fn until_waiting(url: &str, statements: i64) {
    eventually(PATIENCE, "statements that wait for a lock", async || {
        let waiting: i64 = value(url, WAITING_FOR_LOCKS).await;
        if waiting < statements {
            return Err(format!("{waiting} of {statements}"));
        }

        Ok(())
    })
    .await;
}

/// Commits batches of the first partitions while the statement of another one is blocked. Returns
/// their results in the order of the partitions.
async fn commit_together(
    url: &str,
    owners: &[Arc<PostgresLedger>],
    batches: Vec<Changes>,
) -> Vec<Result<(), LedgerError>> {
    let mut locker = PgConnection::connect(url).await.unwrap();
    let dead_letters = lock(&mut locker, "LOCK TABLE dead_events").await;
    let blocked = tokio::spawn({
        let owner = Arc::clone(&owners[BLOCKED]);
        async move { owner.commit(&batch_with_dead_letter(BLOCKED)).await }
    });
    until_waiting(url, 1).await;

    let committing: Vec<_> = owners
        .iter()
        .zip(batches)
        .map(|(owner, batch)| {
            let owner = Arc::clone(owner);
            async move { owner.commit(&batch).await }
        })
        .collect();
    // All are polled once, and wait in the group, before the lock is released.
    let release = async {
        tokio::task::yield_now().await;
        dead_letters.rollback().await.unwrap();
    };
    let (results, ()) = tokio::join!(futures_util::future::join_all(committing), release);

    within(PATIENCE, "the blocked batch", blocked)
        .await
        .unwrap()
        .unwrap();
    results
}

#[tokio::test]
async fn batches_that_gather_while_a_statement_runs_are_committed_together() {
    let url = database().await;
    let owners = owners(&url).await;

    for result in commit_together(&url, &owners, (0..3).map(batch).collect()).await {
        result.unwrap();
    }

    let statements = "SELECT count(DISTINCT xmin::text) FROM partition_owner WHERE part < 3";
    assert_eq!(value::<i64>(&url, statements).await, 1);
    assert_eq!(
        value::<i64>(&url, "SELECT count(*) FROM call_logs").await,
        4
    );
    assert_eq!(value::<i64>(&url, WRONG_COPIES).await, 0);
}

#[tokio::test]
async fn a_partition_that_has_another_owner_fails_alone() {
    let url = database().await;
    let owners = owners(&url).await;
    let next = ledger(&url, partition(1));
    next.take_over(LOOKBACK).await.unwrap();

    let results = commit_together(&url, &owners, (0..3).map(batch).collect()).await;

    assert!(
        matches!(results[1], Err(LedgerError::Fenced)),
        "{results:?}"
    );
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let stored = "SELECT string_agg(from_number, ' ' ORDER BY from_number) FROM call_logs";
    assert_eq!(
        value::<String>(&url, stored).await,
        "+493010 +493012 +493013"
    );
    next.commit(&batch(1)).await.unwrap();
    assert_eq!(value::<i64>(&url, WRONG_COPIES).await, 0);
}

#[tokio::test]
async fn a_batch_that_cannot_be_stored_fails_alone() {
    let url = database().await;
    let owners = owners(&url).await;
    let mut poisoned = batch(1);
    // The database takes no NUL in a text.
    poisoned.rejected.push(RejectedMessage {
        message: Vec::new(),
        reason: "\0".to_owned(),
    });

    let results = commit_together(&url, &owners, vec![batch(0), poisoned, batch(2)]).await;

    assert!(
        matches!(results[1], Err(LedgerError::Rejected(_))),
        "{results:?}"
    );
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    owners[1].commit(&batch(1)).await.unwrap();
    assert_eq!(
        value::<i64>(&url, "SELECT count(*) FROM call_logs").await,
        4
    );
    assert_eq!(value::<i64>(&url, WRONG_COPIES).await, 0);
}

#[tokio::test]
async fn a_fence_that_is_locked_holds_up_no_other_partition() {
    let url = database().await;
    let owners = owners(&url).await;
    let mut locker = PgConnection::connect(&url).await.unwrap();
    let fence = "SELECT FROM partition_owner WHERE part = 1 FOR UPDATE";
    let fence = lock(&mut locker, fence).await;

    let locked = batch(1);
    let mut waiting = std::pin::pin!(owners[1].commit(&locked));
    tokio::select! {
        result = &mut waiting => panic!("the fence is locked: {result:?}"),
        () = until_waiting(&url, 1) => {}
    }
    for number in [0, 2, 3] {
        let free = batch(number);
        within(PATIENCE, "a free partition", owners[number].commit(&free))
            .await
            .unwrap();
    }

    fence.rollback().await.unwrap();
    within(PATIENCE, "the locked partition", waiting)
        .await
        .unwrap();
    assert_eq!(
        value::<i64>(&url, "SELECT count(*) FROM call_logs").await,
        4
    );
}

#[tokio::test]
async fn a_row_that_is_locked_for_long_holds_up_only_the_batch_that_needs_it() {
    let url = database().await;
    let owners = owners(&url).await;
    let mut locker = PgConnection::connect(&url).await.unwrap();
    let dead_letters = lock(&mut locker, "LOCK TABLE dead_events").await;

    // It fails together with others, and alone; then it is committed again.
    let blocked = batch_with_dead_letter(BLOCKED);
    let failed = within(
        PATIENCE,
        "the lock timeout",
        owners[BLOCKED].commit(&blocked),
    )
    .await;
    assert!(
        matches!(failed, Err(LedgerError::Unavailable(_))),
        "{failed:?}"
    );
    let mut again = Box::pin(owners[BLOCKED].commit(&blocked));
    tokio::select! {
        result = &mut again => panic!("the table is locked: {result:?}"),
        () = until_waiting(&url, 1) => {}
    }
    for (number, owner) in owners[..BLOCKED].iter().enumerate() {
        let free = batch(number);
        tokio::select! {
            result = owner.commit(&free) => result.unwrap(),
            result = &mut again => panic!("it waits for no other: {result:?}"),
        }
    }

    dead_letters.rollback().await.unwrap();
    within(PATIENCE, "the blocked batch", again).await.unwrap();
    assert_eq!(
        value::<i64>(&url, "SELECT count(*) FROM call_logs").await,
        4
    );
}

#[tokio::test]
async fn a_common_statement_that_was_given_up_is_found_out_when_it_comes_through_after_all() {
    let url = database().await;
    let owners = owners(&url).await;
    let mut first_locker = PgConnection::connect(&url).await.unwrap();
    let mut second_locker = PgConnection::connect(&url).await.unwrap();
    let first_lock = lock(&mut first_locker, "LOCK TABLE dead_events").await;
    // The statement holds its fences when it comes to the row.
    let row = "INSERT INTO sites (site, first_seen) VALUES ('default', 0)";
    let second_lock = lock(&mut second_locker, row).await;

    // Two batches gather behind one that is blocked, and are blocked together after it.
    let dead_letter = Changes {
        facts: Vec::new(),
        calls: Vec::new(),
        ..batch_with_dead_letter(BLOCKED)
    };
    let mut blocked = Box::pin(owners[BLOCKED].commit(&dead_letter));
    tokio::select! {
        result = &mut blocked => panic!("the table is locked: {result:?}"),
        () = until_waiting(&url, 1) => {}
    }
    let (leader, follower) = (batch(0), batch(1));
    let mut leading = Box::pin(owners[0].commit(&leader));
    let mut following = Box::pin(owners[1].commit(&follower));
    let both = async { futures_util::join!(&mut leading, &mut following) };
    tokio::select! {
        results = both => panic!("another statement runs: {results:?}"),
        () = tokio::task::yield_now() => {}
    }
    first_lock.rollback().await.unwrap();
    within(PATIENCE, "the first batch", blocked).await.unwrap();
    tokio::select! {
        results = async { futures_util::join!(&mut leading, &mut following) } => {
            panic!("the row is locked: {results:?}")
        }
        () = until_waiting(&url, 1) => {}
    }

    // The leader gives up. Alone, the follower waits for the statement, which holds its fence.
    drop(leading);
    tokio::select! {
        result = &mut following => panic!("its fence is locked: {result:?}"),
        () = until_waiting(&url, 2) => {}
    }
    second_lock.rollback().await.unwrap();
    let followed = within(PATIENCE, "the follower", following).await;
    assert!(
        matches!(followed, Err(LedgerError::Unavailable(_))),
        "{followed:?}"
    );

    owners[0].commit(&leader).await.unwrap();
    owners[1].commit(&follower).await.unwrap();
    assert_eq!(
        value::<i64>(&url, "SELECT count(*) FROM call_logs").await,
        2
    );
    assert_eq!(value::<i64>(&url, WRONG_COPIES).await, 0);
}
