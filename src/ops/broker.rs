//! The broker's objects: declaring them, setting their policies, changing the number of partitions.

use crate::adapter::postgres;
use crate::adapter::rabbit::{Administration, Depth, Management, Policy, Queues, apply, policies};
use crate::config::Settings;
use crate::setup::{SetupError, require_servers};
use crate::wire::partition::Layout;

/// How the policies come into force.
pub enum Applied {
    /// These policies were set.
    PoliciesSet(Vec<&'static str>),
    /// The settings name no management API: these commands set them.
    PolicyCommands(Vec<String>),
}

/// Declares exchanges and queues, and sets the policies.
///
/// # Errors
/// When the broker cannot be reached, or another object has one of the names.
pub async fn apply_broker(settings: &Settings) -> Result<Applied, SetupError> {
    let servers = require_servers(settings)?;
    let vhost = servers.broker.vhost();

    let broker =
        Administration::open(&servers.broker, servers.layout, "cordboard broker apply").await?;
    let declared = broker.declare().await;
    broker.close().await;
    declared?;

    let management: Option<Management> = settings.broker.management()?;
    Ok(match management {
        Some(management) => Applied::PoliciesSet(apply(&management, vhost).await?),
        None => Applied::PolicyCommands(policies().iter().map(|one| command(vhost, one)).collect()),
    })
}

/// The shell command that sets a policy.
fn command(vhost: &str, policy: &Policy) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));

    format!(
        "rabbitmqctl set_policy -p {} --apply-to {} {} {} {}",
        quoted(vhost),
        policy.applies_to,
        policy.name,
        quoted(policy.pattern),
        quoted(&policy.definition.to_string())
    )
}

/// Puts the layout of the settings into force. If it is in force already, messages that reached
/// the queues of older generations since are forwarded. Returns their number.
///
/// # Errors
/// While the queues of the layout in force hold messages or have workers: their messages come
/// before those in the new queues. And when a server cannot be reached.
pub async fn adopt_layout(settings: &Settings) -> Result<u32, SetupError> {
    let servers = require_servers(settings)?;
    let Some(database) = &servers.database else {
        return Ok(0);
    };
    let in_force = postgres::layout(database).await?;

    let broker =
        Administration::open(&servers.broker, servers.layout, "cordboard broker adopt").await?;
    let adopted = match in_force {
        Some(in_force) => adopt(&broker, database, in_force, servers.layout).await,
        None => broker.ensure().await.map(|()| 0).map_err(SetupError::from),
    };
    broker.close().await;

    adopted
}

async fn adopt(
    broker: &Administration,
    database: &postgres::PostgresAddress,
    in_force: Layout,
    wanted: Layout,
) -> Result<u32, SetupError> {
    broker.ensure().await?;
    if in_force.generation > wanted.generation {
        return Err(SetupError::IncompleteServerSettings(
            "a newer generation of the partitions is in force already; the settings are outdated",
        ));
    }
    if in_force.generation == wanted.generation {
        return if in_force.partitions == wanted.partitions {
            Ok(broker.forward_former().await?)
        } else {
            Err(SetupError::IncompleteServerSettings(
                "this generation is in force with another number of partitions; another number \
                 needs the next generation",
            ))
        };
    }

    if broker.queues_of(in_force).await?.are_in_use() {
        return Err(SetupError::IncompleteServerSettings(
            "the queues of the generation in force hold messages, or workers consume them: let the \
             workers finish, then stop them; ingresses must have the new settings already",
        ));
    }
    postgres::adopt(database, wanted).await?;

    Ok(0)
}

/// The messages that wait in the broker.
pub struct BrokerStatus {
    /// The queues in the order of their partitions; `None` for one that does not exist.
    pub queues: Vec<(String, Option<Depth>)>,
    pub workers: u32,
}

/// # Errors
/// When the broker cannot be reached.
pub async fn broker_status(settings: &Settings) -> Result<BrokerStatus, SetupError> {
    let servers = require_servers(settings)?;

    let broker =
        Administration::open(&servers.broker, servers.layout, "cordboard broker status").await?;
    let queues = broker.queues().await;
    let workers = broker.workers().await;
    broker.close().await;

    let Queues { depths } = queues?;
    let queues = (0..).zip(depths);
    Ok(BrokerStatus {
        queues: queues
            .map(|(partition, depth)| (servers.layout.queue(partition), depth))
            .collect(),
        workers: workers?,
    })
}
