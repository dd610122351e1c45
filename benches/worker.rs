//! The worker over SQLite with all its effects, draining the journal of a busy site: `cargo bench
//! --bench worker`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on must fail, and its results are its output"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/it/support/fleet.rs"]
mod fleet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cordboard::adapter::clock::SystemClock;
use cordboard::adapter::memory::MemoryOutbox;
use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::port::intake::{Delivery, Inbox, InboxError};
use cordboard::port::ledger::{BelievedInstants, Ledger};
use cordboard::port::live::NoLiveView;
use cordboard::simulate::Fleet;
use cordboard::wire::message::Message;
use cordboard::wire::policy_file::Policies;
use cordboard::worker::{Believed, Dependencies, Worker, lookback};
use tokio_util::sync::CancellationToken;

/// About 300 calls are open at any time.
const FLEET: Fleet = Fleet {
    seed: 1,
    phones: 3_000,
    calls_per_second: 10.0,
    duration: Duration::from_mins(25),
};

/// A backlog in batches of one size.
struct Backlog {
    messages: std::vec::IntoIter<Vec<u8>>,
    batch: usize,
}

#[async_trait]
impl Inbox for Backlog {
    async fn next_batch(&mut self, messages_max: usize) -> Result<Vec<Delivery>, InboxError> {
        Ok(self
            .messages
            .by_ref()
            .take(self.batch.min(messages_max))
            .map(Into::into)
            .collect())
    }

    async fn settle(&mut self) -> Result<(), InboxError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), InboxError> {
        Ok(())
    }
}

async fn drain(messages: Vec<Vec<u8>>, batch: usize) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(
        SqliteLedger::open(&folder.path().join("bench.db"))
            .await
            .unwrap(),
    );
    ledger.migrate().await.unwrap();
    let policies = Policies::default();
    let state = ledger
        .take_over(lookback(&policies, BelievedInstants::ALL))
        .await
        .unwrap();
    let dependencies = Dependencies {
        number: 0,
        inbox: Box::new(Backlog {
            messages: messages.into_iter(),
            batch,
        }),
        ledger,
        outbox: Arc::new(MemoryOutbox::default()),
        live: Arc::new(NoLiveView),
        counters: Arc::default(),
        in_flight: Arc::default(),
        clock: Arc::new(SystemClock::default()),
        believed: Believed::default(),
    };
    let worker = Worker::new(dependencies, policies, state);

    let began = Instant::now();
    worker.run(CancellationToken::new()).await.unwrap();

    began.elapsed()
}

#[tokio::main]
async fn main() {
    println!("batch   events/s");
    for (batch, share) in [(1_024, 1), (256, 1), (16, 4), (1, 20)] {
        let fleet = Fleet {
            duration: FLEET.duration / share,
            ..FLEET
        };
        let messages: Vec<Vec<u8>> = fleet::messages(&fleet)
            .iter()
            .map(Message::encode)
            .collect();
        let events = messages.len() as f64;

        println!(
            "{batch:>5}   {:>8.0}",
            events / drain(messages, batch).await.as_secs_f64()
        );
    }
}
