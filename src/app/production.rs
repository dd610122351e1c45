//! The service with servers: any number of processes, each with the roles it was given. Nothing
//! here waits for a server before it begins; what is away is asked again, said in health, and its
//! work waits where it is safe.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::select_all;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::lifecycle::{end_of, ready, stopping, watchdog};
use super::partitions::Partitions;
use super::phones::{self, Opening, Phones};
use super::place::Servers;
use super::{Context, Listeners, Reread, Roles, ServiceError, Stop, http, place};
use crate::adapter::memory::MemoryOutbox;
use crate::adapter::postgres::{Partition, PostgresLedger, readers};
use crate::adapter::rabbit::{BrokerAddress, Feed, Layout, Mouth, Publisher};
use crate::adapter::redis::{Link, RedisAddress, RedisDirectory, RedisPresence};
use crate::config::Settings;
use crate::domain::time::{At, Span};
use crate::gateway::{CallStates, Gateway, Health};
use crate::health::FlowCounters;
use crate::health::HealthCheck;
use crate::port::clock::Clock;
use crate::port::live::{LiveDirectory, Presence};
use crate::port::query::Query;
use crate::port::states::StateLedger;
use crate::port::watch::Watch;

/// How often the service manager hears that the process works, where phones are not what it works
/// for.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How often room is made for facts; there is enough for months.
const ROOM_EVERY: Duration = Duration::from_hours(1);
/// Gateways hear the news of several workers each in its own order; a watcher who comes to another
/// one hears so many again.
const OVERLAP: usize = 32;

/// One process of several.
pub(super) struct Production {
    phones: Option<Phones>,
    /// What ends when it has passed on everything there is.
    publisher: Option<JoinHandle<()>>,
    /// What ends with the stop.
    workers: Vec<JoinHandle<()>>,
    people: Option<(Arc<TcpListener>, Gateway)>,
    operations: JoinHandle<()>,
    stop: Stop,
}

impl Production {
    pub(super) fn start(
        settings: &Settings,
        servers: Servers,
        surroundings: Context,
        listeners: Listeners,
    ) -> Result<Production, ServiceError> {
        let Context {
            roles,
            clock,
            metrics,
            reread,
            stop,
        } = surroundings;
        let Listeners {
            ingress: door,
            gateway: people,
            operations: signs,
        } = listeners;
        let Servers {
            broker,
            layout,
            database,
        } = servers;
        let part = Partition {
            generation: layout.generation,
            number: 0,
            count: layout.partitions,
        };
        let reading = database.map(|database| {
            let pool = readers(&database);
            (
                Arc::new(PostgresLedger::new(&database, pool.clone(), part)),
                database,
                pool,
            )
        });
        let known = OnceLock::new();
        let mut health = Health {
            query: Arc::new(known),
            journal: None,
            workers: Arc::new(Vec::new()),
            signs: Vec::new(),
            clock: Arc::clone(&clock),
            metrics,
        };
        if let Some((reading, ..)) = &reading {
            let _first = health.query.set(Arc::clone(reading) as Arc<dyn Query>);
        }

        let live = live(settings, roles, &mut health.signs)?;
        let (phones, publisher) = match door {
            Some(door) => {
                let (phones, publisher) = self::phones(
                    settings,
                    door,
                    (broker.clone(), layout),
                    &clock,
                    reread,
                    &mut health,
                    &stop,
                )?;
                (Some(phones), Some(publisher))
            }
            None => (None, None),
        };
        let mut workers = Vec::new();
        if let (true, Some((reading, database, pool))) = (roles.worker, &reading) {
            let (sign, telling) = (
                HealthCheck::pending("consumer"),
                HealthCheck::pending("news"),
            );
            health.signs.extend([sign.clone(), telling.clone()]);
            health.workers = Arc::new(
                (0..layout.partitions)
                    .map(|_| Arc::new(FlowCounters::default()))
                    .collect(),
            );
            // It ends when all partitions have, and everything they had to tell is told.
            let (mouth, speaking) = Mouth::open(broker.clone(), layout, telling, stop.hard.clone());
            let partitions = Partitions {
                room: Arc::default(),
                broker: broker.clone(),
                layout,
                database: database.clone(),
                readers: pool.clone(),
                policies: settings.policies()?,
                mouth,
                live: live.as_ref().map(|(calls, _)| Arc::clone(calls)),
                prefix: settings.live.prefix.clone(),
                books: Arc::clone(&health.workers),
                clock: Arc::clone(&clock),
                sign,
                balance: Duration::from_millis(settings.broker.balance_ms),
                owned: Arc::new(Mutex::default()),
            };
            workers.push(tokio::spawn(keep_room(
                Arc::clone(reading),
                settings.database.facts_kept_days,
                Arc::clone(&clock),
                stop.soft.clone(),
            )));
            workers.extend([tokio::spawn(partitions.run(stop.soft.clone())), speaking]);
        }
        let mut serving = None;
        if let (Some(people), Some((reading, ..))) = (people, reading) {
            let sign = HealthCheck::pending("feed");
            health.signs.push(sign.clone());
            let fanout = Arc::new(MemoryOutbox::default().overlapping(OVERLAP));
            let feed = Feed {
                address: broker,
                layout,
                ledger: Arc::clone(&reading),
                to: Arc::clone(&fanout),
                sign,
            };
            workers.push(tokio::spawn(feed.run(stop.soft.clone())));
            serving = Some((people, gateway(settings, reading, live, fanout, clock)));
        }
        let operations = tokio::spawn(http::serve(
            Arc::new(signs),
            crate::gateway::operations_router(health),
            stop.hard.clone(),
        ));
        ready();
        Ok(Production {
            phones,
            publisher,
            workers,
            people: serving,
            operations,
            stop,
        })
    }

    pub(super) async fn run(self) -> Result<(), ServiceError> {
        let stop = self.stop;
        let serving = self.people.map(|(people, gateway)| {
            tokio::spawn(http::serve(
                people,
                crate::gateway::router(gateway),
                stop.hard.clone(),
            ))
        });
        let patience = tokio::spawn(stop.clone().drain_deadline());
        let (mut phones, mut publisher) = (self.phones, self.publisher);
        let alone = phones.is_none();
        let mut workers = self.workers;
        let unasked = stop.run_until_stopped(async {
            tokio::select! {
                () = ended(phones.as_mut().map(|phones| &mut phones.tasks[..])) => "a part of the ingress",
                () = ended(publisher.as_mut().map(std::slice::from_mut)) => "the publisher",
                () = ended(Some(&mut workers)) => "a part of the worker or the gateway",
                never = alive(alone) => match never {},
            }
        });
        let unasked = unasked.await;
        stopping();
        stop.soft.cancel();
        if let Some(ended) = unasked {
            return Err(ServiceError::Ended(ended));
        }
        if let Some(phones) = phones {
            phones.end(&stop).await;
        }
        let finishing = async {
            for one in workers.into_iter().chain(publisher) {
                end_of(one).await;
            }
        };
        tokio::select! {
            () = finishing => {}
            // What is not passed on or not settled by now is, after the next start.
            () = stop.hard_stop_grace() => {}
        }
        patience.abort();
        stop.hard.cancel();
        if let Some(serving) = serving {
            let _ended = serving.await;
        }
        let _ended = self.operations.await;
        Ok(())
    }
}

/// Serves phones, and takes what they say to the broker.
fn phones(
    settings: &Settings,
    door: (TcpListener, SocketAddr),
    (broker, layout): (BrokerAddress, Layout),
    clock: &Arc<dyn Clock>,
    reread: Reread,
    health: &mut Health,
    stop: &Stop,
) -> Result<(Phones, JoinHandle<()>), ServiceError> {
    let sign = HealthCheck::pending("publisher");
    health.signs.push(sign.clone());
    let opening = Opening::new(settings, &**clock)?;
    health.journal = Some((Arc::clone(&opening.backlog), Arc::clone(&opening.books)));
    let publisher = Publisher::new(broker, layout, opening.tail()?, sign.clone());
    let publishing = tokio::spawn(publisher.run(stop.soft.clone(), stop.hard.clone()));
    Ok((
        phones::serve(settings, door, opening, clock, reread, Some(&sign), stop)?,
        publishing,
    ))
}

/// Sees that there is room for the facts of the coming months, and that those that are old enough
/// go.
async fn keep_room(
    ledger: Arc<PostgresLedger>,
    kept_days: u32,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        let now = clock.now();
        let since = if kept_days == 0 {
            At::START
        } else {
            now - Span::seconds(i64::from(kept_days) * 86_400)
        };
        if let Err(error) = ledger.maintain_fact_partitions(now, since).await {
            tracing::warn!(%error, "the tables of the coming months could not be made; facts go to the common one until they can");
        }
        tokio::select! {
            () = tokio::time::sleep(ROOM_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The two databases of the live view, where there is one.
type Live = Option<(Arc<Link>, Arc<Link>)>;

fn live(
    settings: &Settings,
    roles: Roles,
    signs: &mut Vec<HealthCheck>,
) -> Result<Live, ServiceError> {
    let address: Option<RedisAddress> = settings.live.address()?;
    let Some(address) = address.filter(|_| roles.worker || roles.gateway) else {
        return Ok(None);
    };
    // It is nothing that anything waits for.
    let (calls, cache) = (
        HealthCheck::optional("live view"),
        HealthCheck::optional("cache"),
    );
    signs.extend([calls.clone(), cache.clone()]);
    let open = |database, sign| {
        Link::new(&address, database, sign)
            .map(Arc::new)
            .map_err(ServiceError::Live)
    };
    Ok(Some((
        open(settings.live.calls_database, calls)?,
        open(settings.live.cache_database, cache)?,
    )))
}

fn gateway(
    settings: &Settings,
    ledger: Arc<PostgresLedger>,
    live: Live,
    fanout: Arc<MemoryOutbox>,
    clock: Arc<dyn Clock>,
) -> Gateway {
    let (layout, prefix) = (place::layout(settings), &settings.live.prefix);
    let parts = (0..layout.partitions)
        .map(|part| layout.partition_name(part))
        .collect();
    let shown = live.map(|(calls, cache)| {
        let presence = Arc::new(RedisPresence::new(
            Arc::clone(&calls),
            prefix,
            &uuid::Uuid::now_v7().to_string(),
        )) as Arc<dyn Presence>;
        (
            Arc::new(RedisDirectory::new(calls, cache, prefix, parts)) as Arc<dyn LiveDirectory>,
            presence,
        )
    });
    let (directory, presence) = shown.unzip();
    let states = CallStates {
        ledger: Arc::clone(&ledger) as Arc<dyn StateLedger>,
        directory: directory.clone(),
        clock: Arc::clone(&clock),
    };
    Gateway {
        query: ledger,
        states,
        watch: fanout as Arc<dyn Watch>,
        directory,
        presence,
        clock,
    }
}

/// Waits until one of these has ended, which none of them does by itself; for ever where there are
/// none.
async fn ended(tasks: Option<&mut [JoinHandle<()>]>) {
    match tasks {
        Some(tasks) if !tasks.is_empty() => {
            let _first = select_all(tasks).await;
        }
        _ => std::future::pending().await,
    }
}

/// Tells the service manager that this process works; where phones are served, their promises do.
async fn alive(alone: bool) -> Infallible {
    if !alone {
        return std::future::pending().await;
    }
    let tell = watchdog();
    loop {
        tell();
        tokio::time::sleep(ALIVE_EVERY).await;
    }
}
