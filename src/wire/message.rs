//! Messages from the ingress to the worker: a phone's request, or the promise that every request up
//! to an instant has been sent.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::envelope::{BadEnvelope, Envelope};
use super::policy_file::Policies;
use crate::domain::fact::Fact;
use crate::domain::time::At;

/// A message, as the journal and the broker carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Event(Envelope),
    Tick(Tick),
}

/// Every request that this ingress received up to and including this instant stands before this
/// message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    pub at: At,
    pub ingress: IngressId,
    /// The ingress sends no request any more, until its next tick.
    pub leaving: bool,
}

/// The identity of one ingress over all its runs, which is that of its journal. Without a broker
/// there is only one ingress, and it has the default identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IngressId(pub u128);

impl IngressId {
    #[must_use]
    pub fn parse(text: &str) -> Option<IngressId> {
        uuid::Uuid::try_parse(text)
            .ok()
            .map(|id| IngressId(id.as_u128()))
    }

    /// The id in its stored form; `None` for the only ingress, without a broker.
    #[must_use]
    pub fn to_uuid(self) -> Option<uuid::Uuid> {
        (self != IngressId::default()).then(|| uuid::Uuid::from_u128(self.0))
    }
}

impl fmt::Display for IngressId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).as_hyphenated().fmt(f)
    }
}

/// The tick of the only ingress, without a broker.
impl From<At> for Tick {
    fn from(at: At) -> Tick {
        Tick {
            at,
            ingress: IngressId::default(),
            leaving: false,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TickForm {
    v: u32,
    tick: i64,
    #[serde(default, skip_serializing_if = "uuid::Uuid::is_nil")]
    ingress: uuid::Uuid,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    leaving: bool,
}

/// The beginning of every tick that [`Message::encode`] writes.
const TICK_BEGINS: &[u8] = br#"{"v":1,"tick":"#;

impl Message {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Message::Event(envelope) => envelope.encode(),
            Message::Tick(Tick {
                at,
                ingress,
                leaving,
            }) => {
                let form = TickForm {
                    v: 1,
                    tick: at.0,
                    ingress: uuid::Uuid::from_u128(ingress.0),
                    leaving: *leaving,
                };

                // Numbers and an id always serialize.
                serde_json::to_vec(&form).unwrap_or_default()
            }
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadEnvelope`], with the reason why the bytes are no message of a known version.
    pub fn decode(bytes: &[u8]) -> Result<Message, BadEnvelope> {
        // Nearly all messages are reports; the comparison is cheaper than a failed parse as a tick.
        if bytes.starts_with(TICK_BEGINS)
            && let Ok(TickForm {
                v: 1,
                tick,
                ingress,
                leaving,
            }) = serde_json::from_slice(bytes)
        {
            return Ok(Message::Tick(Tick {
                at: At(tick),
                ingress: IngressId(ingress.as_u128()),
                leaving,
            }));
        }

        Envelope::decode(bytes).map(Message::Event)
    }

    /// The fact in a stored message; `None` where it holds none.
    #[must_use]
    pub fn fact(bytes: &[u8], policies: &Policies) -> Option<Fact> {
        match Message::decode(bytes).ok()? {
            Message::Event(envelope) => envelope.fact(|site| policies.of(site)).ok(),
            Message::Tick(_) => None,
        }
    }

    /// The instant of the request, or of the promise.
    #[must_use]
    pub fn at(&self) -> At {
        match self {
            Message::Event(envelope) => At(envelope.at),
            Message::Tick(tick) => tick.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_survives_the_round_trip() {
        let tick = Message::Tick(At(1_767_225_600_000_000).into());
        assert_eq!(tick.encode(), br#"{"v":1,"tick":1767225600000000}"#);
        assert_eq!(Message::decode(&tick.encode()).unwrap(), tick);
        assert!(Message::decode(br#"{"v":2,"tick":1}"#).is_err());

        let last = Message::Tick(Tick {
            at: At(7),
            ingress: IngressId(0x0190_0000_0000_7000_8000_0000_0000_0001),
            leaving: true,
        });
        assert_eq!(
            last.encode(),
            br#"{"v":1,"tick":7,"ingress":"01900000-0000-7000-8000-000000000001","leaving":true}"#
        );
        assert_eq!(Message::decode(&last.encode()).unwrap(), last);
    }
}
