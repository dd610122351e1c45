//! The service without servers: the worker reads the journal itself, the database is a file,
//! everybody who watches is told in this process.

use std::sync::{Arc, OnceLock};

use futures_util::future::select_all;
use tokio::task::JoinHandle;

use super::http::Door;
use super::lifecycle::{ready, stopping};
use super::open::{open_ledger, retry_until_available};
use super::phones::{self, Opening, Phones};
use super::{Context, Listeners, ServiceError, Stop, http};
use crate::adapter::memory::MemoryOutbox;
use crate::config::Settings;
use crate::gateway::{self, CallStates, Gateway, Health};
use crate::port::ledger::Ledger;
use crate::port::outbox::{NotificationLog, Outbox};
use crate::port::query::Query;
use crate::port::states::StateLedger;
use crate::port::watch::Watch;
use crate::worker::{Worker, lookback};

/// News that those who come back may have missed.
const NEWS_KEPT: u32 = 1_024;

/// All roles in one process: phones and people are served, the worker is ready to run.
pub(super) struct Embedded {
    phones: Phones,
    operations: JoinHandle<()>,
    /// Serves people, if any are to be.
    people: Option<JoinHandle<()>>,
    worker: Worker,
    stop: Stop,
}

impl Embedded {
    pub(super) async fn start(
        settings: &Settings,
        surroundings: Context,
        listeners: Listeners,
    ) -> Result<Option<Embedded>, ServiceError> {
        let Context {
            clock,
            metrics,
            reread,
            stop,
            ..
        } = surroundings;
        let Listeners {
            ingress: phones,
            gateway: people,
            operations: signs,
        } = listeners;
        let Some(phones) = phones else {
            return Err(ServiceError::Ended("a part of the ingress"));
        };
        let mut opening = Opening::new(settings, &*clock)?;
        let mut inbox = Box::new(opening.inbox()?);
        let (books, found) = (
            Arc::clone(&opening.books),
            std::mem::take(&mut opening.found),
        );
        let query = Arc::new(OnceLock::new());
        let health = Health {
            query: Arc::clone(&query),
            journal: Some((Arc::clone(&opening.backlog), Arc::clone(&books))),
            workers: Arc::new(vec![Arc::clone(&books)]),
            signs: Vec::new(),
            clock: Arc::clone(&clock),
            metrics,
        };
        let operations = tokio::spawn(http::serve(
            Arc::new(signs),
            gateway::operations_router(health),
            stop.hard.clone(),
        ));
        let phones = phones::serve(settings, phones, opening, &clock, reread, None, &stop)?;
        // Events are taken from here on. A service manager that waited for the database, too, would
        // end what can do its work.
        ready();

        let door = Arc::new(Door::default());
        let people = people.map(|people| {
            tokio::spawn(http::serve(
                people,
                Arc::clone(&door).router(),
                stop.hard.clone(),
            ))
        });
        let policies = settings.policies()?;
        let recall = lookback(&policies);
        let opened = retry_until_available(&stop.soft, async || {
            let ledger = open_ledger(settings).await?;
            ledger.migrate().await?;
            let (standing, news) = (
                ledger.take_over(recall).await?,
                ledger.recent(NEWS_KEPT).await?,
            );
            Ok((ledger, standing, news))
        });
        let Some((ledger, standing, news)) = opened.await? else {
            return Ok(None);
        };
        if standing.watermark.is_none() && found.waiting < found.records {
            tracing::warn!(
                "the database is new and the journal is not: what the journal still holds is read again. Older calls are only where the former database is"
            );
            inbox.rewind(&found, &books);
        }
        let (ledger, fanout) = (
            Arc::new(ledger),
            Arc::new(MemoryOutbox::after(
                standing.last_notification,
                news.into_iter().map(|(_, news)| news).collect(),
            )),
        );
        let worker = Worker::with(
            standing,
            inbox,
            Arc::clone(&ledger) as Arc<dyn Ledger>,
            Arc::clone(&fanout) as Arc<dyn Outbox>,
            policies,
            books,
        );
        let _first = query.set(Arc::clone(&ledger) as Arc<dyn Query>);
        let states = CallStates {
            ledger: Arc::clone(&ledger) as Arc<dyn StateLedger>,
            directory: None,
            clock: Arc::clone(&clock),
        };
        let gateway = Gateway {
            query: ledger,
            states,
            watch: fanout as Arc<dyn Watch>,
            directory: None,
            presence: None,
            clock,
        };
        door.open(gateway::router(gateway));
        Ok(Some(Embedded {
            phones,
            operations,
            people,
            worker,
            stop,
        }))
    }

    pub(super) async fn run(self) -> Result<(), ServiceError> {
        let stop = self.stop;
        let mut working = tokio::spawn(self.worker.run(stop.hard.clone()));
        let patience = tokio::spawn(stop.clone().drain_deadline());
        let mut phones = self.phones;
        let mut worked = None;
        let unasked = stop.run_until_stopped(async {
            tokio::select! {
                result = &mut working => {
                    worked = Some(result);
                    "the worker"
                }
                // None of these ends by itself: whoever serves phones must not fall silent
                // unnoticed.
                _ended = select_all(&mut phones.tasks) => "a part of the ingress",
            }
        });
        let unasked = unasked.await;
        if let (Some(ended), None) = (unasked, &worked) {
            return Err(ServiceError::Ended(ended));
        }
        stopping();
        stop.soft.cancel();
        // With the last of them gone the journal ends, and the worker with it, when it has read
        // everything.
        phones.end(&stop).await;
        let worked = if let Some(worked) = worked {
            worked
        } else {
            tokio::select! {
                worked = working => worked,
                // A transaction that is cut off here is none, and is done again after the next
                // start.
                () = stop.hard_stop_grace() => return Ok(()),
            }
        };
        patience.abort();
        stop.hard.cancel();
        if let Some(serving) = self.people {
            let _ended = serving.await;
        }
        let _ended = self.operations.await;
        match worked {
            Ok(Ok(())) if unasked.is_none() => Ok(()),
            Ok(Ok(())) | Err(_) => Err(ServiceError::Ended("the worker")),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}
