//! The one place that joins the parts, in the order in which they start: ports are bound before anything works, and everything that was
//! started is stopped.

mod rebuild;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::adapter::clock::SystemClock;
use crate::adapter::journal::{self, Journal, JournalInbox};
use crate::adapter::memory::MemoryFanout;
use crate::adapter::sqlite::{MigrationStatus, SqliteLedger};
use crate::config::{BadConfig, Settings};
use crate::domain::time::At;
use crate::gateway::{self, Gateway, Health};
use crate::ingress::stamp::Stamp;
use crate::ingress::{self, Ingress};
use crate::port::clock::Clock;
use crate::port::fanout::Fanout;
use crate::port::intake::Intake;
use crate::port::ledger::{Ledger, LedgerError};
use crate::port::query::Query;
use crate::port::watch::Watch;
use crate::wire::message::Message;
use crate::worker::{Worker, WorkerError};

pub use rebuild::{Difference, differences};

/// How often the ingress promises that everything received so far has been sent.
const TICK: Duration = Duration::from_secs(1);

/// Why the service could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error("{what} cannot listen on {address}: {source}")]
    Bind { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("{path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    #[error("the journal cannot be read: {0}")]
    Inbox(io::Error),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
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

/// All roles in one process, started and not yet running.
pub struct Service {
    pub addresses: Addresses,
    listeners: [TcpListener; 3],
    ingress: Arc<Ingress>,
    journal: Journal,
    worker: Worker,
    gateway: Gateway,
    health: Health,
    settings: Settings,
}

impl Service {
    /// Opens everything, in the order in which it depends on each other.
    ///
    /// # Errors
    /// Says what cannot be opened, and why.
    pub async fn start(settings: Settings, metrics: PrometheusHandle) -> Result<Service, Failed> {
        let listeners = [
            bind("the ingress", settings.ingress.listen).await?,
            bind("the gateway", settings.gateway.listen).await?,
            bind("the operations listener", settings.operations.listen).await?,
        ];
        let address = |listener: &TcpListener, fallback: SocketAddr| listener.local_addr().unwrap_or(fallback);
        let addresses = Addresses {
            ingress: address(&listeners[0], settings.ingress.listen),
            gateway: address(&listeners[1], settings.gateway.listen),
            operations: address(&listeners[2], settings.operations.listen),
        };
        let (journal, last_instant) = open_journal(&settings)?;
        let ledger = Arc::new(open_ledger(&settings).await?);
        ledger.migrate().await?;
        let fanout = Arc::new(MemoryFanout::default());
        let inbox = Box::new(JournalInbox::new(&journal).map_err(Failed::Inbox)?);
        let policies = settings.policies()?;
        let worker = Worker::start(inbox, Arc::clone(&ledger) as Arc<dyn Ledger>, Arc::clone(&fanout) as Arc<dyn Fanout>, policies).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let stamp = Stamp::new(Arc::clone(&clock), last_instant);
        let intake: Arc<dyn Intake> = Arc::new(journal.clone());
        let ingress = Arc::new(Ingress::new(settings.site()?, settings.access()?, intake, clock, stamp, settings.limits()));
        let query: Arc<dyn Query> = ledger;
        let gateway = Gateway { query: Arc::clone(&query), watch: fanout as Arc<dyn Watch> };
        Ok(Service { addresses, listeners, ingress, journal, worker, gateway, health: Health { query, metrics }, settings })
    }

    /// Works until `stop`, then finishes what is under way: first no more requests, then the worker, then the rest.
    ///
    /// # Errors
    /// When a part failed that cannot go on.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Failed> {
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let [phones, people, operations] = self.listeners;
        let accepting = tokio::spawn(ingress::serve(phones, Arc::clone(&self.ingress), soft.clone()));
        let ticking = tokio::spawn(tick(Arc::clone(&self.ingress), self.journal.clone(), soft.clone()));
        let reloading = tokio::spawn(reload(Arc::clone(&self.ingress), self.settings, soft.clone()));
        let mut working = tokio::spawn(self.worker.run(hard.clone()));
        let serving = tokio::spawn(serve_http(people, gateway::router(self.gateway), hard.clone()));
        let signs = tokio::spawn(serve_http(operations, gateway::operations_router(self.health), hard.clone()));
        ready();
        let worked = tokio::select! {
            () = stop => None,
            worked = &mut working => Some(worked),
        };
        stopping();
        soft.cancel();
        let _settled = (accepting.await, ticking.await, reloading.await);
        // With the last writer gone the journal ends, and the worker with it, when it has read everything.
        drop((self.ingress, self.journal));
        let asked_to = worked.is_none();
        let worked = if let Some(worked) = worked {
            worked
        } else {
            // Who has not read everything by then is asked to end where it is.
            let patience = tokio::spawn(cancel_after(DRAIN, hard.clone()));
            let worked = working.await;
            patience.abort();
            worked
        };
        hard.cancel();
        let _settled = (serving.await, signs.await);
        match worked {
            Ok(Ok(())) if asked_to => Ok(()),
            Ok(Ok(())) | Err(_) => Err(Failed::Ended("the worker")),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, Failed> {
    TcpListener::bind(address).await.map_err(|source| Failed::Bind { what, address, source })
}

/// The journal, and the last instant that was given to anything in it.
fn open_journal(settings: &Settings) -> Result<(Journal, At), Failed> {
    let limits = journal::Limits { segment_bytes: settings.journal.segment_bytes, total_bytes: settings.journal.total_bytes_max };
    let (journal, opened) = Journal::open(&settings.data_dir.join("journal"), limits)?;
    for damage in &opened.damages {
        tracing::error!(segment = %damage.segment.display(), offset = damage.offset, bytes = damage.bytes, "a stretch of the journal cannot be read; the segment was copied to `corrupt`, the rest of it is used");
    }
    if opened.torn_bytes > 0 {
        tracing::warn!(bytes = opened.torn_bytes, "an interrupted append was cut off; nobody had been answered for it");
    }
    let last = opened.last.and_then(|message| Message::decode(&message).ok()).map_or(At(0), |message| message.at());
    Ok((journal, last))
}

pub(crate) async fn open_ledger(settings: &Settings) -> Result<SqliteLedger, Failed> {
    let folder = &settings.data_dir;
    std::fs::create_dir_all(folder).map_err(|source| Failed::Folder { path: folder.clone(), source })?;
    Ok(SqliteLedger::open(&folder.join("cordboard.db")).await?)
}

/// Brings the database up to date, or only says what is missing.
///
/// # Errors
/// When the database cannot be opened or changed.
pub async fn migrate(settings: &Settings, only_status: bool) -> Result<Vec<MigrationStatus>, Failed> {
    let ledger = open_ledger(settings).await?;
    if !only_status {
        ledger.migrate().await?;
    }
    let status = ledger.migrations().await?;
    ledger.close().await;
    Ok(status)
}

/// Lets time pass for the worker: whatever was received before the promise stands before it in the journal.
async fn tick(ingress: Arc<Ingress>, journal: Journal, stop: CancellationToken) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.cancelled() => return,
        }
        let promise = Message::Tick(ingress.stamp.promise());
        if let Err(error) = journal.append(promise.encode()).await {
            tracing::warn!(%error, "time stands still: the journal takes nothing");
        }
    }
}

/// SIGHUP: keys and networks are read again. What cannot be read changes nothing.
async fn reload(ingress: Arc<Ingress>, settings: Settings, stop: CancellationToken) {
    let Ok(mut hangups) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else { return };
    loop {
        tokio::select! {
            _ = hangups.recv() => {}
            () = stop.cancelled() => return,
        }
        match settings.access() {
            Ok(access) => {
                *ingress.access.write().unwrap_or_else(PoisonError::into_inner) = access;
                tracing::info!("keys and networks were read again");
            }
            Err(error) => tracing::error!(%error, "keys and networks stay as they were"),
        }
    }
}

async fn serve_http(listener: TcpListener, router: axum::Router, stop: CancellationToken) {
    let served = axum::serve(listener, router).with_graceful_shutdown({
        let stop = stop.clone();
        async move { stop.cancelled().await }
    });
    // Event streams never end by themselves: after the stop nobody waits for them.
    tokio::select! {
        _ = served => {}
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => {}
    }
}

/// How long the worker may take after the stop to read what was received before it.
const DRAIN: Duration = Duration::from_secs(10);

async fn cancel_after(patience: Duration, hard: CancellationToken) {
    tokio::time::sleep(patience).await;
    tracing::warn!("not everything received has been worked on; the rest follows at the next start");
    hard.cancel();
}

/// How long answers under way may take after the stop.
const GRACE: Duration = Duration::from_millis(500);

fn ready() {
    // Without a service manager there is nobody to tell.
    let _told = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

fn stopping() {
    let _told = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}
