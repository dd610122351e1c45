//! Reports of other programs: plain messages without an envelope. They get one here, so that later
//! stages know a single form.

use lapin::BasicProperties;
use lapin::types::ShortString;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::fact::{EventId, Site};
use crate::domain::time::At;
use crate::provider::grandstream::json_object;
use crate::wire::envelope::{BodyForm, Envelope, MESSAGE_BYTES_MAX, Trace, made_at};
use crate::wire::instant;

/// The topics of events in routing keys.
const TOPICS: [&str; 2] = ["call", "device"];
/// Larger timestamps are milliseconds, or else microseconds.
const SECONDS_MAX: i64 = 100_000_000_000;

/// The envelope of a plain report; `None` for any other message, and for one that is too long. A
/// report without an id gets one from its content, so that the same message is the same event. A
/// report without an instant was received when its id was made, or else when it is read.
pub(super) fn envelope(
    key: &str,
    properties: &BasicProperties,
    body: &[u8],
    now: At,
) -> Option<Envelope> {
    if body.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let report = json_object(body)?;
    if report.contains_key("v") || report.contains_key("tick") {
        return None;
    }

    let event = event_name(key, properties, &report)?;
    let at = received_at(properties, &report)
        .or_else(|| id_made_at(properties, now))
        .unwrap_or(to_millis(now));
    let site = match report.get("site").and_then(Value::as_str) {
        Some(name) => Site::parse(name)?,
        None => Site::default(),
    };
    let message_id = properties.message_id().as_ref();
    let id = message_id
        .and_then(|id| EventId::parse(id.as_str()))
        .unwrap_or_else(|| id_of(key, body, at));

    let target = format!("/gs/cti/{event}");
    let body = Value::Object(report).to_string();
    let mut envelope = Envelope::new(id, at, &site, None, &target, &body, BodyForm::Json);
    if let Some(message_id) = message_id
        && !envelope.has_id_of_its_instant()
    {
        // It may be the id of another event, but names one event all the same.
        let id = id_of(key, message_id.as_str().as_bytes(), at);
        envelope.id = uuid::Uuid::from_u128(id.0);
    }
    envelope.trace = trace(properties);

    Some(envelope)
}

/// The envelope of a plain report without properties, as far as its bytes decide it.
#[must_use]
pub fn read_plain_report(key: &str, body: &[u8], now: At) -> Option<Envelope> {
    envelope(key, &BasicProperties::default(), body, now)
}

fn received_at(properties: &BasicProperties, report: &Map<String, Value>) -> Option<At> {
    let in_report = report.get("timestamp").or_else(|| report.get("at"));
    let of_message = || {
        let seconds = properties.timestamp().as_ref()?;
        Some(At(seconds.cast_signed().saturating_mul(1_000_000)))
    };

    in_report.and_then(instant_of).or_else(of_message)
}

/// The instant of a version 7 id, by a clock that is not believed to be ahead of ours.
fn id_made_at(properties: &BasicProperties, now: At) -> Option<At> {
    let message_id = properties.message_id().as_ref()?;
    let id = EventId::parse(message_id.as_str())?;

    made_at(uuid::Uuid::from_u128(id.0)).map(|made| made.min(now))
}

/// The name of the event, from the routing key, the type of the message, or the report.
fn event_name(
    key: &str,
    properties: &BasicProperties,
    report: &Map<String, Value>,
) -> Option<String> {
    let mut words = key.split('.');
    let of_key = words
        .next()
        .filter(|topic| TOPICS.contains(topic))
        .and_then(|_| words.next());
    let of_type = || properties.kind().as_ref().map(ShortString::as_str);
    let of_report = || {
        ["event", "status"]
            .iter()
            .find_map(|name| report.get(*name)?.as_str())
    };
    let name = of_key.or_else(of_type).or_else(of_report)?;

    // The name becomes a path segment.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (!name.is_empty() && name.bytes().all(is_plain)).then(|| name.to_owned())
}

fn instant_of(value: &Value) -> Option<At> {
    match value {
        Value::String(text) => instant::parse(text).ok(),
        Value::Number(number) => match number.as_i64().filter(|whole| *whole >= 0) {
            Some(seconds) if seconds < SECONDS_MAX => Some(At(seconds * 1_000_000)),
            Some(millis) if millis < SECONDS_MAX * 1_000 => Some(At(millis * 1_000)),
            Some(micros) => Some(At(micros)),
            None => instant_of_seconds(number.as_f64()?),
        },
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be an instant of these centuries"
)]
fn instant_of_seconds(seconds: f64) -> Option<At> {
    (0.0..1e11)
        .contains(&seconds)
        .then_some(At((seconds * 1e6) as i64))
}

/// An instant with the accuracy of an id: the same report within a millisecond is the same fact.
fn to_millis(at: At) -> At {
    At(at.0 - at.0.rem_euclid(1_000))
}

/// A version 7 id of the instant, with the digest of the message as its random part.
fn id_of(key: &str, body: &[u8], at: At) -> EventId {
    let digest = Sha256::new()
        .chain_update(key)
        .chain_update([0])
        .chain_update(body)
        .finalize();
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);

    let millis = u64::try_from(at.0.div_euclid(1_000)).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();

    EventId(id.as_u128())
}

fn trace(properties: &BasicProperties) -> Option<Trace> {
    let header = properties.headers().as_ref()?.inner().get("traceparent")?;
    let text = std::str::from_utf8(header.as_long_string()?.as_bytes()).ok()?;

    Trace::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Policy;

    const PLAIN: &[u8] =
        br#"{"call_id":"7","remote":"+4930111","local":"203","mac":"00:0b:82:00:00:01","status":"ringing","timestamp":1767225600}"#;

    #[test]
    fn a_plain_report_becomes_a_fact_and_the_same_report_the_same_fact() {
        let read = |key: &str| envelope(key, &BasicProperties::default(), PLAIN, At(7));
        let first = read("call.incoming").unwrap();
        assert_eq!(read("call.incoming").unwrap(), first);
        assert_ne!(read("call.hangup").unwrap().id, first.id);
        let policy = Policy::default();
        let fact = first.fact(|_| &policy).unwrap();
        assert_eq!(
            (fact.kind.name(), fact.at, fact.device.to_string()),
            (
                "incoming",
                At(1_767_225_600_000_000),
                "000b82000001".to_owned()
            )
        );
        assert_eq!(fact.local.unwrap().as_str(), "203");
    }

    #[test]
    fn a_report_without_an_instant_was_received_when_its_id_was_made() {
        const MADE: i64 = 1_767_225_600_000_000;
        const SECOND: i64 = 1_000_000;
        let read = |id: uuid::Uuid, now: i64| {
            let properties = BasicProperties::default().with_message_id(id.to_string().into());
            let body = br#"{"call_id":"7","local":"203","mac":"00:0b:82:00:00:01"}"#;
            envelope("call.hangup", &properties, body, At(now)).unwrap()
        };
        let builder =
            uuid::Builder::from_unix_timestamp_millis(MADE.cast_unsigned() / 1_000, &[7; 10]);
        let id = builder.into_uuid();

        let first = read(id, MADE + SECOND);
        assert_eq!((first.id, first.at), (id, MADE));
        assert_eq!(read(id, MADE + 90 * SECOND), first, "delivered twice");
        assert_eq!(
            read(id, MADE - SECOND).at,
            MADE - SECOND,
            "made ahead of our clock"
        );
        assert_eq!(
            read(uuid::Uuid::from_u128(4 << 76), MADE).at,
            MADE,
            "an id without an instant"
        );
    }

    #[test]
    fn a_report_read_twice_within_a_millisecond_is_one_fact() {
        let body = br#"{"call_id":"7","local":"203","mac":"00:0b:82:00:00:01"}"#;
        let read =
            |now: i64| envelope("call.hangup", &BasicProperties::default(), body, At(now)).unwrap();

        assert_eq!(read(1_767_225_600_000_100), read(1_767_225_600_000_900));
        assert_ne!(
            read(1_767_225_600_000_100).id,
            read(1_767_225_600_001_100).id
        );
    }

    #[test]
    fn instants_are_read_in_every_form_and_other_messages_are_no_reports() {
        let at = |text: &str| {
            let body = format!("{{\"mac\":\"000b82000001\",\"timestamp\":{text}}}");
            envelope(
                "call.missed",
                &BasicProperties::default(),
                body.as_bytes(),
                At(7_000),
            )
            .unwrap()
            .at
        };
        for text in [
            "1767225600",
            "1767225600000",
            "1767225600000000",
            "1767225600.0",
            "\"2026-01-01T00:00:00Z\"",
        ] {
            assert_eq!(at(text), 1_767_225_600_000_000, "{text}");
        }
        assert_eq!(at("\"soon\""), 7_000);
        for body in [&b""[..], b"[]", b"{", br#"{"v":2}"#, br#"{"tick":1}"#] {
            assert!(envelope("call.incoming", &BasicProperties::default(), body, At(7)).is_none());
        }
        assert!(envelope("a/b", &BasicProperties::default(), b"{}", At(7)).is_none());
    }
}
