//! The one place that joins the parts, in the order in which they start: ports are bound before anything works, phones are served
//! before anything can keep them waiting, and everything that was started is stopped.

mod doctor;
mod lifecycle;
mod open;
mod rebuild;
mod reload;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::adapter::clock::SystemClock;
use crate::adapter::journal::{self, JournalBacklog, JournalInbox};
use crate::adapter::memory::{self, MemoryFanout};
use crate::adapter::sqlite::SqliteLedger;
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
use lifecycle::{ready, serve_http, stopping, watchdog};
pub use open::migrate;
pub(crate) use open::open_ledger;
use open::{bind, open_journal, open_ledger_patiently};
pub use rebuild::{Difference, Scope, differences, rebuild};
pub use reload::Reread;

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
    people: TcpListener,
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
        let phones = bind("the ingress", settings.ingress.listen).await?;
        let people = bind("the gateway", settings.gateway.listen).await?;
        let operations = bind("the operations listener", settings.operations.listen).await?;
        let address = |listener: &TcpListener| listener.local_addr().map_err(Failed::Inbox);
        let addresses = Addresses { ingress: address(&phones)?, gateway: address(&people)?, operations: address(&operations)? };
        tracing::info!(ingress = %addresses.ingress, gateway = %addresses.gateway, operations = %addresses.operations, "listening");

        let (journal, last_instant) = open_journal(settings, clock.now())?;
        let inbox = Box::new(JournalInbox::new(&journal).map_err(Failed::Inbox)?);
        let (books, backlog): (Arc<Books>, Arc<dyn Backlog>) = (journal.books(), Arc::new(JournalBacklog::new(&journal)));
        let stamp = Stamp::new(Arc::clone(&clock), last_instant);
        let intake: Arc<dyn Intake> = Arc::new(journal);
        let (site, access, limits) = (settings.ingress.site()?, settings.ingress.access()?, settings.ingress.limits());
        let ingress = Arc::new(Ingress::new(site, access, intake, Arc::clone(&clock), stamp, limits));

        let query = Arc::new(OnceLock::new());
        let health = Health { query: Arc::clone(&query), backlog, books: Arc::clone(&books), clock, metrics };
        let operations = tokio::spawn(serve_http(operations, gateway::operations_router(health), stop.hard.clone()));
        let phones = [
            tokio::spawn(ingress::serve(phones, Arc::clone(&ingress), stop.soft.clone())),
            tokio::spawn(ingress::tick(Arc::clone(&ingress), settings.ingress.tick(), stop.soft.clone(), watchdog())),
            tokio::spawn(reload::reload(ingress, reread, stop.soft.clone())),
        ];

        let Some(ledger) = open_ledger_patiently(settings, &stop.soft).await? else { return Ok(None) };
        let ledger = Arc::new(ledger);
        let told = ledger.last_news(u32::try_from(memory::KEPT_MAX).unwrap_or(u32::MAX)).await?;
        let fanout = Arc::new(MemoryFanout::after(told.last().map_or(0, |news| news.number), told));
        let worker = start_worker(settings, inbox, &ledger, &fanout, books).await?;
        let _first = query.set(Arc::clone(&ledger) as Arc<dyn Query>);
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
        let serving = tokio::spawn(serve_http(self.people, gateway::router(self.gateway), stop.hard.clone()));
        let patience = tokio::spawn(stop.clone().lose_patience());
        ready();
        let worked = tokio::select! {
            // Asked to stop, the worker may already have read everything and ended.
            biased;
            () = stop.soft.cancelled() => None,
            worked = &mut working => Some(worked),
        };
        stopping();
        stop.soft.cancel();
        for part in self.phones {
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
    Arc::new(SystemClock)
}

async fn start_worker(
    settings: &Settings,
    inbox: Box<JournalInbox>,
    ledger: &Arc<SqliteLedger>,
    fanout: &Arc<MemoryFanout>,
    books: Arc<Books>,
) -> Result<Worker, Failed> {
    let (ledger, fanout) = (Arc::clone(ledger) as Arc<dyn Ledger>, Arc::clone(fanout) as Arc<dyn Fanout>);
    Ok(Worker::start(inbox, ledger, fanout, settings.policies()?, books).await?)
}
