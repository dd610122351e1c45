//! What `doctor` sees of the servers: can they be reached, are they as they must be.

use super::doctor::{Finding, Grade, finding};
use super::place;
use crate::adapter::postgres::{self, PostgresAddress};
use crate::adapter::rabbit::{BrokerAddress, BrokerError, depths};
use crate::config::Settings;

pub(super) async fn database(address: &PostgresAddress, settings: &Settings) -> Vec<Finding> {
    let migrations = match postgres::migrations(address).await {
        Ok(migrations) => migrations,
        Err(error) => {
            return vec![finding(
                "database",
                Grade::Bad,
                format!(
                    "{error}; check `database.url`, and that PostgreSQL runs and knows the user"
                ),
            )];
        }
    };
    let mut findings = vec![finding("database", Grade::Good, "PostgreSQL answers")];
    let pending = migrations
        .iter()
        .filter(|migration| !migration.applied)
        .count();
    findings.push(match pending {
        0 => finding("migrations", Grade::Good, "all applied"),
        pending => finding(
            "migrations",
            Grade::Bad,
            format!(
                "{pending} pending; `cordboard migrate` with the owner of the tables applies them"
            ),
        ),
    });
    if pending > 0 {
        return findings;
    }
    let told = place::layout(settings);
    findings.push(match postgres::layout(address).await {
        Err(error) => finding("partitions", Grade::Bad, error.to_string()),
        Ok(None) => finding("partitions", Grade::Good, format!("{}, laid out by the first worker", told.partitions)),
        Ok(Some(layout)) if (layout.generation, layout.partitions) == (told.generation, told.partitions) => {
            finding("partitions", Grade::Good, format!("{} in generation {}", layout.partitions, layout.generation))
        }
        Ok(Some(layout)) => {
            let told = format!(
                "{} in generation {} are in force, the settings say {} in generation {}; see `Changing the number of partitions` in the runbook",
                layout.partitions, layout.generation, told.partitions, told.generation
            );
            finding("partitions", Grade::Bad, told)
        }
    });
    findings
}

pub(super) async fn broker(settings: &Settings) -> Vec<Finding> {
    let address: BrokerAddress = match settings.broker.address() {
        Ok(None) => return Vec::new(),
        Ok(Some(address)) => address,
        Err(error) => return vec![finding("broker", Grade::Bad, error.to_string())],
    };
    match see_broker(&address, settings).await {
        Ok(findings) => findings,
        Err(error) => {
            vec![finding(
                "broker",
                Grade::Bad,
                format!("{error}; check `broker.url`, and that RabbitMQ runs and knows the user"),
            )]
        }
    }
}

async fn see_broker(
    address: &BrokerAddress,
    settings: &Settings,
) -> Result<Vec<Finding>, BrokerError> {
    let layout = place::layout(settings);
    let connection = address.connect("cordboard doctor").await?;
    let depths = depths(&connection, layout).await?;
    let _closed = connection.close(200, "done".into()).await;
    let there: Vec<_> = depths.iter().flatten().collect();
    if there.is_empty() {
        return Ok(vec![finding(
            "broker",
            Grade::Good,
            "RabbitMQ answers; queues are made at the first start",
        )]);
    }
    if there.len() < depths.len() {
        let told = format!(
            "{} of {} queues are missing; the next start of an ingress or worker makes them",
            depths.len() - there.len(),
            depths.len()
        );
        return Ok(vec![finding("broker", Grade::Note, told)]);
    }
    let waiting: u64 = there.iter().map(|depth| u64::from(depth.messages)).sum();
    let alone = there.iter().filter(|depth| depth.consumers == 0).count();
    let told = format!(
        "RabbitMQ answers; {waiting} messages wait in {} queues, {alone} of them without a worker",
        there.len()
    );
    Ok(vec![finding(
        "broker",
        if alone > 0 && waiting > 0 {
            Grade::Note
        } else {
            Grade::Good
        },
        told,
    )])
}
