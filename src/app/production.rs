//! The production profile: any number of processes, each with some of the roles. No role waits for
//! a server before it starts: it tries again, health says so, and its work waits where it is safe.
//! Workers and gateways ask the database for the time first, for a second at most.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;

use super::clock::{follow, follow_once, once_read};
use super::gateway::gateway_parts;
use super::http::{self, HttpLimits};
use super::ingress::{self, IngressContext, IngressRole};
use super::lifecycle::{keep_watchdog, ready};
use super::listeners::{Listener, Listeners};
use super::maintenance::maintain_fact_tables;
use super::part::Part;
use super::process::Process;
use super::stores::{LivePorts, Stores};
use super::{Context, Reread, ServiceError, Stop};
use crate::adapter::clock::FollowingClock;
use crate::adapter::journal::JournalTail;
use crate::adapter::memory::MemoryOutbox;
use crate::adapter::postgres::{PostgresAddress, PostgresLedger, readers};
use crate::adapter::rabbit::RabbitBroker;
use crate::config::Settings;
use crate::gateway::{self, Feed, Health};
use crate::health::{FlowCounters, HealthCheck};
use crate::ingress::Shipper;
use crate::port::clock::Clock;
use crate::port::query::Query;
use crate::setup::{LiveLinks, PostgresStores, Servers, SetupError, open_journal};
use crate::worker::{OutboxPublisher, WorkerGroup};

/// A watcher that moves to another gateway receives this many notifications again: each gateway
/// receives those of several workers in an order of its own.
const OVERLAP: usize = 32;

/// Starts the roles of a process.
pub(super) async fn start(
    settings: &Settings,
    servers: Servers,
    context: Context,
    listeners: Listeners,
) -> Result<Process, ServiceError> {
    let roles = context.roles;
    let mut starting = Starting::new(settings, servers, context)?;

    let mut ingress = None;
    if let Some(listener) = listeners.ingress {
        ingress = Some(starting.ingress(listener)?);
    }
    if roles.need_database() {
        starting.follow_database().await;
    }
    if roles.worker {
        starting.worker()?;
    }
    if let Some(listener) = listeners.gateway {
        starting.gateway(listener)?;
    }
    if ingress.is_none() {
        starting.watchdog();
    }

    Ok(starting.operations(ingress, listeners.operations))
}

/// A process whose roles are being started.
struct Starting<'s> {
    settings: &'s Settings,
    broker: Arc<RabbitBroker>,
    servers: Servers,
    /// `None` in a process without the roles that read it.
    database: Option<Database>,
    live: Option<LiveLinks>,
    /// That of the machine.
    clock: Arc<dyn Clock>,
    /// That of the database.
    common_clock: Arc<FollowingClock>,
    reread: Reread,
    stop: Stop,
    health: Health,
    parts: Vec<Part>,
    http: Vec<tokio::task::JoinHandle<()>>,
}

struct Database {
    address: PostgresAddress,
    readers: PgPool,
    /// For reads of all partitions.
    ledger: Arc<PostgresLedger>,
}

impl<'s> Starting<'s> {
    fn new(
        settings: &'s Settings,
        servers: Servers,
        context: Context,
    ) -> Result<Starting<'s>, ServiceError> {
        let Context {
            roles,
            clock,
            metrics,
            reread,
            stop,
        } = context;
        let broker = RabbitBroker::new(servers.broker.clone(), servers.layout, Arc::clone(&clock));
        let database = servers
            .database
            .clone()
            .map(|address| Database::open(address, &servers));

        let common_clock = Arc::new(FollowingClock::default());
        let health_clock = if roles.need_database() {
            Arc::clone(&common_clock) as Arc<dyn Clock>
        } else {
            Arc::clone(&clock)
        };
        let mut health = new_health(&health_clock, metrics);
        if let Some(database) = &database {
            // Only this function sets it.
            let _ = health
                .query
                .set(Arc::clone(&database.ledger) as Arc<dyn Query>);
        }
        let live = LiveLinks::open(settings, roles, &mut health.checks)?;

        Ok(Starting {
            settings,
            broker: Arc::new(broker),
            servers,
            database,
            live,
            clock,
            common_clock,
            reread,
            stop,
            health,
            parts: Vec::new(),
            http: Vec::new(),
        })
    }

    /// Adds a dependency to the health report.
    fn check(&mut self, name: &'static str) -> HealthCheck {
        let check = HealthCheck::pending(name);
        self.health.checks.push(check.clone());

        check
    }

    /// Goes by the clock of the database, where there is one.
    async fn follow_database(&mut self) {
        let Some(database) = &self.database else {
            return;
        };

        // Without the database nothing is decided either.
        follow_once(&self.common_clock, database.ledger.as_ref()).await;
        let following = follow(
            Arc::clone(&self.common_clock),
            Arc::clone(&database.ledger) as _,
            self.stop.soft.clone(),
        );
        self.parts.push(Part::spawn("the clock", following));
    }

    /// Serves phones, and ships the journal to the broker.
    fn ingress(&mut self, listener: Listener) -> Result<IngressRole, ServiceError> {
        let check = self.check("publisher");
        let opened = open_journal(self.settings, self.clock.now())?;
        self.health.journal = Some(ingress::journal_health(&opened));

        let tail = JournalTail::new(&opened.journal).map_err(SetupError::JournalRead)?;
        let broker = Arc::clone(&self.broker);
        let shipper = Shipper::new(Box::new(tail), broker, check.clone());
        self.parts.push(Part::spawn(
            "the shipper",
            shipper.run(self.stop.soft.clone(), self.stop.hard.clone()),
        ));

        let context = IngressContext {
            settings: self.settings,
            clock: &self.clock,
            reread: Arc::clone(&self.reread),
            shipper: Some(&check),
            stop: &self.stop,
        };
        ingress::start(context, listener, opened)
    }

    /// Folds the partitions that the broker gives this process.
    fn worker(&mut self) -> Result<(), ServiceError> {
        let group_check = self.check("consumer");
        let outbox_check = self.check("news");
        let Some(database) = &self.database else {
            return Ok(());
        };

        let counters =
            (0..self.servers.layout.partitions).map(|_| Arc::new(FlowCounters::default()));
        self.health.workers = Arc::new(counters.collect());
        let broker = Arc::clone(&self.broker);
        let (publisher, outbox) = OutboxPublisher::new(broker, outbox_check);
        let stores = PostgresStores::new(
            &self.servers,
            database.address.clone(),
            database.readers.clone(),
            self.live.as_ref(),
            &self.settings.live.prefix,
        );
        let group = WorkerGroup {
            broker: Arc::clone(&self.broker) as _,
            stores: Arc::new(stores),
            policies: self.settings.policies()?,
            outbox,
            counters: Arc::clone(&self.health.workers),
            health: group_check,
            balance_every: Duration::from_millis(self.settings.broker.balance_ms),
            in_flight: Arc::default(),
            clock: Arc::clone(&self.common_clock) as _,
            believed: self.settings.worker.believed(),
            owned: Arc::default(),
        };
        let maintenance = maintain_fact_tables(
            Arc::clone(&database.ledger),
            self.settings.database.facts_kept_days,
            Arc::clone(&self.common_clock) as _,
            self.stop.clone(),
        );
        let is_read = self.common_clock.first_reading();
        let maintenance = once_read(&is_read, &self.stop.soft, maintenance);

        self.parts.extend([
            Part::spawn("the maintenance of fact tables", maintenance),
            Part::spawn("the worker", group.run(self.stop.soft.clone())),
            // It ends when all partitions have, and their notifications are published.
            Part::spawn(
                "the outbox",
                publisher.run(self.stop.soft.clone(), self.stop.hard.clone()),
            ),
        ]);
        Ok(())
    }

    /// Serves people and programs.
    fn gateway(&mut self, listener: Listener) -> Result<(), ServiceError> {
        let check = self.check("feed");
        let Some(database) = &self.database else {
            return Ok(());
        };
        let ledger = Arc::clone(&database.ledger);

        let watchers = Arc::new(MemoryOutbox::default().with_overlap(OVERLAP));
        let feed = Feed {
            broker: Arc::clone(&self.broker) as _,
            log: Arc::clone(&ledger) as _,
            watchers: Arc::clone(&watchers) as _,
            health: check,
        };
        self.parts
            .push(Part::spawn("the feed", feed.run(self.stop.soft.clone())));

        let layout = self.servers.layout;
        let partitions = (0..layout.partitions).map(|number| layout.partition_name(number));
        let prefix = &self.settings.live.prefix;
        let live = LivePorts::of(self.live.as_ref(), prefix, partitions.collect());
        let process = uuid::Uuid::now_v7().to_string();
        let clock = Arc::clone(&self.common_clock) as Arc<dyn Clock>;
        let gateway =
            Stores::of(&ledger).gateway(&process, self.settings, &watchers, live, &clock)?;
        let clock_is_read = self.common_clock.first_reading();
        self.parts
            .extend(gateway_parts(&gateway, &self.stop, &clock_is_read));
        let router = gateway::router(gateway, self.settings.gateway.own_hosts());
        let limits = HttpLimits::of_gateway(&self.settings.gateway);
        self.serve(listener, router, limits);

        Ok(())
    }

    /// Keeps the service manager informed. In a process with an ingress, its tick does this.
    fn watchdog(&mut self) {
        let keep = keep_watchdog(self.stop.soft.clone());
        self.parts.push(Part::spawn("the watchdog", keep));
    }

    fn serve(&mut self, listener: Listener, router: axum::Router, limits: HttpLimits) {
        let serving = http::serve(listener.socket, router, limits, self.stop.hard.clone());
        self.http.push(tokio::spawn(serving));
    }

    /// Serves health and metrics: the process is complete.
    fn operations(mut self, ingress: Option<IngressRole>, listener: Listener) -> Process {
        let hosts = self.settings.operations.own_hosts();
        let router = gateway::operations_router(self.health.clone(), hosts);
        self.serve(listener, router, HttpLimits::of_operations());
        ready();

        Process {
            ingress,
            parts: self.parts,
            http: self.http,
            stop: self.stop,
        }
    }
}

impl Database {
    fn open(address: PostgresAddress, servers: &Servers) -> Database {
        let readers = readers(&address);
        let ledger = PostgresLedger::new(&address, readers.clone(), servers.partition(0));

        Database {
            address,
            readers,
            ledger: Arc::new(ledger),
        }
    }
}

/// A health report without dependencies.
fn new_health(clock: &Arc<dyn Clock>, metrics: PrometheusHandle) -> Health {
    Health {
        query: Arc::new(OnceLock::new()),
        journal: None,
        workers: Arc::default(),
        checks: Vec::new(),
        clock: Arc::clone(clock),
        metrics,
    }
}
