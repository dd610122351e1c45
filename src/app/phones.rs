//! The side of the phones: listening, the journal, the requests, the promises.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::ServiceError;
use super::lifecycle::{Stop, end_of, watchdog};
use super::open::open_journal;
use super::reload::{Reread, reload};
use crate::adapter::journal::{
    ConfirmedIntake, Journal, JournalBacklog, JournalInbox, JournalTail, Opened,
};
use crate::config::{Durability, Settings};
use crate::health::FlowCounters;
use crate::health::HealthCheck;
use crate::ingress::stamp::Stamp;
use crate::ingress::{self, Ingress};
use crate::port::clock::Clock;
use crate::port::intake::{Backlog, Intake};
use crate::wire::message::IngressId;

/// What serves phones. None of it ends by itself.
pub(super) struct Phones {
    pub tasks: [JoinHandle<()>; 3],
    ingress: Arc<Ingress>,
    /// Others may wait for its promises.
    is_one_of_many: bool,
}

/// The journal, and who reads it.
pub(super) struct Opening {
    journal: Journal,
    pub found: Opened,
    last_instant: crate::domain::time::At,
    pub books: Arc<FlowCounters>,
    pub backlog: Arc<dyn Backlog>,
}

impl Opening {
    pub(super) fn new(settings: &Settings, clock: &dyn Clock) -> Result<Opening, ServiceError> {
        let (journal, found, last_instant) = open_journal(settings, clock.now())?;
        let (books, backlog): (_, Arc<dyn Backlog>) =
            (journal.books(), Arc::new(JournalBacklog::new(&journal)));
        Ok(Opening {
            journal,
            found,
            last_instant,
            books,
            backlog,
        })
    }

    /// Without a broker the worker reads the journal itself.
    pub(super) fn inbox(&self) -> Result<JournalInbox, ServiceError> {
        JournalInbox::new(&self.journal).map_err(ServiceError::Inbox)
    }

    pub(super) fn tail(&self) -> Result<JournalTail, ServiceError> {
        JournalTail::new(&self.journal).map_err(ServiceError::Inbox)
    }
}

/// Serves phones from here on. `broker` is the sign of the broker that the journal is taken to,
/// where there is one.
pub(super) fn serve(
    settings: &Settings,
    (listener, address): (TcpListener, SocketAddr),
    opening: Opening,
    clock: &Arc<dyn Clock>,
    reread: Reread,
    broker: Option<&HealthCheck>,
    stop: &Stop,
) -> Result<Phones, ServiceError> {
    let is_one_of_many = broker.is_some();
    let id = if is_one_of_many {
        IngressId(opening.journal.id().map_err(ServiceError::Inbox)?.as_u128())
    } else {
        IngressId::default()
    };
    let stamp = Stamp::new(Arc::clone(clock), opening.last_instant).of(id);
    let intake: Arc<dyn Intake> = match (settings.ingress.durability, broker) {
        (Durability::Broker, Some(sign)) => {
            Arc::new(ConfirmedIntake::new(opening.journal, sign.clone()))
        }
        _ => Arc::new(opening.journal),
    };
    let (site, access, limits) = (
        settings.ingress.site()?,
        settings.ingress.access()?,
        settings.ingress.limits(),
    );
    let ingress = Arc::new(Ingress::new(
        site,
        access,
        intake,
        Arc::clone(clock),
        stamp,
        limits,
    ));
    let tasks = [
        tokio::spawn(ingress::serve(
            listener,
            Arc::clone(&ingress),
            stop.soft.clone(),
        )),
        tokio::spawn(ingress::tick(
            Arc::clone(&ingress),
            settings.ingress.tick(),
            stop.soft.clone(),
            watchdog(),
        )),
        tokio::spawn(reload(
            Arc::clone(&ingress),
            address,
            reread,
            stop.soft.clone(),
        )),
    ];
    Ok(Phones {
        tasks,
        ingress,
        is_one_of_many,
    })
}

impl Phones {
    /// After the soft stop: waits for the requests under way, and takes leave. With the last of
    /// this the journal ends.
    pub(super) async fn end(self, stop: &Stop) {
        for part in self.tasks {
            tokio::select! {
                () = end_of(part) => {}
                () = stop.hard.cancelled() => {}
            }
        }
        if self.is_one_of_many {
            ingress::leave(&self.ingress).await;
        }
    }
}
