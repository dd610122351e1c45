//! The partitions of this worker: a seat at every queue, an actor for every one the broker gives
//! us, and no more of them than our share.
//!
//! Who owns a partition is decided by the broker, which has one active consumer for each queue, and
//! by the database, which takes writes of the last owner only. Nothing here has to be right for the
//! records to be; it only spreads the work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::Connection;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::adapter::postgres::{Partition, PostgresAddress, PostgresLedger};
use crate::adapter::rabbit::{
    BrokerAddress, BrokerError, Depth, Held, Layout, Mouth, dead, depths, enlist, ensure, workers,
};
use crate::adapter::redis::{Link, RedisLive};
use crate::health::FlowCounters;
use crate::health::HealthCheck;
use crate::port::clock::Clock;
use crate::port::ledger::{Ledger, LedgerError, RecoveredState};
use crate::port::live::{LiveView, NoLiveView};
use crate::wire::policy_file::Policies;
use crate::worker::{BackOff, InFlightLimit, Worker, WorkerError, lookback};

const AGAIN_MIN: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);

/// What every partition of this process works with.
#[derive(Clone)]
pub(super) struct Partitions {
    pub broker: BrokerAddress,
    pub layout: Layout,
    pub database: PostgresAddress,
    pub readers: PgPool,
    pub policies: Policies,
    pub mouth: Mouth,
    /// Where live calls are shown, if anywhere.
    pub live: Option<Arc<Link>>,
    pub prefix: String,
    /// One for each partition; they last as long as the process, whoever has the partition.
    pub books: Arc<Vec<Arc<FlowCounters>>>,
    pub clock: Arc<dyn Clock>,
    pub sign: HealthCheck,
    pub balance: Duration,
    /// What all partitions have in hand together.
    pub room: Arc<InFlightLimit>,
    /// The partitions we own, and how to give them up.
    pub owned: Arc<Mutex<BTreeMap<u32, CancellationToken>>>,
}

/// Why an actor ended.
enum Ended {
    /// It was asked to.
    GaveUp,
    /// Its channel is gone, or somebody else owns the partition.
    Lost(String),
}

impl Partitions {
    /// Works until the stop; batches under way are finished.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut back_off = BackOff::from(AGAIN_MIN);
        loop {
            match self.connected(&stop).await {
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => back_off = BackOff::from(AGAIN_MIN),
                Err(error) => {
                    self.sign.set_down(&error.to_string());
                    self.broker.avoid();
                }
            }
            metrics::counter!("cordboard_broker_reconnects_total").increment(1);
            if !back_off.wait(&stop).await {
                return;
            }
        }
    }

    /// One connection's life.
    async fn connected(&self, stop: &CancellationToken) -> Result<(), BrokerError> {
        let connection = Arc::new(tokio::select! {
            connection = self.broker.connect("cordboard work") => connection?,
            () = stop.cancelled() => return Ok(()),
        });
        ensure(&connection, self.layout).await?;
        let _counted = enlist(&connection).await;
        self.sign.set_up();
        let (ending, hung) = (stop.child_token(), CancellationToken::new());
        let mut actors = JoinSet::new();
        for part in 0..self.layout.partitions {
            actors.spawn(self.clone().keep(
                part,
                Arc::clone(&connection),
                hung.clone(),
                ending.clone(),
            ));
        }
        let watched = self.watch(&connection, &hung, stop).await;
        // Whatever ended it: actors finish what they can on this connection, and the next one
        // begins with all of them gone.
        ending.cancel();
        while actors.join_next().await.is_some() {}
        let _closed = tokio::time::timeout(PATIENCE, connection.close(200, "done".into())).await;
        watched
    }

    /// Looks after the shares until the connection is lost or the stop is asked for.
    async fn watch(
        &self,
        connection: &Connection,
        hung: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.balance) => {}
                () = hung.cancelled() => return Err(BrokerError::Silent),
                () = stop.cancelled() => return Ok(()),
            }
            if !connection.status().connected() {
                return Err(BrokerError::Unavailable(
                    "the connection was lost".to_owned(),
                ));
            }
            let depths = depths(connection, self.layout).await?;
            measure(&depths);
            metrics::gauge!("cordboard_broker_dead_messages")
                .set(f64::from(dead(connection).await?));
            self.give_up_surplus(workers(connection).await.unwrap_or(1).max(1));
        }
    }

    /// With so many workers, nobody needs more than an even share. What is given up goes to the
    /// next in line; if that one has enough it gives it up in turn.
    fn give_up_surplus(&self, workers: u32) {
        let share = self.layout.partitions.div_ceil(workers) as usize;
        let owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        metrics::gauge!("cordboard_worker_partitions")
            .set(f64::from(u32::try_from(owned.len()).unwrap_or(u32::MAX)));
        for (part, give_up) in owned.iter().skip(share) {
            tracing::info!(
                part,
                workers,
                share,
                "giving a partition up to another worker"
            );
            give_up.cancel();
        }
    }

    /// Keeps a seat at a partition's queue, and works on it whenever it is ours.
    async fn keep(
        self,
        part: u32,
        connection: Arc<Connection>,
        hung: CancellationToken,
        stop: CancellationToken,
    ) {
        let mut back_off = BackOff::from(AGAIN_MIN);
        while connection.status().connected() && !stop.is_cancelled() {
            match self.sit(part, &connection, &hung, &stop).await {
                Ended::GaveUp => back_off = BackOff::from(AGAIN_MIN),
                Ended::Lost(why) => {
                    tracing::warn!(part, why, "a partition is begun again");
                    if !back_off.wait(&stop).await {
                        return;
                    }
                }
            }
        }
    }

    async fn sit(
        &self,
        part: u32,
        connection: &Connection,
        hung: &CancellationToken,
        stop: &CancellationToken,
    ) -> Ended {
        let mut held = match Held::subscribe(
            connection,
            self.layout,
            part,
            Arc::clone(&self.clock),
            hung.clone(),
        )
        .await
        {
            Ok(held) => held,
            Err(error) => return Ended::Lost(error.to_string()),
        };
        let first = tokio::select! {
            first = held.first() => first,
            () = stop.cancelled() => {
                held.leave().await;
                return Ended::GaveUp;
            }
        };
        if let Err(error) = first {
            held.leave().await;
            return Ended::Lost(error.to_string());
        }
        let give_up = stop.child_token();
        self.owned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, give_up.clone());
        let ended = self.own(part, held, give_up).await;
        self.owned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&part);
        if let Some(books) = self.books.get(part as usize) {
            books.release();
        }
        ended
    }

    /// Works on a partition as long as it is ours.
    async fn own(&self, part: u32, held: Held, give_up: CancellationToken) -> Ended {
        let place = Partition {
            generation: self.layout.generation,
            number: part,
            count: self.layout.partitions,
        };
        let ledger = Arc::new(PostgresLedger::new(
            &self.database,
            self.readers.clone(),
            place,
        ));
        let books = self.books.get(part as usize).cloned().unwrap_or_default();
        let standing = match self.take_over(&ledger, &books, &give_up).await {
            Ok(Some(standing)) => standing,
            Ok(None) => {
                held.leave().await;
                return Ended::GaveUp;
            }
            Err(error) => {
                held.leave().await;
                return Ended::Lost(error.to_string());
            }
        };
        let relay = Arc::new(self.mouth.of(
            self.layout,
            part,
            standing.last_notification,
            standing.published_up_to,
        ));
        let inbox = Box::new(held.into_inbox());
        let worker = Worker::with(
            standing,
            inbox,
            Arc::clone(&ledger) as Arc<dyn Ledger>,
            relay,
            self.policies.clone(),
            books,
        )
        .shown_in(self.view(part))
        .sharing(Arc::clone(&self.room));
        let ended = match worker.run(give_up).await {
            Ok(()) => Ended::GaveUp,
            Err(error) => {
                if matches!(error, WorkerError::Ledger(LedgerError::Fenced)) {
                    metrics::counter!("cordboard_worker_fenced_total").increment(1);
                }
                Ended::Lost(error.to_string())
            }
        };
        if let Some(ledger) = Arc::into_inner(ledger) {
            ledger.release().await;
        }
        ended
    }

    fn view(&self, part: u32) -> Arc<dyn LiveView> {
        match &self.live {
            Some(link) => Arc::new(RedisLive::new(
                Arc::clone(link),
                &self.prefix,
                &self.layout.partition_name(part),
            )),
            None => Arc::new(NoLiveView),
        }
    }

    /// `None` when the stop came first.
    async fn take_over(
        &self,
        ledger: &PostgresLedger,
        books: &FlowCounters,
        stop: &CancellationToken,
    ) -> Result<Option<RecoveredState>, LedgerError> {
        let mut back_off = BackOff::from(AGAIN_MIN);
        loop {
            match ledger.take_over(lookback(&self.policies)).await {
                Ok(standing) => {
                    books.set_blocked(None);
                    return Ok(Some(standing));
                }
                Err(error @ LedgerError::Unavailable(_)) => {
                    books.set_blocked(Some(error.to_string()));
                    tracing::error!(%error, retry_in_ms = back_off.next.as_millis(), "a partition waits for the database");
                }
                Err(error) => {
                    books.set_blocked(Some(error.to_string()));
                    return Err(error);
                }
            }
            if !back_off.wait(stop).await {
                return Ok(None);
            }
        }
    }
}

fn measure(depths: &[Option<Depth>]) {
    let waiting: u32 = depths.iter().flatten().map(|depth| depth.messages).sum();
    metrics::gauge!("cordboard_broker_waiting_messages").set(f64::from(waiting));
    let abandoned = depths
        .iter()
        .flatten()
        .filter(|depth| depth.consumers == 0)
        .count();
    metrics::gauge!("cordboard_broker_partitions_without_worker")
        .set(f64::from(u32::try_from(abandoned).unwrap_or(u32::MAX)));
}
