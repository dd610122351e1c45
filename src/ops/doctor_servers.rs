//! Checks of the servers: whether they can be reached and are set up.

use super::doctor_service;
use super::finding::Finding;
use crate::adapter::postgres::{self, PartitionAddress, PostgresAddress, PostgresLedger};
use crate::adapter::rabbit::{Administration, BrokerAddress, Depth};
use crate::chain::Chain;
use crate::config::Settings;
use crate::domain::time::At;
use crate::port::broker::BrokerError;
use crate::setup::{LiveLinks, Roles, layout};
use crate::wire::partition::Layout;

pub(super) async fn check_database(
    address: &PostgresAddress,
    settings: &Settings,
    now: At,
) -> Vec<Finding> {
    let migrations = match postgres::migrations(address).await {
        Ok(migrations) => migrations,
        Err(error) => {
            return vec![Finding::bad(
                "database",
                format!(
                    "{}; check `database.url`, and that PostgreSQL runs and knows the user",
                    Chain(&error)
                ),
            )];
        }
    };

    let reachable = Finding::good("database", "PostgreSQL answers");
    let pending = migrations.iter().filter(|one| !one.applied).count();
    if pending > 0 {
        let migrations = Finding::bad(
            "migrations",
            format!(
                "{pending} pending; `cordboard migrate` with the owner of the tables applies them"
            ),
        );
        return vec![reachable, migrations];
    }

    let layout = layout(settings);
    let ledger = PostgresLedger::new(
        address,
        postgres::readers(address),
        PartitionAddress::of(layout, 0),
    );
    let time = doctor_service::check_time(&ledger, settings, now).await;
    ledger.close().await;

    let mut findings = vec![
        reachable,
        Finding::good("migrations", "all applied"),
        check_layout(address, layout).await,
    ];
    findings.extend(time);
    findings
}

async fn check_layout(address: &PostgresAddress, wanted: Layout) -> Finding {
    let in_force = match postgres::layout(address).await {
        Ok(Some(layout)) => layout,
        Ok(None) => {
            let text = format!("{}, created by the first worker", wanted.partitions);
            return Finding::good("partitions", text);
        }
        Err(error) => return Finding::bad("partitions", Chain(&error).to_string()),
    };

    let in_force_text = format!(
        "{} in generation {}",
        in_force.partitions, in_force.generation
    );
    if in_force == wanted {
        return Finding::good("partitions", in_force_text);
    }
    Finding::bad(
        "partitions",
        format!(
            "{in_force_text} are in force, the settings name {} in generation {}; see `Changing \
             the number of partitions` in the runbook",
            wanted.partitions, wanted.generation
        ),
    )
}

pub(super) async fn check_broker(settings: &Settings) -> Vec<Finding> {
    let address: BrokerAddress = match settings.broker.address() {
        Ok(None) => return Vec::new(),
        Ok(Some(address)) => address,
        Err(error) => return vec![Finding::bad("broker", error.to_string())],
    };

    let finding = match queue_depths(&address, layout(settings)).await {
        Ok(depths) => check_queues(&depths),
        Err(error) => Finding::bad(
            "broker",
            format!(
                "{}; check `broker.url`, and that RabbitMQ runs and knows the user",
                Chain(&error)
            ),
        ),
    };
    vec![finding]
}

pub(super) async fn check_live(settings: &Settings) -> Vec<Finding> {
    let links = match LiveLinks::open(settings, Roles::ALL, &mut Vec::new()) {
        Ok(None) => return Vec::new(),
        Ok(Some(links)) => links,
        Err(error) => return vec![Finding::bad("live view", Chain(&error).to_string())],
    };

    let marker = format!("{}calls:shown:p00", settings.live.prefix);
    let cached = format!("{}dropdown:agents:default", settings.live.prefix);
    for (link, key) in [(&links.calls, marker), (&links.cache, cached)] {
        if let Err(reason) = link.check(&key).await {
            return vec![Finding::bad(
                "live view",
                format!("{reason}; check `live.url`, and that Redis runs and knows the user"),
            )];
        }
    }
    vec![Finding::good("live view", "Redis answers")]
}

async fn queue_depths(
    address: &BrokerAddress,
    layout: Layout,
) -> Result<Vec<Option<Depth>>, BrokerError> {
    let broker = Administration::open(address, layout, "cordboard doctor").await?;
    let queues = broker.queues().await;
    broker.close().await;

    Ok(queues?.depths)
}

fn check_queues(depths: &[Option<Depth>]) -> Finding {
    let existing: Vec<_> = depths.iter().flatten().collect();
    let missing = depths.len() - existing.len();
    if existing.is_empty() {
        return Finding::good(
            "broker",
            "RabbitMQ answers; queues are declared at the first start",
        );
    }
    if missing > 0 {
        let text = format!(
            "{missing} of {} queues are missing; the next start of an ingress or worker declares \
             them",
            depths.len()
        );
        return Finding::note("broker", text);
    }

    let waiting: u64 = existing.iter().map(|depth| u64::from(depth.messages)).sum();
    let without_worker = existing.iter().filter(|depth| depth.consumers == 0).count();
    let text = format!(
        "RabbitMQ answers; {waiting} messages wait in {} queues, {without_worker} of them without \
         a worker",
        existing.len()
    );
    if without_worker > 0 && waiting > 0 {
        Finding::note("broker", text)
    } else {
        Finding::good("broker", text)
    }
}
