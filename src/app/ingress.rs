//! The ingress role: requests of phones, ticks, and the reload of access rules.

use std::sync::Arc;

use super::ServiceError;
use super::handover::take_handed_over;
use super::lifecycle::{Stop, watchdog};
use super::listeners::Listener;
use super::part::Part;
use super::reload::{Reread, reload};
use crate::adapter::journal::{ConfirmedIntake, Handover, JournalBacklog};
use crate::config::{Durability, Settings};
use crate::health::{FlowCounters, HealthCheck};
use crate::ingress::stamp::Stamp;
use crate::ingress::{self, Ingress};
use crate::port::clock::Clock;
use crate::port::intake::{Intake, JournalDepth};
use crate::setup::{OpenJournal, SetupError};
use crate::wire::message::IngressId;

/// The parts of the ingress.
pub(super) struct IngressRole {
    parts: Vec<Part>,
    ingress: Arc<Ingress>,
    /// Whether workers wait for its ticks.
    is_one_of_many: bool,
}

/// The resources of the process for the ingress role.
pub(super) struct IngressContext<'c> {
    pub settings: &'c Settings,
    pub clock: &'c Arc<dyn Clock>,
    pub reread: Reread,
    /// The health of the shipper; `None` where a worker reads the journal itself.
    pub shipper: Option<&'c HealthCheck>,
    pub stop: &'c Stop,
}

/// The journal for the health report. It does not keep the journal open.
pub(super) fn journal_health(opened: &OpenJournal) -> (Arc<dyn JournalDepth>, Arc<FlowCounters>) {
    (
        Arc::new(JournalBacklog::new(&opened.journal)),
        opened.journal.flow_counters(),
    )
}

/// Serves phones from now on.
pub(super) fn start(
    context: IngressContext<'_>,
    listener: Listener,
    opened: OpenJournal,
) -> Result<IngressRole, ServiceError> {
    let settings = &context.settings.ingress;
    let clock = context.clock;
    let stop = &context.stop.soft;
    let is_one_of_many = context.shipper.is_some();

    let id = if is_one_of_many {
        let id = opened.journal.id().map_err(SetupError::JournalRead)?;
        IngressId(id.as_u128())
    } else {
        IngressId::default()
    };
    let believed = context.settings.worker.believed();
    let stamp = Stamp::new(Arc::clone(clock), opened.last_receipt)
        .with_ingress(id)
        .with_ahead_max(believed.window.ahead_max);
    let intake: Arc<dyn Intake> = match (settings.durability, context.shipper) {
        (Durability::Broker, Some(shipper)) => {
            Arc::new(ConfirmedIntake::new(opened.journal, shipper.clone()))
        }
        _ => Arc::new(opened.journal),
    };
    let handover = take_handed_over(
        Handover::of(&context.settings.data_dir),
        Arc::clone(&intake),
        stop.clone(),
    );
    let ingress = Arc::new(Ingress::new(
        settings.site()?,
        settings.access()?,
        intake,
        Arc::clone(clock),
        stamp,
        settings.limits(),
    ));

    let serve = ingress::serve(listener.socket, Arc::clone(&ingress), stop.clone());
    let tick = ingress::send_ticks(
        Arc::clone(&ingress),
        settings.tick(),
        stop.clone(),
        watchdog(),
    );
    let reload = reload(
        Arc::clone(&ingress),
        listener.address,
        context.reread,
        stop.clone(),
    );
    Ok(IngressRole {
        parts: vec![
            Part::spawn("the ingress", serve),
            Part::spawn("the ingress's tick", tick),
            Part::spawn("the reload of access rules", reload),
            Part::spawn("the handover of events", handover),
        ],
        ingress,
        is_one_of_many,
    })
}

impl IngressRole {
    pub(super) fn parts(&mut self) -> &mut [Part] {
        &mut self.parts
    }

    /// After the soft stop: waits for requests under way. The journal ends with the role.
    pub(super) async fn end(self, stop: &Stop) {
        for mut part in self.parts {
            tokio::select! {
                // A panic was logged.
                _ = part.join() => {}
                () = stop.hard.cancelled() => {}
            }
        }

        if self.is_one_of_many {
            ingress::send_last_tick(&self.ingress).await;
        }
    }
}
