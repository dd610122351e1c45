//! The embedded profile: all roles in one process, without servers. The worker reads the journal
//! itself, the ledger is a file, and notifications stay in the process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::accounts::require_accounts;
use super::http::{DeferredRouter, HttpLimits, serve};
use super::ingress::{self, IngressContext};
use super::lifecycle::ready;
use super::listeners::Listeners;
use super::part::Part;
use super::popups::switch_popups;
use super::process::Process;
use super::webhooks::{dispatcher, send_webhooks};
use super::{Context, ServiceError, Stop};
use crate::adapter::journal::{JournalInbox, JournalScan};
use crate::adapter::memory::MemoryOutbox;
use crate::adapter::sqlite::SqliteLedger;
use crate::chain::Chain;
use crate::config::{GatewaySettings, Settings};
use crate::domain::time::At;
use crate::gateway::{self, Access, CallStates, Gateway, Health};
use crate::health::FlowCounters;
use crate::port::clock::Clock;
use crate::port::ledger::{Ledger, LedgerError, RecoveredState};
use crate::port::live::NoLiveView;
use crate::port::outbox::{Notification, NotificationLog, Outbox};
use crate::port::query::Query;
use crate::port::states::StateLedger;
use crate::port::watch::Watch;
use crate::retry::Backoff;
use crate::setup::{SetupError, open_journal, open_ledger};
use crate::wire::policy_file::Policies;
use crate::worker::{Believed, Dependencies, Worker, lookback};

/// Latest notifications, for watchers that come back after a restart.
const NOTIFICATIONS_KEPT: u32 = 1_024;
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
    let health = Health {
        query: Arc::clone(&query),
        journal: Some(ingress::journal_health(&opened)),
        workers: Arc::new(vec![Arc::clone(&counters)]),
        checks: Vec::new(),
        clock: Arc::clone(&clock),
        metrics,
    };
    let operations = serve(
        listeners.operations.socket,
        gateway::operations_router(health, settings.operations.own_hosts()),
        HttpLimits::of_operations(),
        stop.hard.clone(),
    );
    let operations = tokio::spawn(operations);

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
    let _ = query.set(Arc::clone(&database.ledger) as Arc<dyn Query>);
    let gateway = database.gateway(&settings.gateway, &policies, &clock)?;
    let popups = switch_popups(&gateway, &stop);
    let webhooks = send_webhooks(&gateway, &stop);
    require_accounts(&gateway.access, &settings.gateway).await?;
    deferred.set(gateway::router(gateway, settings.gateway.own_hosts()));

    let inbox = database.inbox(inbox, &found, &counters);
    let worker = database.worker(
        inbox,
        counters,
        policies,
        &clock,
        settings.worker.believed_embedded(),
    );
    let worker = Part::spawn_fallible("the worker", worker.run(stop.hard.clone()));

    Ok(Some(Process {
        ingress: Some(ingress),
        parts: vec![worker, popups, webhooks],
        http: vec![people, operations],
        stop,
    }))
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
    ledger: Arc<SqliteLedger>,
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
        let ledger = open_ledger(settings).await?;
        ledger.migrate().await?;
        let state = ledger.take_over(lookback(policies, believed)).await?;
        let recent = ledger.recent(NOTIFICATIONS_KEPT).await?;

        let recent: Vec<Notification> = recent.into_iter().map(|(_, one)| one).collect();
        let watchers = MemoryOutbox::resume_after_number(state.last_notification, recent);
        Ok(Database {
            ledger: Arc::new(ledger),
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
        settings: &GatewaySettings,
        policies: &Policies,
        clock: &Arc<dyn Clock>,
    ) -> Result<Gateway, ServiceError> {
        Ok(Gateway {
            query: Arc::clone(&self.ledger) as Arc<dyn Query>,
            states: CallStates {
                ledger: Arc::clone(&self.ledger) as Arc<dyn StateLedger>,
                directory: None,
                clock: Arc::clone(clock),
            },
            watch: Arc::clone(&self.watchers) as Arc<dyn Watch>,
            directory: None,
            presence: None,
            clock: Arc::clone(clock),
            watchers: settings.watcher_limit(),
            access: Arc::new(Access::new(
                Arc::clone(&self.ledger) as _,
                Arc::clone(clock),
                settings.is_open_allowed(),
            )),
            desk: Arc::clone(&self.ledger) as _,
            desk_goal_minutes: settings.desk_goal_minutes,
            people: Arc::clone(&self.ledger) as _,
            claims: Arc::clone(&self.ledger) as _,
            popups: Arc::default(),
            webhooks: dispatcher(
                settings,
                Arc::clone(&self.ledger) as _,
                Arc::clone(&self.watchers) as _,
                clock,
            )?,
            history: Arc::clone(&self.ledger) as _,
            policies: policies.clone(),
        })
    }

    fn worker(
        self,
        inbox: JournalInbox,
        counters: Arc<FlowCounters>,
        policies: Policies,
        clock: &Arc<dyn Clock>,
        believed: Believed,
    ) -> Worker {
        let dependencies = Dependencies {
            number: 0,
            inbox: Box::new(inbox),
            ledger: self.ledger as Arc<dyn Ledger>,
            outbox: self.watchers as Arc<dyn Outbox>,
            live: Arc::new(NoLiveView),
            counters,
            in_flight: Arc::default(),
            clock: Arc::clone(clock),
            believed,
        };

        Worker::new(dependencies, policies, self.state)
    }
}
