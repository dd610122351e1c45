//! The one place that joins the parts, in the order in which they start: ports are bound before anything works, phones are served
//! before anything can keep them waiting, and everything that was started is stopped.

mod doctor;
mod http;
mod lifecycle;
mod open;
mod rebuild;
mod reload;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures_util::future::select_all;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::adapter::clock::SystemClock;
use crate::adapter::journal::{self, JournalBacklog, JournalInbox};
use crate::adapter::memory::MemoryFanout;
use crate::config::{BadConfig, Settings};
use crate::gateway::{self, Gateway, Health};
use crate::ingress::stamp::Stamp;
use crate::ingress::{self, Ingress};
use crate::port::books::Books;
use crate::port::clock::Clock;
use crate::port::fanout::Fanout;
use crate::port::intake::{Backlog, Intake};
use crate::port::ledger::{Ledger, LedgerError};
use crate::port::query::Query;
use crate::port::watch::Watch;
use crate::worker::{Worker, WorkerError};

pub use doctor::{Finding, Grade, examine};
pub use lifecycle::Stop;
use lifecycle::{ready, stopping, watchdog};
pub use open::migrate;
use open::{bind, open_journal, open_ledger, patiently};
pub use rebuild::{Difference, Scope, differences, rebuild};
pub use reload::Reread;

/// News that those who come back may have missed.
const NEWS_KEPT: u32 = 1_024;

/// Why the service could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error("{what} cannot listen on {address}: {source}; is another process there? Choose another address in the settings")]
    Bind { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("{path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    #[error("{stretches} stretches of the journal cannot be read, and `journal.refuse_damaged` is set; copies are in its `corrupt` folder")]
    Damaged { stretches: usize },
    #[error("the journal cannot be read: {0}")]
    Inbox(io::Error),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error("{path}: there is no database yet; the first start of the service makes it")]
    NoDatabase { path: PathBuf },
    #[error("{0}: stop the service first, it holds calls in memory")]
    Running(journal::OpenError),
    #[error("{0} ended although nobody asked it to")]
    Ended(&'static str),
}

/// Where the service can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub ingress: SocketAddr,
    pub gateway: SocketAddr,
    pub operations: SocketAddr,
}

/// What the service is given by whoever starts it.
pub struct Surroundings {
    pub clock: Arc<dyn Clock>,
    pub metrics: PrometheusHandle,
    pub reread: Reread,
    pub stop: Stop,
}

/// All roles in one process: phones are served, the worker and the gateway are ready to run.
pub struct Service {
    pub addresses: Addresses,
    phones: [JoinHandle<()>; 3],
    operations: JoinHandle<()>,
    people: Arc<TcpListener>,
    worker: Worker,
    gateway: Gateway,
    stop: Stop,
}

impl Service {
    /// Opens everything, in the order in which it depends on each other. `None` when the stop was asked for meanwhile.
    ///
    /// # Errors
    /// Says what cannot be opened, and why.
    pub async fn start(settings: &Settings, surroundings: Surroundings) -> Result<Option<Service>, Failed> {
        let Surroundings { clock, metrics, reread, stop } = surroundings;
        let (phones, ingress) = bind("the ingress", settings.ingress.listen).await?;
        let (people, gateway) = bind("the gateway", settings.gateway.listen).await?;
        let (signs, operations) = bind("the operations listener", settings.operations.listen).await?;
        let addresses = Addresses { ingress, gateway, operations };
        let people = Arc::new(people);
        tracing::info!(ingress = %addresses.ingress, gateway = %addresses.gateway, operations = %addresses.operations, "listening");

        let (journal, found, last_instant) = open_journal(settings, clock.now())?;
        let mut inbox = Box::new(JournalInbox::new(&journal).map_err(Failed::Inbox)?);
        let (books, backlog): (Arc<Books>, Arc<dyn Backlog>) = (journal.books(), Arc::new(JournalBacklog::new(&journal)));
        let stamp = Stamp::new(Arc::clone(&clock), last_instant);
        let intake: Arc<dyn Intake> = Arc::new(journal);
        let (site, access, limits) = (settings.ingress.site()?, settings.ingress.access()?, settings.ingress.limits());
        let ingress = Arc::new(Ingress::new(site, access, intake, Arc::clone(&clock), stamp, limits));

        let query = Arc::new(OnceLock::new());
        let health = Health { query: Arc::clone(&query), backlog, books: Arc::clone(&books), clock, metrics };
        let operations = tokio::spawn(http::serve(Arc::new(signs), gateway::operations_router(health), stop.hard.clone()));
        let phones = [
            tokio::spawn(ingress::serve(phones, Arc::clone(&ingress), stop.soft.clone())),
            tokio::spawn(ingress::tick(Arc::clone(&ingress), settings.ingress.tick(), stop.soft.clone(), watchdog())),
            tokio::spawn(reload::reload(ingress, addresses.ingress, reread, stop.soft.clone())),
        ];
        // Events are taken from here on. A service manager that waited for the database, too, would end what can do its work.
        ready();

        let waited = stop.hard.child_token();
        let waiting = tokio::spawn(http::serve(Arc::clone(&people), http::waiting(), waited.clone()));
        let opened = patiently(&stop.soft, async || {
            let ledger = open_ledger(settings).await?;
            ledger.migrate().await?;
            let (standing, news) = (ledger.take_over().await?, ledger.last_news(NEWS_KEPT).await?);
            Ok((ledger, standing, news))
        });
        let Some((ledger, standing, news)) = opened.await? else { return Ok(None) };
        if standing.watermark.is_none() && found.waiting < found.records {
            tracing::warn!(
                "the database is new and the journal is not: what the journal still holds is read again. Older calls are only where the former database is"
            );
            inbox.rewind(&found, &books);
        }
        let (ledger, fanout) = (Arc::new(ledger), Arc::new(MemoryFanout::after(standing.told, news)));
        let worker = Worker::with(
            standing,
            inbox,
            Arc::clone(&ledger) as Arc<dyn Ledger>,
            Arc::clone(&fanout) as Arc<dyn Fanout>,
            settings.policies()?,
            books,
        );
        let _first = query.set(Arc::clone(&ledger) as Arc<dyn Query>);
        waited.cancel();
        let _made_way = waiting.await;
        let gateway = Gateway { query: ledger, watch: fanout as Arc<dyn Watch> };
        Ok(Some(Service { addresses, phones, operations, people, worker, gateway, stop }))
    }

    /// Works until the stop, then finishes what is under way: first no more requests, then the worker, then the rest.
    ///
    /// # Errors
    /// When a part failed that cannot go on.
    pub async fn run(self) -> Result<(), Failed> {
        let stop = self.stop;
        let mut working = tokio::spawn(self.worker.run(stop.hard.clone()));
        let serving = tokio::spawn(http::serve(self.people, gateway::router(self.gateway), stop.hard.clone()));
        let patience = tokio::spawn(stop.clone().lose_patience());
        let mut phones = self.phones;
        let worked = tokio::select! {
            // Asked to stop, the worker may already have read everything and ended.
            biased;
            () = stop.soft.cancelled() => None,
            worked = &mut working => Some(worked),
            // None of these ends by itself: whoever serves phones must not fall silent unnoticed.
            _ended = select_all(&mut phones) => return Err(Failed::Ended("a part of the ingress")),
        };
        stopping();
        stop.soft.cancel();
        for part in phones {
            // With the last of them gone the journal ends, and the worker with it, when it has read everything.
            tokio::select! {
                _ended = part => {}
                () = stop.hard.cancelled() => {}
            }
        }
        let asked_to = worked.is_none();
        let worked = if let Some(worked) = worked {
            worked
        } else {
            tokio::select! {
                worked = working => worked,
                // A transaction that is cut off here is none, and is done again after the next start.
                () = stop.grace_is_over() => return Ok(()),
            }
        };
        patience.abort();
        stop.hard.cancel();
        let _settled = (serving.await, self.operations.await);
        match worked {
            Ok(Ok(())) if asked_to => Ok(()),
            Ok(Ok(())) | Err(_) => Err(Failed::Ended("the worker")),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}

/// The clock of this machine.
#[must_use]
pub fn machine_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}
