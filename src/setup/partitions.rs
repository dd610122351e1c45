//! The check at the start that no other number of partitions is in force: an ingress with another
//! one would publish the events of a site behind those of another worker.

use std::time::Duration;

use super::{Roles, Servers, SetupError};
use crate::adapter::postgres;
use crate::adapter::rabbit::Administration;
use crate::port::broker::BrokerError;

/// Time for the answer of a server. One that does not answer is asked again by the roles, which
/// wait for it.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Checks the number of partitions with the servers that answer.
///
/// # Errors
/// [`SetupError::Partitions`] when another number is in force.
pub async fn check_partitions(servers: &Servers, roles: Roles) -> Result<(), SetupError> {
    if roles.ingress || roles.worker {
        let checked = tokio::time::timeout(ANSWER_MAX, check_broker(servers)).await;
        if let Ok(Err(BrokerError::Mismatch(reason))) = checked {
            return Err(SetupError::Partitions(reason));
        }
    }

    let database = servers.database.as_ref().filter(|_| roles.worker);
    let Some(database) = database else {
        return Ok(());
    };
    let asked = tokio::time::timeout(ANSWER_MAX, postgres::layout(database));
    let Ok(Ok(Some(in_force))) = asked.await else {
        return Ok(());
    };

    let wanted = servers.layout;
    let is_outdated = in_force.generation > wanted.generation;
    let differs =
        in_force.generation == wanted.generation && in_force.partitions != wanted.partitions;
    if is_outdated || differs {
        return Err(SetupError::Partitions(format!(
            "`broker.partitions` is {} in generation {}, and another number is in force: {} in \
             generation {}. Set the numbers of the other processes; `Changing the number of \
             partitions` in the runbook changes them",
            wanted.partitions, wanted.generation, in_force.partitions, in_force.generation
        )));
    }

    Ok(())
}

async fn check_broker(servers: &Servers) -> Result<(), BrokerError> {
    let broker = Administration::open(&servers.broker, servers.layout, "cordboard start").await?;
    let checked = broker.check_partitions().await;
    broker.close().await;

    checked
}
