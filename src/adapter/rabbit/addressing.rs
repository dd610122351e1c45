//! Our messages as the broker gets them: routing key, properties and body.

use std::borrow::Cow;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::names::{APP_ID, topic_key};
use crate::domain::fact::{EventId, Kind, Site};
use crate::domain::time::At;
use crate::port::outbox::Notification;
use crate::provider::grandstream::Request;
use crate::wire::call_data::with_call_data;
use crate::wire::envelope::{Envelope, Trace};
use crate::wire::message::Message;
use crate::wire::partition::Layout;

const PERSISTENT: u8 = 2;
/// The type of a message that no phone sends; the worker sets it aside as it is.
const UNREADABLE: &str = "unreadable";

/// A message to publish.
pub(super) struct Addressed<'m> {
    pub key: String,
    pub properties: BasicProperties,
    pub body: Cow<'m, [u8]>,
}

/// The messages of a journal record: an event is one message, a tick one for every partition.
pub(super) fn of_record(layout: Layout, record: &[u8]) -> Vec<Addressed<'_>> {
    match Message::decode(record) {
        Ok(Message::Event(envelope)) => vec![published(layout, &envelope, record)],
        Ok(Message::Tick(tick)) => (0..layout.partitions)
            .map(|partition| Addressed {
                key: layout.own_key(partition),
                properties: properties("tick").with_timestamp(seconds(tick.at)),
                body: record.into(),
            })
            .collect(),
        Err(_) => vec![unreadable(layout, 0, record)],
    }
}

/// An event as its ingress publishes it, for other programs too: they bind its key without a
/// partition, and read the data of its call.
fn published<'m>(layout: Layout, envelope: &Envelope, record: &'m [u8]) -> Addressed<'m> {
    let mut message = event(layout, envelope, record);
    let kind = Request::event(&envelope.target).filter(|kind| !matches!(kind, Kind::Device(_)));

    if let Some(kind) = kind {
        let mut headers = message.properties.headers().clone().unwrap_or_default();
        let key = long_string(&topic_key(kind));
        headers.insert("CC".into(), AMQPValue::FieldArray(vec![key].into()));
        message.properties = message.properties.with_headers(headers);
        if let Some(with_call_data) = with_call_data(envelope, record) {
            message.body = with_call_data.into();
        }
    }

    message
}

/// An event for its partition alone: other programs had it before.
pub(super) fn event<'m>(layout: Layout, envelope: &Envelope, body: &'m [u8]) -> Addressed<'m> {
    let site = Site::parse(&envelope.site);
    let partition = site.map_or(0, |site| layout.partition_of(&site));
    let kind = Request::event(&envelope.target);
    let trace = envelope.trace();
    let traceparent = long_string(trace.as_str());

    let key = match kind {
        Some(kind) => layout.event_key(kind, partition),
        None => unreadable_key(layout, partition),
    };
    let properties = properties(kind.map_or(UNREADABLE, Kind::name))
        .with_message_id(EventId(envelope.id.as_u128()).to_string().into())
        .with_timestamp(seconds(At(envelope.at)))
        .with_headers(headers([("traceparent", traceparent)]));

    Addressed {
        key,
        properties,
        body: body.into(),
    }
}

pub(super) fn unreadable(layout: Layout, partition: u32, body: &[u8]) -> Addressed<'_> {
    Addressed {
        key: unreadable_key(layout, partition),
        properties: properties(UNREADABLE),
        body: body.into(),
    }
}

fn unreadable_key(layout: Layout, partition: u32) -> String {
    format!("call.{UNREADABLE}.{}", layout.partition_name(partition))
}

pub(super) fn notification(
    layout: Layout,
    partition: u32,
    notification: &Notification,
) -> Addressed<'_> {
    let name = notification_partition(layout, partition);
    let number = notification.number;
    let headers = headers([
        (
            "traceparent",
            long_string(Trace::of(notification.call).as_str()),
        ),
        ("x-cordboard-part", long_string(&name)),
        (
            "x-cordboard-number",
            AMQPValue::LongLongInt(number.cast_signed()),
        ),
    ]);

    Addressed {
        key: notification.kind.name().to_owned(),
        properties: properties(notification.kind.name())
            .with_message_id(format!("{name}.{number}").into())
            .with_headers(headers),
        body: notification.data.as_bytes().into(),
    }
}

/// The name of a partition in the headers of notifications.
pub(super) fn notification_partition(layout: Layout, partition: u32) -> String {
    format!("g{}.p{partition:02}", layout.generation)
}

fn properties(kind: &str) -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_type(kind.into())
        .with_app_id(APP_ID.into())
}

fn headers<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }

    table
}

fn long_string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn seconds(at: At) -> u64 {
    u64::try_from(at.0.div_euclid(1_000_000)).unwrap_or(0)
}
