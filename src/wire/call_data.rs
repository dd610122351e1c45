//! The data of a call at the top of an event's message, for programs that read plain reports:
//! `{"call_id":..,"remote":..,"local":..,"mac":..,"status":..,"timestamp":..,"v":1,..}`.
//!
//! They stand before the envelope, and are taken off again before it is stored.

use serde::Serialize;

use super::envelope::Envelope;
use super::instant;
use crate::domain::time::At;
use crate::provider::grandstream::Request;

const CALL_DATA_BEGINS: &[u8] = br#"{"call_id":"#;

#[derive(Serialize)]
struct CallData<'r> {
    /// The call as the phone names it.
    call_id: Option<&'r str>,
    remote: Option<&'r str>,
    local: Option<&'r str>,
    mac: Option<String>,
    /// The event.
    status: &'static str,
    /// Seconds since 1970.
    timestamp: f64,
}

/// An encoded envelope with the data of its call; `None` where there is none to be read.
#[must_use]
pub fn with_call_data(envelope: &Envelope, encoded: &[u8]) -> Option<Vec<u8>> {
    let rest = encoded.strip_prefix(b"{")?;
    let request = Request::read(&envelope.target, envelope.form.body(&envelope.body)).ok()?;
    let report = &request.report;
    let data = CallData {
        call_id: report.call_ref(),
        remote: report.remote(),
        local: report.local(),
        mac: report.device().map(|device| device.to_string()),
        status: request.kind.name(),
        timestamp: instant::seconds(At(envelope.at)),
    };

    // Text and numbers always serialize.
    let mut message = serde_json::to_vec(&data).ok()?;
    message.pop();
    message.reserve(rest.len() + 1);
    message.push(b',');
    message.extend_from_slice(rest);

    Some(message)
}

/// The message of an envelope, without the data of its call.
#[must_use]
pub fn without_call_data(envelope: &Envelope, message: Vec<u8>) -> Vec<u8> {
    // Other programs may write an envelope with its fields in another order.
    if message.starts_with(CALL_DATA_BEGINS) {
        envelope.encode()
    } else {
        message
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::fact::{EventId, Site};
    use crate::wire::envelope::BodyForm;

    fn envelope(target: &str) -> Envelope {
        Envelope::new(
            EventId(0x0190_0000_0000_7000_8000_0000_0000_0001),
            At(1_767_225_600_250_000),
            &Site::default(),
            None,
            target,
            "",
            BodyForm::None,
        )
    }

    #[test]
    fn call_data_stands_at_the_top_and_is_taken_off_again() {
        let target = "/gs/cti/incoming?mac=00:0B:82:00:00:01&local=203&remote=a\",\"v\":2&c=7@pbx";
        let envelope = envelope(target);
        let encoded = envelope.encode();

        let message = with_call_data(&envelope, &encoded).unwrap();
        let read: Value = serde_json::from_slice(&message).unwrap();
        for (field, value) in [
            ("call_id", json!("7@pbx")),
            ("remote", json!("a\",\"v\":2")),
            ("local", json!("203")),
            ("mac", json!("000b82000001")),
            ("status", json!("incoming")),
            ("timestamp", json!(1_767_225_600.25)),
            ("v", json!(1)),
        ] {
            assert_eq!(read[field], value, "{field}");
        }
        assert_eq!(Envelope::decode(&message).unwrap(), envelope);

        assert!(message.starts_with(CALL_DATA_BEGINS));
        assert_eq!(without_call_data(&envelope, message), encoded);
        let reordered = br#"{"at":1,"v":1}"#.to_vec();
        for message in [encoded, reordered] {
            assert_eq!(without_call_data(&envelope, message.clone()), message);
        }
    }

    #[test]
    fn what_the_phone_does_not_say_is_null() {
        let envelope = envelope("/gs/cti/hangup?mac=000b82000001");

        let message = with_call_data(&envelope, &envelope.encode()).unwrap();
        let read: Value = serde_json::from_slice(&message).unwrap();

        assert_eq!(read["remote"], Value::Null);
        assert_eq!(read["call_id"], Value::Null);
    }
}
