//! What travels from the ingress to the worker: a phone's request, or the promise that everything up to an instant has been sent.

use serde::{Deserialize, Serialize};

use super::envelope::{BadEnvelope, Envelope};
use super::policy_file::Policies;
use crate::domain::fact::Fact;
use crate::domain::time::At;

/// A message of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Report(Envelope),
    /// Every request received up to and including this instant stands before this message.
    Tick(At),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TickForm {
    v: u32,
    tick: i64,
}

impl Message {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Message::Report(envelope) => envelope.encode(),
            Message::Tick(at) => format!("{{\"v\":1,\"tick\":{}}}", at.0).into_bytes(),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Says why it is none of ours.
    pub fn decode(bytes: &[u8]) -> Result<Message, BadEnvelope> {
        match serde_json::from_slice::<TickForm>(bytes) {
            Ok(TickForm { v: 1, tick }) => Ok(Message::Tick(At(tick))),
            _ => Envelope::decode(bytes).map(Message::Report),
        }
    }

    /// The fact in a message that was stored; `None` where it holds none.
    #[must_use]
    pub fn fact(bytes: &[u8], policies: &Policies) -> Option<Fact> {
        match Message::decode(bytes).ok()? {
            Message::Report(envelope) => envelope.fact(|site| policies.of(site)).ok(),
            Message::Tick(_) => None,
        }
    }

    /// The instant the message speaks of.
    #[must_use]
    pub fn at(&self) -> At {
        match self {
            Message::Report(envelope) => At(envelope.at),
            Message::Tick(at) => *at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_survives_the_round_trip() {
        let tick = Message::Tick(At(1_767_225_600_000_000));
        assert_eq!(tick.encode(), br#"{"v":1,"tick":1767225600000000}"#);
        assert_eq!(Message::decode(&tick.encode()).unwrap(), tick);
        assert!(Message::decode(br#"{"v":2,"tick":1}"#).is_err());
    }
}
