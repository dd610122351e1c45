//! What operations do with the broker: declare what the service needs there, set its policies, see
//! what waits.

use super::ServiceError;
use super::dead_letters::needed;
use crate::adapter::postgres;
use crate::adapter::rabbit::{
    Depth, Layout, Management, apply, declare, depths, ensure, forward, policies, workers,
};
use crate::config::Settings;

/// What was done, or is left to be done by hand.
pub enum Applied {
    /// These policies were set.
    Set(Vec<&'static str>),
    /// There is no management API to set them through: these commands do it.
    Commands(Vec<String>),
}

/// Declares exchanges and queues, and sets the policies, or says how.
///
/// # Errors
/// When the broker cannot be reached, or holds something else under one of the names.
pub async fn apply_broker(settings: &Settings) -> Result<Applied, ServiceError> {
    let servers = needed(settings)?;
    let connection = servers.broker.connect("cordboard broker apply").await?;
    declare(&connection, servers.layout).await?;
    let _closed = connection.close(200, "done".into()).await;
    let management: Option<Management> = settings.broker.management()?;
    Ok(match management {
        Some(management) => Applied::Set(apply(&management, servers.broker.vhost()).await?),
        None => Applied::Commands(commands(servers.broker.vhost())),
    })
}

fn commands(vhost: &str) -> Vec<String> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let command = |policy: crate::adapter::rabbit::Policy| {
        let definition = quoted(&policy.definition.to_string());
        format!(
            "rabbitmqctl set_policy -p {} --apply-to {} {} {} {definition}",
            quoted(vhost),
            policy.applies_to,
            policy.name,
            quoted(policy.pattern)
        )
    };
    policies().into_iter().map(command).collect()
}

/// Puts the layout of the settings in force, instead of the older one. Refuses while the queues of
/// the older one hold anything or are read: what is in them belongs before what the new ones hold.
/// Where it is in force already, what came to the old queues since is sent on. Returns how much
/// that was.
///
/// # Errors
/// When the old queues are not done with, or a server cannot be reached.
pub async fn adopt_layout(settings: &Settings) -> Result<u32, ServiceError> {
    let servers = needed(settings)?;
    let Some(database) = servers.database else {
        return Ok(0);
    };
    let wanted = postgres::Layout {
        generation: servers.layout.generation,
        partitions: servers.layout.partitions,
    };
    let former = postgres::layout(&database).await?;
    let connection = servers.broker.connect("cordboard broker adopt").await?;
    ensure(&connection, servers.layout).await?;
    let done = match former {
        Some(former) if former.generation > wanted.generation => {
            Err(ServiceError::IncompleteServerSettings(
                "a newer generation of the partitions is in force already; the settings are old",
            ))
        }
        Some(former)
            if former.generation == wanted.generation && former.partitions != wanted.partitions =>
        {
            Err(ServiceError::IncompleteServerSettings(
                "this generation is in force with another number of partitions; another number needs the next generation",
            ))
        }
        Some(former) if former.generation == wanted.generation => {
            Ok(forward_all(&connection, servers.layout).await?)
        }
        Some(former) => {
            let former = Layout {
                generation: former.generation,
                partitions: former.partitions,
            };
            let left = depths(&connection, former).await?;
            if left
                .iter()
                .flatten()
                .any(|depth| depth.messages > 0 || depth.consumers > 0)
            {
                Err(ServiceError::IncompleteServerSettings(
                    "the queues of the generation in force hold messages, or workers read them: let the workers finish, then stop them; ingresses must have the new settings already",
                ))
            } else {
                postgres::adopt(&database, wanted).await?;
                Ok(0)
            }
        }
        None => Ok(0),
    };
    let _closed = connection.close(200, "done".into()).await;
    done
}

/// Sends on what lies in the queues of older generations, however many partitions they had.
async fn forward_all(connection: &lapin::Connection, layout: Layout) -> Result<u32, ServiceError> {
    let mut sent = 0;
    for generation in 1..layout.generation {
        let mut part = 0;
        loop {
            let of = Layout {
                generation,
                partitions: part + 1,
            };
            if depths(connection, of)
                .await?
                .last()
                .copied()
                .flatten()
                .is_none()
            {
                break;
            }
            sent += forward(connection, &of.queue(part), layout).await?;
            part += 1;
        }
    }
    Ok(sent)
}

/// The queues, in the order of their partitions, and how many workers there are.
///
/// # Errors
/// When the broker cannot be reached.
pub async fn broker_status(
    settings: &Settings,
) -> Result<(Vec<(String, Option<Depth>)>, u32), ServiceError> {
    let servers = needed(settings)?;
    let connection = servers.broker.connect("cordboard broker status").await?;
    let depths = depths(&connection, servers.layout).await?;
    let workers = workers(&connection).await?;
    let _closed = connection.close(200, "done".into()).await;
    let named = (0..)
        .zip(depths)
        .map(|(part, depth)| (servers.layout.queue(part), depth));
    Ok((named.collect(), workers))
}
