//! Exchanges, queues and bindings: declared as they must be, which changes nothing that exists.
//! Objects that exist otherwise are reported and left alone.
//!
//! The arguments of a queue are fixed for its life, so they hold only what no policy can set;
//! everything else is policy.

use lapin::options::{
    BasicConsumeOptions, ExchangeBindOptions, ExchangeDeclareOptions, ExchangeUnbindOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer, ErrorKind, ExchangeKind};
use serde_json::{Value, json};

use super::names::{
    CALLS, DEAD_EXCHANGE, DEAD_QUEUE, EVENTS, FOREIGN, PLAIN, REPORT_KEYS, ROUTED, WORKERS,
};
use super::{OPERATION_MAX, close_channel, unavailable, with_timeout};
use crate::chain::Chain;
use crate::port::broker::BrokerError;
use crate::wire::partition::Layout;

/// A policy of our queues.
pub struct Policy {
    pub name: &'static str,
    pub pattern: &'static str,
    pub applies_to: &'static str,
    pub definition: Value,
}

/// The policies of our queues.
#[must_use]
pub fn policies() -> [Policy; 1] {
    let events = json!({
        // High: redeliveries after restarts must never add up to a lost event. Workers set
        // messages aside that end them.
        "delivery-limit": 100,
        "dead-letter-exchange": DEAD_EXCHANGE,
        // No message is lost between a queue and the dead letter queue.
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
        "queue-leader-locator": "balanced",
    });

    [Policy {
        name: "cordboard-events",
        pattern: r"^grandstream-queue\.(g[0-9]+\.)?p[0-9]+$",
        applies_to: "queues",
        definition: events,
    }]
}

/// Declares everything where a queue or an exchange is missing. If all exist, no right to declare is
/// needed.
pub(super) async fn ensure(connection: &Connection, layout: Layout) -> Result<(), BrokerError> {
    check_partitions(connection, layout).await?;

    let mut is_missing = depth(connection, DEAD_QUEUE).await?.is_none();
    for partition in 0..layout.partitions {
        let queue = layout.queue(partition);
        is_missing = is_missing || depth(connection, &queue).await?.is_none();
    }
    for exchange in [EVENTS, DEAD_EXCHANGE, CALLS, FOREIGN, ROUTED, PLAIN] {
        is_missing = is_missing || !has_exchange(connection, exchange).await?;
    }

    if is_missing {
        declare(connection, layout).await
    } else {
        Ok(())
    }
}

/// Checks that this generation has no more partitions than the layout.
pub(super) async fn check_partitions(
    connection: &Connection,
    layout: Layout,
) -> Result<(), BrokerError> {
    let first_surplus = layout.queue(layout.partitions);

    match depth(connection, &first_surplus).await? {
        None => Ok(()),
        Some(_) => Err(other_number_of_partitions(layout)),
    }
}

fn other_number_of_partitions(layout: Layout) -> BrokerError {
    BrokerError::Mismatch(format!(
        "`broker.partitions` is {}, and another number is in force in generation {}. Set the number \
         of the other processes; `Changing the number of partitions` in the runbook changes it",
        layout.partitions, layout.generation
    ))
}

/// Declares everything. Each object on a channel of its own: the broker closes the channel of a
/// declaration that does not match.
pub(super) async fn declare(connection: &Connection, layout: Layout) -> Result<(), BrokerError> {
    check_partitions(connection, layout).await?;
    declare_partitions(connection, layout).await?;
    let unclaimed = AMQPValue::LongString(FOREIGN.into());
    for (name, kind, arguments) in [
        (EVENTS, ExchangeKind::Topic, table(&[])),
        (DEAD_EXCHANGE, ExchangeKind::Fanout, table(&[])),
        (CALLS, ExchangeKind::Topic, table(&[])),
        (FOREIGN, ExchangeKind::Fanout, table(&[])),
        (ROUTED, ExchangeKind::Fanout, table(&[])),
        (
            PLAIN,
            ExchangeKind::Topic,
            table(&[("alternate-exchange", unclaimed)]),
        ),
    ] {
        declare_exchange(connection, name, kind, arguments).await?;
    }
    for partition in 0..layout.partitions {
        declare_queue(connection, &layout.queue(partition), &quorum(true)).await?;
    }
    declare_queue(connection, DEAD_QUEUE, &quorum(false)).await?;
    // Classic: a quorum queue that never held a message does not come back after a crash of
    // RabbitMQ 3.10.
    declare_queue(connection, WORKERS, &FieldTable::default()).await?;

    on_channel(connection, async |channel| {
        bind_queues(channel, layout).await?;
        bind_exchanges(channel, layout).await?;
        unbind_former(channel, layout).await
    })
    .await
}

/// Puts the number of partitions of this generation in force, if it has none yet.
pub(super) async fn declare_partitions(
    connection: &Connection,
    layout: Layout,
) -> Result<(), BrokerError> {
    let number = AMQPValue::LongLongInt(layout.partitions.into());
    let arguments = table(&[("x-max-length", number)]);
    let declared = declare_queue(connection, &layout.partitions_queue(), &arguments).await;

    declared.map_err(|error| match error {
        BrokerError::Mismatch(_) => other_number_of_partitions(layout),
        other => other,
    })
}

async fn declare_exchange(
    connection: &Connection,
    name: &str,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };

    on_channel(connection, async |channel| {
        let name = name.into();
        let declared = channel.exchange_declare(name, kind, options, arguments);
        with_timeout(declared).await
    })
    .await
    .map_err(|error| {
        classify(
            error,
            &format!("exchange `{name}`"),
            "a durable exchange of another type or with other options",
        )
    })
}

async fn declare_queue(
    connection: &Connection,
    name: &str,
    arguments: &FieldTable,
) -> Result<(), BrokerError> {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };

    let declared = on_channel(connection, async |channel| {
        with_timeout(channel.queue_declare(name.into(), options, arguments.clone())).await
    })
    .await;
    declared.map(|_| ()).map_err(|error| {
        classify(
            error,
            &format!("queue `{name}`"),
            "a queue of another type or with other arguments",
        )
    })
}

/// Messages of other programs go to the newest generation only. They were bound to the queue of its
/// first partition directly once.
async fn unbind_former(channel: &Channel, layout: Layout) -> Result<(), BrokerError> {
    for generation in 1..=layout.generation {
        let of_generation = Layout {
            generation,
            partitions: 1,
        };
        let queue = of_generation.queue(0);
        let mut bindings = vec![(EVENTS, "call.*"), (EVENTS, "device.*")];
        if generation < layout.generation {
            bindings.push((FOREIGN, ""));
        }

        for (exchange, key) in bindings {
            let unbound = channel.queue_unbind(
                queue.as_str().into(),
                exchange.into(),
                key.into(),
                FieldTable::default(),
            );
            with_timeout(unbound).await?;
        }
    }

    // Reports with a key that names no partition got lost there.
    for key in ["call.*.*", "call.*.*.*"] {
        let unbound = channel.exchange_unbind(
            ROUTED.into(),
            PLAIN.into(),
            key.into(),
            ExchangeUnbindOptions::default(),
            FieldTable::default(),
        );
        with_timeout(unbound).await?;
    }

    Ok(())
}

/// Tells events of phones from messages of other programs, which may have the same keys too.
async fn bind_exchanges(channel: &Channel, layout: Layout) -> Result<(), BrokerError> {
    let mut bindings: Vec<(&str, &str, String)> = (0..layout.partitions)
        .flat_map(|partition| layout.event_keys(partition))
        .map(|key| (ROUTED, PLAIN, key))
        .collect();
    bindings.extend(REPORT_KEYS.map(|key| (PLAIN, EVENTS, key.to_owned())));

    for (destination, source, key) in bindings {
        let bound = channel.exchange_bind(
            destination.into(),
            source.into(),
            key.into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        );
        with_timeout(bound).await?;
    }

    Ok(())
}

async fn bind_queues(channel: &Channel, layout: Layout) -> Result<(), BrokerError> {
    let mut bindings: Vec<(String, &str, String)> = Vec::new();
    for partition in 0..layout.partitions {
        let [calls, devices] = layout.event_keys(partition);
        let keys = [calls, devices, layout.own_key(partition)];
        bindings.extend(keys.map(|key| (layout.queue(partition), EVENTS, key)));
    }
    bindings.push((layout.queue(0), FOREIGN, String::new()));
    bindings.push((DEAD_QUEUE.to_owned(), DEAD_EXCHANGE, String::new()));

    for (queue, exchange, key) in bindings {
        let bound = channel.queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        with_timeout(bound).await?;
    }

    Ok(())
}

fn quorum(single_active: bool) -> FieldTable {
    let kind = ("x-queue-type", AMQPValue::LongString("quorum".into()));
    if single_active {
        table(&[kind, ("x-single-active-consumer", AMQPValue::Boolean(true))])
    } else {
        table(&[kind])
    }
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

/// Runs one operation on a channel of its own.
async fn on_channel<T>(
    connection: &Connection,
    operation: impl AsyncFnOnce(&Channel) -> Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    let channel = with_timeout(connection.create_channel()).await?;

    let done = operation(&channel).await;
    // The broker has closed the channel of a failed operation.
    let _ = close_channel(&channel).await;

    done
}

fn classify(error: BrokerError, object: &str, existing: &str) -> BrokerError {
    let BrokerError::Unavailable(text, source) = error else {
        return error;
    };

    if text.contains("PRECONDITION_FAILED") || text.contains("inequivalent") {
        return BrokerError::Mismatch(format!(
            "{object} exists already, as {existing}; nothing was changed. Use another virtual \
             host, or remove it yourself if it is not needed"
        ));
    }
    BrokerError::Unavailable(format!("{object}: {text}"), source)
}

/// Counts this process among the workers for as long as its connection lasts. If that fails,
/// workers do not know of each other and give up no partition.
pub(super) async fn enlist(connection: &Connection) -> Option<Consumer> {
    let enlisted = async {
        let channel = with_timeout(connection.create_channel()).await?;
        let consumer = channel.basic_consume(
            WORKERS.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        with_timeout(consumer).await
    };

    match enlisted.await {
        Ok(consumer) => Some(consumer),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "workers cannot be counted, partitions stay where they are");
            None
        }
    }
}

/// The number of worker processes.
pub(super) async fn workers(connection: &Connection) -> Result<u32, BrokerError> {
    let depth = depth(connection, WORKERS).await?;

    Ok(depth.map_or(0, |depth| depth.consumers))
}

/// The number of messages that the broker has given up.
pub(super) async fn dead(connection: &Connection) -> Result<u32, BrokerError> {
    let depth = depth(connection, DEAD_QUEUE).await?;

    Ok(depth.map_or(0, |depth| depth.messages))
}

/// Messages and consumers of a queue. Of a partition's subscribers only the active one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub messages: u32,
    pub consumers: u32,
}

/// The queues of a layout; `None` for a queue that does not exist.
async fn has_exchange(connection: &Connection, name: &str) -> Result<bool, BrokerError> {
    let options = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };

    let found = find(connection, async |channel| {
        // The broker looks at the name only.
        let kind = ExchangeKind::Topic;
        let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
        declared.await
    });
    Ok(found.await?.is_some())
}

pub(super) async fn depths(
    connection: &Connection,
    layout: Layout,
) -> Result<Vec<Option<Depth>>, BrokerError> {
    let mut depths = Vec::new();
    for partition in 0..layout.partitions {
        depths.push(depth(connection, &layout.queue(partition)).await?);
    }

    Ok(depths)
}

pub(super) async fn depth(
    connection: &Connection,
    queue: &str,
) -> Result<Option<Depth>, BrokerError> {
    let options = QueueDeclareOptions {
        passive: true,
        durable: true,
        ..QueueDeclareOptions::default()
    };

    let found = find(connection, async |channel| {
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default());
        declared.await
    });
    Ok(found.await?.map(|queue| Depth {
        messages: queue.message_count(),
        consumers: queue.consumer_count(),
    }))
}

/// Looks for an object on a channel of its own; `None` if there is none.
async fn find<T>(
    connection: &Connection,
    declared: impl AsyncFnOnce(&Channel) -> Result<T, lapin::Error>,
) -> Result<Option<T>, BrokerError> {
    on_channel(connection, async |channel| {
        match tokio::time::timeout(OPERATION_MAX, declared(channel)).await {
            Ok(Ok(object)) => Ok(Some(object)),
            Ok(Err(error)) if is_not_found(&error) => Ok(None),
            Ok(Err(error)) => Err(unavailable(error)),
            Err(_) => Err(BrokerError::Silent),
        }
    })
    .await
}

fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(protocol) if protocol.get_id() == 404)
}
