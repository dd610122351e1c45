//! Batches that were given up because nobody knew what became of them, and come through after all.

use std::time::Duration;

use crate::support::batches::{MEMORY, changes, timeline, two_calls};
use crate::support::ledger::block_on;
use crate::support::overlay::EPOCH;
use crate::support::postgres::{WHOLE, WRONG_COPIES, database, ledger, value};
use cordboard::domain::fact::EventId;
use cordboard::domain::time::At;
use cordboard::port::ledger::{Changes, Ledger, LedgerError};
use cordboard::port::query::Query;
use sqlx::{Connection, PgConnection};

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Until so many statements wait for the lock that somebody holds.
async fn wait(url: &str, statements: i64) {
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    while value::<i64>(url, WAITING).await < statements {
        looks.tick().await;
    }
}

#[test]
fn a_batch_that_was_given_up_is_found_out_when_it_comes_through_after_all() {
    block_on(async {
        let url = database().await;
        let ledger = ledger(&url, WHOLE);
        ledger.take_over(MEMORY).await.unwrap();
        let (mut timeline, facts) = (timeline(), two_calls());
        ledger
            .commit(&changes(&mut timeline, facts[..1].to_vec(), At(EPOCH)))
            .await
            .unwrap();
        let given_up = Changes {
            facts_are_new: true,
            ..changes(&mut timeline, facts[1..4].to_vec(), At(EPOCH + 20_000_000))
        };
        // What a worker that forgot its calls meanwhile makes of the same facts and one more,
        // before it hears what became of the first.
        let anew = Changes {
            facts_are_new: true,
            ..changes(
                &mut crate::support::batches::timeline(),
                facts.clone(),
                At::END,
            )
        };

        let mut somebody = PgConnection::connect(&url).await.unwrap();
        let mut lock = somebody.begin().await.unwrap();
        sqlx::query("SELECT FROM partition_owner FOR UPDATE")
            .execute(&mut *lock)
            .await
            .unwrap();
        tokio::select! {
            _ = ledger.commit(&given_up) => panic!("the fence is locked"),
            () = wait(&url, 1) => {}
        }
        let release = async {
            wait(&url, 2).await;
            lock.rollback().await.unwrap();
        };
        let (second, ()) = tokio::join!(ledger.commit(&anew), release);
        assert!(
            matches!(second, Err(LedgerError::Unavailable(_))),
            "{second:?}"
        );

        ledger.commit(&anew).await.unwrap();
        let answered = ledger.call(&EventId(1).to_string()).await.unwrap().unwrap();
        assert!(answered.contains("\"status\":\"completed\""), "{answered}");
        assert_eq!(value::<i64>(&url, WRONG_COPIES).await, 0);
        assert_eq!(
            value::<i64>(&url, "SELECT sum(calls)::bigint FROM call_stats").await,
            2
        );
        // Nobody else is taken for its own past.
        let next = crate::support::postgres::ledger(&url, WHOLE);
        next.take_over(MEMORY).await.unwrap();
        assert!(matches!(
            ledger.commit(&anew).await,
            Err(LedgerError::Fenced)
        ));
        next.commit(&anew).await.unwrap();
    });
}
