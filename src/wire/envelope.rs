//! The envelope of a phone's request on its way from the ingress to the worker.
//!
//! Its form is JSON with a version. It holds the raw request, so that a later version of the
//! program can read more from the same request.

use std::fmt;
use std::net::IpAddr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::fact::{EventId, Fact, Site};
use crate::domain::policy::Policy;
use crate::domain::time::At;
use crate::provider::grandstream::{Body, NoDevice, Request, Unreadable};

const VERSION: u32 = 1;
/// Between an event and its id; a program may send a report a while after the event.
const ID_APART_MAX_US: i64 = 3_600 * 1_000_000;
/// The longest message with an event. The limits of queues, batches and reads count on it; a phone's
/// events are a tenth as long.
pub const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// The beginning of the reason with which a message of a later version becomes a dead letter.
pub const UNKNOWN_VERSION: &str = "unknown version";

/// The bits of an id that tell the site and the instant of its event.
const PLACE_BITS: u128 = (1 << 40) - 1;

/// The id of an event, made of a random one of its millisecond. A copy of the event that names another
/// site or instant is known by its id: its call would take the place of the first one's.
#[must_use]
pub fn id_at_place(random: EventId, site: &Site, at: At) -> EventId {
    EventId((random.0 & !PLACE_BITS) | place_bits(site.as_str(), at))
}

/// The id of an event of another program, made of the one that it names. A copy of an event, however
/// early it comes, never has the id of the event itself; and the same message has the same id again.
fn id_at_site(named: EventId, site: &str) -> EventId {
    let rest = named.0 & !PLACE_BITS;

    EventId(rest | site_bits(rest, site))
}

fn place_bits(site: &str, at: At) -> u128 {
    digest_bits(&at.0.to_be_bytes(), site)
}

fn site_bits(rest: u128, site: &str) -> u128 {
    digest_bits(&rest.to_be_bytes(), site)
}

fn digest_bits(beginning: &[u8], site: &str) -> u128 {
    let digest = Sha256::new().chain_update(beginning);
    let digest = digest.chain_update(site).finalize();
    let bits = digest.iter().take(16);
    let bits = bits.fold(0, |bits, byte| bits << 8 | u128::from(*byte));

    bits & PLACE_BITS
}

/// The encoding of the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyForm {
    None,
    Form,
    Json,
}

impl BodyForm {
    /// The body as the provider reads it.
    #[must_use]
    pub fn body(self, text: &str) -> Body<'_> {
        match self {
            BodyForm::None => Body::None,
            BodyForm::Form => Body::Form(text.as_bytes()),
            BodyForm::Json => Body::Json(text.as_bytes()),
        }
    }
}

/// An accepted request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    v: u32,
    pub id: uuid::Uuid,
    /// Microseconds since the epoch.
    pub at: i64,
    pub site: String,
    pub from: Option<IpAddr>,
    /// The request target without the token.
    pub target: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    pub form: BodyForm,
    /// The ingress that received the request. Without a broker there is only one, and it has no
    /// id; requests of other programs have none either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<uuid::Uuid>,
    /// The W3C trace of the request, if it had one.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "valid_trace"
    )]
    pub trace: Option<Trace>,
}

/// A trace travels in headers, which have little room: one that is invalid is left out.
fn valid_trace<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Trace>, D::Error> {
    let text = Option::<String>::deserialize(from)?;

    Ok(text.as_deref().and_then(Trace::parse))
}

/// A `traceparent` header of version 00.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trace(String);

impl Trace {
    /// Reads the header; `None` when it is invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Trace> {
        let [version, trace, span, flags] = text.split('-').collect::<Vec<_>>()[..] else {
            return None;
        };

        let bytes = |field: &str| HEXLOWER.decode(field.as_bytes()).unwrap_or_default();
        let is_id = |field: &str, length: usize| {
            let id = bytes(field);
            id.len() == length && id.iter().any(|byte| *byte != 0)
        };
        let is_traceparent =
            version == "00" && is_id(trace, 16) && is_id(span, 8) && bytes(flags).len() == 1;

        is_traceparent.then(|| Trace(text.to_owned()))
    }

    /// The trace that begins with an event: its id is the event's id.
    #[must_use]
    pub fn of(event: EventId) -> Trace {
        let span = u64::try_from(event.0 & u128::from(u64::MAX))
            .unwrap_or(1)
            .max(1);

        Trace(format!("00-{:032x}-{span:016x}-01", event.0.max(1)))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Redacted: requests contain personal data.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id)
            .field("at", &self.at)
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

/// The reason why a message is no envelope, or holds no fact.
#[derive(Debug, thiserror::Error)]
pub enum BadEnvelope {
    #[error("not JSON of the known form: {}", place_of(.0))]
    Undecodable(#[from] serde_json::Error),
    #[error("{UNKNOWN_VERSION} {0}")]
    UnknownVersion(u32),
    #[error("bad site name")]
    BadSite,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    NoDevice(#[from] NoDevice),
}

/// The kind of a JSON error, without its text, which may quote numbers.
fn place_of(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "a field is missing or of another type",
        serde_json::error::Category::Eof => "it ends early",
        _ => "no JSON",
    };

    format!("{kind}, at column {}", error.column())
}

/// The instant at which a version 7 id was made; ids of other versions name none.
#[must_use]
pub fn made_at(id: uuid::Uuid) -> Option<At> {
    let timestamp = id.get_timestamp();
    let (seconds, nanos) = timestamp.filter(|_| id.get_version_num() == 7)?.to_unix();
    let micros = i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(nanos / 1_000));

    Some(At(micros))
}

impl Envelope {
    /// Whether an id of version 7 was made about the instant of the event.
    #[must_use]
    pub fn has_id_of_its_instant(&self) -> bool {
        made_at(self.id)
            .is_none_or(|made| made.0.saturating_sub(self.at).saturating_abs() <= ID_APART_MAX_US)
    }

    /// Whether the id was made for the site and the instant of the event, as ingresses make it.
    #[must_use]
    pub fn has_id_of_its_place(&self) -> bool {
        let is_of_instant = made_at(self.id).is_some_and(|made| made.0 == self.at / 1_000 * 1_000);

        is_of_instant && (self.id.as_u128() & PLACE_BITS) == place_bits(&self.site, At(self.at))
    }

    /// Gives the event of another program, or a copy, an id of its own: one that was not made for its
    /// site and instant. Returns whether the id has changed.
    pub fn take_own_id(&mut self) -> bool {
        let named = EventId(self.id.as_u128());
        let own = id_at_site(named, &self.site);
        if self.has_id_of_its_place() || own == named {
            return false;
        }

        self.id = uuid::Uuid::from_u128(own.0);
        true
    }

    /// Whether the other envelope holds the same request, whenever and however it was received.
    #[must_use]
    pub fn has_content_of(&self, other: &Envelope) -> bool {
        (&self.site, &self.target, &self.body, self.form)
            == (&other.site, &other.target, &other.body, other.form)
    }

    #[must_use]
    pub fn new(
        id: EventId,
        at: At,
        site: &Site,
        from: Option<IpAddr>,
        target: &str,
        body: &str,
        form: BodyForm,
    ) -> Envelope {
        Envelope {
            v: VERSION,
            id: uuid::Uuid::from_u128(id.0),
            at: at.0,
            site: site.as_str().to_owned(),
            from,
            target: target.to_owned(),
            body: body.to_owned(),
            form,
            ingress: None,
            trace: None,
        }
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Text and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The trace of the request; one that begins with this event, if the request had none.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.trace
            .clone()
            .unwrap_or_else(|| Trace::of(EventId(self.id.as_u128())))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadEnvelope`], with the reason why the bytes are no envelope of a known version.
    pub fn decode(message: &[u8]) -> Result<Envelope, BadEnvelope> {
        // Nearly all messages are envelopes of this version: they are parsed once.
        if let Ok(envelope) = serde_json::from_slice::<Envelope>(message)
            && envelope.v == VERSION
        {
            return Ok(envelope);
        }

        let version = serde_json::from_slice::<Version>(message)?.v;
        if version != VERSION {
            return Err(BadEnvelope::UnknownVersion(version));
        }

        Ok(serde_json::from_slice(message)?)
    }

    /// The fact that the request states.
    ///
    /// # Errors
    /// [`BadEnvelope`], with the reason why the request states no fact.
    pub fn fact<'p>(
        &self,
        policy_of: impl FnOnce(&Site) -> &'p Policy,
    ) -> Result<Fact, BadEnvelope> {
        let site = Site::parse(&self.site).ok_or(BadEnvelope::BadSite)?;
        let request = Request::read(&self.target, self.form.body(&self.body))?;
        let region = policy_of(&site).region;

        Ok(request.report.into_fact(
            EventId(self.id.as_u128()),
            At(self.at),
            site,
            request.kind,
            region,
        )?)
    }
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Whether a message is one of ours, of any version.
#[must_use]
pub fn has_version(message: &[u8]) -> bool {
    serde_json::from_slice::<Version>(message).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        let target = "/gs/cti/incoming?mac=000b82000001&local=203&remote=+4930111222";

        Envelope::new(
            EventId(0x0190_0000_0000_7000_8000_0000_0000_0001),
            At(1_767_225_600_000_000),
            &Site::default(),
            None,
            target,
            "",
            BodyForm::None,
        )
    }

    #[test]
    fn an_invalid_trace_is_left_out_and_an_id_is_of_the_instant_of_its_event() {
        let at = At(1_800_000_000_000_000);
        let id = EventId(0x01a3_185c_5000_7000_8000_0000_0000_0001);
        let with = |field: &str| {
            let json = format!(
                r#"{{"v":1,"id":"{}","at":{},"site":"default","from":null,"target":"/gs/cti/idle?mac=1","form":"none"{field}}}"#,
                uuid::Uuid::from_u128(id.0),
                at.0
            );
            Envelope::decode(json.as_bytes()).unwrap()
        };

        let long = format!(r#","trace":"{}""#, "x".repeat(300_000));
        assert!(with(&long).trace.is_none());
        let valid = Trace::of(id);
        assert_eq!(
            with(&format!(r#","trace":"{}""#, valid.as_str())).trace,
            Some(valid)
        );

        assert!(with("").has_id_of_its_instant());
        let other = Envelope {
            at: at.0 + 86_400_000_000,
            ..with("")
        };
        assert!(!other.has_id_of_its_instant());
    }

    #[test]
    fn an_id_tells_the_site_and_the_instant_of_its_event() {
        let site = |name: &str| Site::parse(name).unwrap();
        let at = At(1_800_000_000_000_123);
        let random = EventId(0x01a3_185c_5000_7fff_bfff_ffff_ffff_ffff);
        let id = id_at_place(random, &site("munich"), at);
        let is_own = |name: &str, at: At| {
            let site = site(name);
            Envelope::new(id, at, &site, None, "/", "", BodyForm::None).has_id_of_its_place()
        };

        assert!(is_own("munich", at));
        assert!(!is_own("berlin", at));
        assert!(!is_own("munich", At(at.0 + 1)));
        assert!(!is_own("munich", At(at.0 + 1_000_000)));
        assert_eq!(id.0 | PLACE_BITS, random.0, "only the last bits change");
    }

    #[test]
    fn a_copy_and_an_event_of_another_program_have_ids_of_their_own() {
        let site = |name: &str| Site::parse(name).unwrap();
        let at = At(1_800_000_000_000_123);
        let random = EventId(0x01a3_185c_5000_7fff_bfff_ffff_ffff_ffff);
        let id = id_at_place(random, &site("munich"), at);
        let event =
            |site: &Site, at: At| Envelope::new(id, at, site, None, "/", "", BodyForm::None);
        let own_id = |mut envelope: Envelope| {
            envelope.take_own_id();
            assert!(!envelope.take_own_id(), "the own id stays");
            envelope.id.as_u128()
        };

        assert_eq!(own_id(event(&site("munich"), at)), id.0);
        let copied = own_id(event(&site("berlin"), at));
        let later = own_id(event(&site("munich"), At(at.0 + 1)));
        assert_ne!(copied, id.0);
        assert_ne!(later, id.0);
        assert_ne!(copied, later);
        assert_eq!(copied | PLACE_BITS, random.0, "only the last bits change");
    }

    #[test]
    fn the_stored_form_never_changes() {
        let stored = concat!(
            r#"{"v":1,"id":"01900000-0000-7000-8000-000000000001","at":1767225600000000,"#,
            r#""site":"default","from":null,"#,
            r#""target":"/gs/cti/incoming?mac=000b82000001&local=203&remote=+4930111222","#,
            r#""form":"none"}"#
        );

        assert_eq!(String::from_utf8(envelope().encode()).unwrap(), stored);
        assert_eq!(Envelope::decode(stored.as_bytes()).unwrap(), envelope());

        let policy = Policy::default();
        let fact = envelope().fact(|_| &policy).unwrap();
        assert_eq!(
            (fact.at, fact.remote.unwrap().e164()),
            (At(1_767_225_600_000_000), Some("+4930111222"))
        );
    }

    #[test]
    fn a_trace_is_carried_or_made() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(
            Trace::parse(given)
                .map(|trace| trace.as_str().to_owned())
                .as_deref(),
            Some(given)
        );

        let zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for wrong in [
            "",
            "00-1-2-3",
            &zero,
            &given.to_uppercase(),
            &format!("{given}-x"),
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(wrong), None, "{wrong}");
        }

        assert_eq!(
            Trace::parse(envelope().trace().as_str()),
            Some(envelope().trace())
        );
        let traced = Envelope {
            trace: Trace::parse(given),
            ..envelope()
        };
        assert_eq!(
            Envelope::decode(&traced.encode()).unwrap().trace().as_str(),
            given
        );
    }

    #[test]
    fn an_undecodable_message_has_its_reason() {
        for (message, expected) in [
            ("", "not JSON"),
            ("[]", "not JSON"),
            (r#"{"v":2}"#, "unknown version 2"),
            (r#"{"v":1}"#, "not JSON"),
            (r#"{"v":-1}"#, "not JSON"),
        ] {
            let error = Envelope::decode(message.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{message}: {error}");
        }
    }
}
