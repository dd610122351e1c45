//! What operations do with the broker: declare what the service needs there, set its policies, see what waits.

use super::Failed;
use super::letters::needed;
use crate::adapter::rabbit::{Depth, Management, apply, declare, depths, policies, workers};
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
pub async fn apply_broker(settings: &Settings) -> Result<Applied, Failed> {
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

/// The queues, in the order of their partitions, and how many workers there are.
///
/// # Errors
/// When the broker cannot be reached.
pub async fn broker_status(settings: &Settings) -> Result<(Vec<(String, Option<Depth>)>, u32), Failed> {
    let servers = needed(settings)?;
    let connection = servers.broker.connect("cordboard broker status").await?;
    let depths = depths(&connection, servers.layout).await?;
    let workers = workers(&connection).await?;
    let _closed = connection.close(200, "done".into()).await;
    let named = (0..).zip(depths).map(|(part, depth)| (servers.layout.queue(part), depth));
    Ok((named.collect(), workers))
}
