//! Exchanges, queues, bindings: declared as they must be, which changes nothing that exists. What
//! exists otherwise is told and left alone.
//!
//! A queue's arguments can never be changed, so they hold only what no policy can say; everything
//! else is policy.

use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer, ErrorKind, ExchangeKind};
use serde_json::{Value, json};

use super::names::{CALLS, DEAD_EXCHANGE, DEAD_QUEUE, EVENTS, FOREIGN_KEYS, Layout, WORKERS};
use super::{BrokerError, close_channel, with_timeout};

/// What a policy of ours is called, what it applies to, and what it says.
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
        // High: redeliveries after restarts must never add up to a lost event. What ends workers is
        // set aside by them.
        "delivery-limit": 100,
        "dead-letter-exchange": DEAD_EXCHANGE,
        // Nothing is lost between a queue and the queue of what was given up.
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

/// Sees that everything is there, and declares it where it is not: who may only use what others
/// declared needs no right to declare.
pub async fn ensure(connection: &Connection, layout: Layout) -> Result<(), BrokerError> {
    let mut missing = depth(connection, DEAD_QUEUE).await?.is_none();
    for part in 0..layout.partitions {
        missing = missing || depth(connection, &layout.queue(part)).await?.is_none();
    }
    if missing {
        declare(connection, layout).await
    } else {
        Ok(())
    }
}

/// Declares everything. Each kind on a channel of its own: the broker closes the channel of whoever
/// declares what exists otherwise.
pub async fn declare(connection: &Connection, layout: Layout) -> Result<(), BrokerError> {
    for name in [EVENTS, DEAD_EXCHANGE, CALLS] {
        let kind = if name == DEAD_EXCHANGE {
            ExchangeKind::Fanout
        } else {
            ExchangeKind::Topic
        };
        on_channel(connection, async |channel| {
            let options = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            with_timeout(channel.exchange_declare(
                name.into(),
                kind.clone(),
                options,
                FieldTable::default(),
            ))
            .await
        })
        .await
        .map_err(|error| {
            classify(
                error,
                &format!("exchange `{name}`"),
                "a durable exchange of another type or with other options",
            )
        })?;
    }
    let mut queues: Vec<(String, FieldTable)> = (0..layout.partitions)
        .map(|part| (layout.queue(part), quorum(true)))
        .collect();
    queues.push((DEAD_QUEUE.to_owned(), quorum(false)));
    // Classic: a quorum queue that never held a message does not come back after a crash of
    // RabbitMQ 3.10.
    queues.push((WORKERS.to_owned(), FieldTable::default()));
    for (name, arguments) in queues {
        on_channel(connection, async |channel| {
            let options = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            with_timeout(channel.queue_declare(name.as_str().into(), options, arguments.clone()))
                .await
                .map(|_| ())
        })
        .await
        .map_err(|error| {
            classify(
                error,
                &format!("queue `{name}`"),
                "a queue of another type or with other arguments",
            )
        })?;
    }
    on_channel(connection, async |channel| {
        let mut bindings: Vec<(String, &str, String)> = Vec::new();
        for part in 0..layout.partitions {
            bindings.extend(
                layout
                    .bindings(part)
                    .map(|key| (layout.queue(part), EVENTS, key)),
            );
        }
        bindings.extend(FOREIGN_KEYS.map(|key| (layout.queue(0), EVENTS, key.to_owned())));
        bindings.push((DEAD_QUEUE.to_owned(), DEAD_EXCHANGE, String::new()));
        // What other programs publish goes to the newest generation only.
        for generation in 1..layout.generation {
            let former = Layout {
                generation,
                partitions: 1,
            }
            .queue(0);
            for key in FOREIGN_KEYS {
                with_timeout(channel.queue_unbind(
                    former.as_str().into(),
                    EVENTS.into(),
                    key.into(),
                    FieldTable::default(),
                ))
                .await?;
            }
        }
        for (queue, exchange, key) in bindings {
            let options = QueueBindOptions::default();
            with_timeout(channel.queue_bind(
                queue.into(),
                exchange.into(),
                key.into(),
                options,
                FieldTable::default(),
            ))
            .await?;
        }
        Ok(())
    })
    .await
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

/// A channel that lives for one step.
async fn on_channel<T>(
    connection: &Connection,
    step: impl AsyncFnOnce(&Channel) -> Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    let channel = with_timeout(connection.create_channel()).await?;
    let done = step(&channel).await;
    close_channel(&channel).await;
    done
}

fn classify(error: BrokerError, what: &str, otherwise: &str) -> BrokerError {
    let BrokerError::Unavailable(text) = &error else {
        return error;
    };
    if text.contains("PRECONDITION_FAILED") || text.contains("inequivalent") {
        return BrokerError::Mismatch(format!(
            "{what} exists already, as {otherwise}; nothing was changed. Use another virtual host, or remove it yourself if it is not needed"
        ));
    }
    BrokerError::Unavailable(format!("{what}: {text}"))
}

/// Counts this worker among those there are, as long as its connection lasts. Where that cannot be
/// done, workers only do not know of each other, and give nothing up.
pub async fn enlist(connection: &Connection) -> Option<Consumer> {
    let consume = async {
        let channel = with_timeout(connection.create_channel()).await?;
        with_timeout(channel.basic_consume(
            WORKERS.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        ))
        .await
    };
    match consume.await {
        Ok(consumer) => Some(consumer),
        Err(error) => {
            tracing::warn!(%error, "workers cannot be counted; partitions stay where they are");
            None
        }
    }
}

/// How many workers there are.
pub async fn workers(connection: &Connection) -> Result<u32, BrokerError> {
    Ok(depth(connection, WORKERS)
        .await?
        .map_or(0, |depth| depth.consumers))
}

/// How many messages the broker has given up.
pub async fn dead(connection: &Connection) -> Result<u32, BrokerError> {
    Ok(depth(connection, DEAD_QUEUE)
        .await?
        .map_or(0, |depth| depth.messages))
}

/// How much waits in a queue, and who reads it: of a partition's readers only the active one is
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub messages: u32,
    pub consumers: u32,
}

/// The queues of a layout as far as they exist.
pub async fn depths(
    connection: &Connection,
    layout: Layout,
) -> Result<Vec<Option<Depth>>, BrokerError> {
    let mut all = Vec::new();
    for part in 0..layout.partitions {
        all.push(depth(connection, &layout.queue(part)).await?);
    }
    Ok(all)
}

pub(super) async fn depth(
    connection: &Connection,
    queue: &str,
) -> Result<Option<Depth>, BrokerError> {
    let channel = with_timeout(connection.create_channel()).await?;
    let options = QueueDeclareOptions {
        passive: true,
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let found = tokio::time::timeout(
        super::PATIENCE,
        channel.queue_declare(queue.into(), options, FieldTable::default()),
    )
    .await;
    let depth = match found {
        Ok(Ok(queue)) => Ok(Some(Depth {
            messages: queue.message_count(),
            consumers: queue.consumer_count(),
        })),
        Ok(Err(error)) if is_not_found(&error) => return Ok(None),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(BrokerError::Silent),
    };
    close_channel(&channel).await;
    depth
}

fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(told) if told.get_id() == 404)
}
