//! The embedded profile: all roles in one process, without a broker. The worker reads the journal
//! itself, and notifications stay in the process. The ledger is a file, or PostgreSQL; Redis may show
//! the live view.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::accounts::require_accounts;
use super::gateway::gateway_parts;
use super::http::{DeferredRouter, HttpLimits, serve};
use super::ingress::{self, IngressContext};
use super::lifecycle::ready;
use super::listeners::Listeners;
use super::maintenance::maintain_fact_tables;
use super::part::Part;
use super::process::Process;
use super::stores::{LivePorts, Stores};
use super::{Context, ServiceError, Stop};
use crate::adapter::journal::{JournalInbox, JournalScan};
use crate::adapter::memory::MemoryOutbox;
use crate::adapter::postgres::{PartitionAddress, PostgresLedger, readers};
use crate::adapter::redis::RedisLive;
use crate::chain::Chain;
use crate::config::Settings;
use crate::domain::time::At;
use crate::gateway::{self, Gateway, Health};
use crate::health::FlowCounters;
use crate::port::clock::Clock;
use crate::port::ledger::{LedgerError, RecoveredState};
use crate::port::live::{LiveView, NoLiveView};
use crate::port::outbox::{Notification, Outbox};
use crate::retry::Backoff;
use crate::setup::{
    DatabaseAddress, LiveLinks, Roles, SetupError, database, layout, open_journal, open_ledger_of,
};
use crate::wire::policy_file::Policies;
use crate::worker::{Believed, Dependencies, Worker, lookback};

/// Latest notifications, for watchers that come back after a restart.
const NOTIFICATIONS_KEPT: u32 = 1_024;
/// The name of a process that has its database alone.
const ONLY_PROCESS: &str = "only";
const OPEN_RETRY_FIRST: Duration = Duration::from_millis(250);

/// Starts all roles. `None` when the stop came before the database could be opened.
pub(super) async fn start(
    settings: &Settings,
    context: Context,
    listeners: Listeners,
) -> Result<Option<Process>, ServiceError> {
    let Context {
        clock,
        metrics,
        reread,
        stop,
        ..
    } = context;
    let (Some(ingress_listener), Some(gateway_listener)) = (listeners.ingress, listeners.gateway)
    else {
        return Err(ServiceError::Ended("the ingress"));
    };

    // Health is served first: a start that waits for the database can be seen.
    let mut opened = open_journal(settings, clock.now())?;
    let counters = opened.journal.flow_counters();
    let query = Arc::new(OnceLock::new());
    let mut checks = Vec::new();
    let live = LiveLinks::open(settings, Roles::ALL, &mut checks)?;
    let health = Health {
        query: Arc::clone(&query),
        journal: Some(ingress::journal_health(&opened)),
        workers: Arc::new(vec![Arc::clone(&counters)]),
        checks,
        clock: Arc::clone(&clock),
        metrics,
    };
    let operations = serve_operations(settings, listeners.operations.socket, health, &stop);

    let inbox = JournalInbox::new(&opened.journal).map_err(SetupError::JournalRead)?;
    let found = std::mem::take(&mut opened.found);
    let ingress_context = IngressContext {
        settings,
        clock: &clock,
        reread,
        shipper: None,
        stop: &stop,
    };
    let ingress = ingress::start(ingress_context, ingress_listener, opened)?;
    // Events are accepted from here on. A service manager that waited for the database as well
    // would end a process that can do its work.
    ready();

    let (deferred, people) = serve_gateway(settings, gateway_listener.socket, &stop);

    let policies = settings.policies()?;
    let Some(database) = Database::open(settings, &policies, &clock, &stop.soft).await? else {
        return Ok(None);
    };
    // Only this function sets it.
    let _ = query.set(Arc::clone(&database.stores.query));
    let gateway = database.gateway(settings, live.as_ref(), &clock)?;
    require_accounts(&gateway.access, &settings.gateway).await?;
    // The clock is that of this machine.
    let clock_is_read = CancellationToken::new();
    clock_is_read.cancel();
    let mut parts = gateway_parts(&gateway, &stop, &clock_is_read);
    parts.extend(database.maintenance(settings, &clock, &stop));
    deferred.set(gateway::router(gateway, settings.gateway.own_hosts()));

    let inbox = database.inbox(inbox, &found, &counters);
    let view = live_view(settings, live.as_ref());
    let believed = settings.worker.believed_embedded();
    let worker = database.worker((inbox, view), counters, policies, &clock, believed);
    let worker = worker.run(stop.hard.clone());
    parts.push(Part::spawn_fallible("the worker", worker));

    Ok(Some(Process {
        ingress: Some(ingress),
        parts,
        http: vec![people, operations],
        stop,
    }))
}

/// The live view of the only partition.
fn live_view(settings: &Settings, links: Option<&LiveLinks>) -> Arc<dyn LiveView> {
    let partition = layout(settings).partition_name(0);

    match links {
        Some(links) => Arc::new(RedisLive::new(
            Arc::clone(&links.calls),
            &settings.live.prefix,
            &partition,
        )),
        None => Arc::new(NoLiveView),
    }
}

fn serve_operations(
    settings: &Settings,
    listener: TcpListener,
    health: Health,
    stop: &Stop,
) -> JoinHandle<()> {
    let serving = serve(
        listener,
        gateway::operations_router(health, settings.operations.own_hosts()),
        HttpLimits::of_operations(),
        stop.hard.clone(),
    );

    tokio::spawn(serving)
}

/// Serves the gateway, which answers 503 until its router is set.
fn serve_gateway(
    settings: &Settings,
    listener: TcpListener,
    stop: &Stop,
) -> (Arc<DeferredRouter>, JoinHandle<()>) {
    let deferred = Arc::new(DeferredRouter::default());
    let serving = serve(
        listener,
        Arc::clone(&deferred).router(),
        HttpLimits::of_gateway(&settings.gateway),
        stop.hard.clone(),
    );

    (deferred, tokio::spawn(serving))
}

/// The open ledger with its recovered state.
struct Database {
    stores: Stores,
    /// PostgreSQL, which needs maintenance; `None` for a file.
    server: Option<Arc<PostgresLedger>>,
    state: RecoveredState,
    watchers: Arc<MemoryOutbox>,
}

impl Database {
    /// Opens the ledger, and tries again while another process holds it or its disk is full: phones
    /// are served without it. `None` when the stop came first.
    async fn open(
        settings: &Settings,
        policies: &Policies,
        clock: &Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Result<Option<Database>, ServiceError> {
        let mut backoff = Backoff::from(OPEN_RETRY_FIRST);

        loop {
            match Database::try_open(settings, policies, clock.now()).await {
                Ok(database) => return Ok(Some(database)),
                Err(SetupError::Ledger(error)) if !matches!(error, LedgerError::Fenced) => {
                    tracing::error!(
                        error = %Chain(&error),
                        retry_in_ms = backoff.next_delay().as_millis(),
                        "database unavailable; events are accepted and kept in the journal \
                         meanwhile. `cordboard doctor` says more"
                    );
                }
                Err(error) => return Err(error.into()),
            }

            if !backoff.wait(stop).await {
                return Ok(None);
            }
        }
    }

    async fn try_open(
        settings: &Settings,
        policies: &Policies,
        now: At,
    ) -> Result<Database, SetupError> {
        let believed = settings.worker.believed_embedded().instants(now);
        let (stores, server) = match database(settings)? {
            DatabaseAddress::File(path) => {
                let ledger = open_ledger_of(settings, &path).await?;
                ledger.migrate().await?;
                (Stores::of(&Arc::new(ledger)), None)
            }
            DatabaseAddress::Server(address) => {
                let partition = PartitionAddress::of(layout(settings), 0);
                let ledger = PostgresLedger::new(&address, readers(&address), partition);
                let ledger = Arc::new(ledger);
                (Stores::of(&ledger), Some(ledger))
            }
        };
        let state = stores
            .ledger
            .take_over(lookback(policies, believed))
            .await?;
        let recent = stores.log.recent(NOTIFICATIONS_KEPT).await?;

        let recent: Vec<Notification> = recent.into_iter().map(|(_, one)| one).collect();
        let watchers = MemoryOutbox::resume_after_number(state.last_notification, recent);
        Ok(Database {
            stores,
            server,
            state,
            watchers: Arc::new(watchers),
        })
    }

    /// The inbox of this database. A new database reads everything that the journal still holds.
    fn inbox(
        &self,
        mut inbox: JournalInbox,
        found: &JournalScan,
        counters: &FlowCounters,
    ) -> JournalInbox {
        if self.state.watermark.is_none() && found.unreleased < found.records {
            tracing::warn!(
                "the database is new and the journal is not: all events in the journal are read \
                 again. Older calls are only in the former database"
            );
            inbox.rewind_to_start(found, counters);
        }

        inbox
    }

    fn gateway(
        &self,
        settings: &Settings,
        links: Option<&LiveLinks>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Gateway, ServiceError> {
        let partition = layout(settings).partition_name(0);
        let live = LivePorts::of(links, &settings.live.prefix, vec![partition]);

        self.stores
            .gateway(ONLY_PROCESS, settings, &self.watchers, live, clock)
    }

    fn maintenance(
        &self,
        settings: &Settings,
        clock: &Arc<dyn Clock>,
        stop: &Stop,
    ) -> Option<Part> {
        let maintained = maintain_fact_tables(
            Arc::clone(self.server.as_ref()?),
            settings.database.facts_kept_days,
            Arc::clone(clock),
            stop.clone(),
        );

        Some(Part::spawn("the maintenance of fact tables", maintained))
    }

    fn worker(
        self,
        (inbox, live): (JournalInbox, Arc<dyn LiveView>),
        counters: Arc<FlowCounters>,
        policies: Policies,
        clock: &Arc<dyn Clock>,
        believed: Believed,
    ) -> Worker {
        let dependencies = Dependencies {
            number: 0,
            inbox: Box::new(inbox),
            ledger: self.stores.ledger,
            outbox: self.watchers as Arc<dyn Outbox>,
            live,
            counters,
            in_flight: Arc::default(),
            clock: Arc::clone(clock),
            believed,
        };

        Worker::new(dependencies, policies, self.state)
    }
}
