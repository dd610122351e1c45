//! A fact as one line of JSON, the input of `reconstruct` and `explain`. The object may have any
//! further parameter. Wrapped here:
//!
//! ```json
//! {"at":"2026-01-01T00:00:00.110Z","event":"incoming","mac":"000b82000001",
//!  "local":"1001","remote":"1045"}
//! ```

use serde_json::{Map, Value};

use super::instant;
use crate::domain::fact::{EventId, Fact, Site};
use crate::domain::policy::Policy;
use crate::provider::grandstream::{NoDevice, Report, kind_of};

/// The reason why a line is no fact.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    #[error("is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("has no `{0}`")]
    Missing(&'static str),
    #[error("`at` is no instant: {0}")]
    BadInstant(String),
    #[error("`event` is no known event name: {0:?}")]
    UnknownEvent(String),
    #[error("`site` is no site name (1 to 64 characters)")]
    BadSite,
    #[error("`event_id` is no UUID")]
    BadEventId,
    #[error(transparent)]
    NoDevice(#[from] NoDevice),
}

/// Reads one line. `policy_of` returns the rules of a site, whose region decides how its numbers
/// are parsed.
///
/// # Errors
/// [`BadLine`], with the reason why the line is no fact.
pub fn parse<'p>(line: &str, policy_of: impl FnOnce(&Site) -> &'p Policy) -> Result<Fact, BadLine> {
    let value: Value = serde_json::from_str(line).map_err(BadLine::NotJson)?;
    let Value::Object(mut object) = value else {
        return Err(BadLine::NotAnObject);
    };

    let at = text(&mut object, "at").ok_or(BadLine::Missing("at"))?;
    let at = instant::parse(&at).map_err(BadLine::BadInstant)?;
    let event = text(&mut object, "event").ok_or(BadLine::Missing("event"))?;
    let kind =
        kind_of(&event).ok_or_else(|| BadLine::UnknownEvent(event.chars().take(40).collect()))?;
    let site = match text(&mut object, "site") {
        None => Site::default(),
        Some(name) => Site::parse(&name).ok_or(BadLine::BadSite)?,
    };
    let id = match text(&mut object, "event_id").or_else(|| text(&mut object, "id")) {
        None => None,
        Some(id) => Some(EventId::parse(&id).ok_or(BadLine::BadEventId)?),
    };

    let mut report = Report::default();
    for (key, value) in &object {
        if let Some(value) = scalar(value) {
            report.add_parameter(key, &value);
        }
    }

    let region = policy_of(&site).region;
    let fact = report.into_fact(EventId(0), at, site, kind, region)?;
    let id = id.unwrap_or_else(|| derived_id(&fact));

    Ok(Fact { id, ..fact })
}

fn text(object: &mut Map<String, Value>, key: &str) -> Option<String> {
    scalar(&object.remove(key)?)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The id of a fact without one: a version 7 UUID whose random bits are a digest of the content, so
/// that the same line is the same fact on every machine and at every time.
fn derived_id(fact: &Fact) -> EventId {
    let mut digest = Digest::new();
    digest.add(&fact.at.0.to_be_bytes());
    digest.add(fact.site.as_str().as_bytes());
    digest.add(fact.kind.name().as_bytes());
    digest.add(fact.device.to_string().as_bytes());
    digest.add(
        fact.local
            .as_ref()
            .map_or("", |own| own.as_str())
            .as_bytes(),
    );
    digest.add(
        fact.remote
            .as_ref()
            .map_or("$", |number| number.raw())
            .as_bytes(),
    );
    digest.add(
        fact.call_ref
            .as_ref()
            .map_or("", |own| own.as_str())
            .as_bytes(),
    );

    let millis = u64::try_from(fact.at.0.div_euclid(1_000)).unwrap_or(0);
    let random = digest.0.to_be_bytes();
    let mut tail = [0_u8; 10];
    tail.copy_from_slice(&random[..10]);

    EventId(
        uuid::Builder::from_unix_timestamp_millis(millis, &tail)
            .into_uuid()
            .as_u128(),
    )
}

/// FNV-1a with 128 bits. Its values are stable forever, which the hashes of libraries do not
/// guarantee.
struct Digest(u128);

impl Digest {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    fn new() -> Digest {
        Digest(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"at":"2026-01-01T00:00:00.110Z","event":"incoming","mac":"000b82000001","#,
        r#""local":"1001","remote":"1045","call_id":"x"}"#
    );

    fn read(line: &str) -> Result<Fact, BadLine> {
        let policy = Policy::default();
        parse(line, |_| &policy)
    }

    #[test]
    fn the_same_line_is_the_same_fact_and_another_line_is_not() {
        let id = |line: &str| read(line).map(|fact| fact.id).ok();
        let first = id(LINE);

        assert!(first.is_some());
        assert_eq!(id(LINE), first);
        assert_ne!(id(&LINE.replace("1045", "1046")), first);

        let version = first.map(|id| uuid::Uuid::from_u128(id.0).get_version_num());
        assert_eq!(version, Some(7));
    }

    #[test]
    fn the_error_of_a_bad_line_has_the_reason() {
        let wrong = [
            ("{", "is not JSON"),
            ("[]", "is not a JSON object"),
            (r#"{"event":"incoming","mac":"a"}"#, "has no `at`"),
            (
                r#"{"at":"soon","event":"incoming","mac":"a"}"#,
                "`at` is no instant",
            ),
            (
                r#"{"at":"2026-01-01T00:00:00Z","mac":"a"}"#,
                "has no `event`",
            ),
            (
                r#"{"at":"2026-01-01T00:00:00Z","event":"boom","mac":"a"}"#,
                "no known event name",
            ),
            (
                r#"{"at":"2026-01-01T00:00:00Z","event":"incoming","remote":"1"}"#,
                "names no device",
            ),
            (
                r#"{"at":"2026-01-01T00:00:00Z","event":"incoming","mac":"a","event_id":"7"}"#,
                "no UUID",
            ),
            (
                r#"{"at":"2026-01-01T00:00:00Z","event":"incoming","mac":"a","site":" "}"#,
                "no site name",
            ),
        ];

        for (line, expected) in wrong {
            let message = read(line)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(message.contains(expected), "{line}: {message}");
        }
    }
}
