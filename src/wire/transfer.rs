//! Contexts and events of transfers as JSON, in a form that other programs rely on.
//!
//! It is read tolerantly: unknown fields are kept and written again, and an unknown type of event is
//! an event with this name. Instants are seconds since 1970, with fractions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::instant;
use crate::domain::time::At;

/// The type of a transfer's event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TransferEventType {
    /// The target has answered.
    DestinationAnswered,
    /// The transfer came to nothing.
    TransferFailed,
    /// A type that only other programs know, by its name.
    Other(String),
}

impl TransferEventType {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            TransferEventType::DestinationAnswered => "destination_answered",
            TransferEventType::TransferFailed => "transfer_failed",
            TransferEventType::Other(name) => name,
        }
    }

    /// Whether the transfer is over with an event of this type.
    #[must_use]
    pub fn is_decisive(&self) -> bool {
        !matches!(self, TransferEventType::Other(_))
    }
}

impl From<String> for TransferEventType {
    fn from(name: String) -> TransferEventType {
        match name.as_str() {
            "destination_answered" => TransferEventType::DestinationAnswered,
            "transfer_failed" => TransferEventType::TransferFailed,
            _ => TransferEventType::Other(name),
        }
    }
}

impl From<TransferEventType> for String {
    fn from(kind: TransferEventType) -> String {
        kind.name().to_owned()
    }
}

/// One event of a transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferEvent {
    #[serde(rename = "type")]
    pub kind: TransferEventType,
    pub transfer_id: String,
    #[serde(default)]
    pub original_call_sid: Option<String>,
    #[serde(default)]
    pub transfer_call_sid: Option<String>,
    #[serde(default)]
    pub target_number: Option<String>,
    #[serde(default)]
    pub conference_name: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub action: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub end_call: bool,
    /// Seconds since 1970.
    #[serde(default)]
    pub timestamp: f64,
    /// Fields of other programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl TransferEvent {
    /// The event with which a transfer ends.
    #[must_use]
    pub fn of(
        context: &TransferContext,
        kind: TransferEventType,
        reason: &str,
        message: Option<&str>,
        at: At,
    ) -> TransferEvent {
        TransferEvent {
            transfer_id: context.transfer_id.clone(),
            original_call_sid: context.original_call_sid.clone(),
            transfer_call_sid: context.call_sid.clone(),
            target_number: context.target_number.clone(),
            conference_name: context.conference_name.clone(),
            message: message.map(ToOwned::to_owned),
            status: Some(default_status(&kind).to_owned()),
            action: Some(kind.name().to_owned()),
            reason: Some(reason.to_owned()),
            end_call: false,
            timestamp: instant::seconds(at),
            more: Map::new(),
            kind,
        }
    }

    /// Takes from the context what another program has not said.
    pub fn complete(&mut self, context: &TransferContext) {
        for (field, known) in [
            (&mut self.original_call_sid, &context.original_call_sid),
            (&mut self.transfer_call_sid, &context.call_sid),
            (&mut self.target_number, &context.target_number),
            (&mut self.conference_name, &context.conference_name),
        ] {
            if field.is_none() {
                field.clone_from(known);
            }
        }
    }

    #[must_use]
    pub fn to_json(&self) -> String {
        // Text and numbers always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The answer to a program that waited: every field, with a default where the event has none.
    #[must_use]
    pub fn to_result_dict(&self) -> Value {
        json!({
            "status": self.status.as_deref().unwrap_or(default_status(&self.kind)),
            "message": self.message.as_deref().unwrap_or_default(),
            "action": self.action.as_deref().unwrap_or(self.kind.name()),
            "reason": self.reason.as_deref().unwrap_or_default(),
            "transfer_id": self.transfer_id,
            "original_call_sid": self.original_call_sid,
            "transfer_call_sid": self.transfer_call_sid,
            "target_number": self.target_number,
            "conference_name": self.conference_name,
            "end_call": self.end_call,
            "timestamp": self.timestamp,
        })
    }
}

fn default_status(kind: &TransferEventType) -> &'static str {
    if *kind == TransferEventType::TransferFailed {
        "failed"
    } else {
        "success"
    }
}

/// A transfer that is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransferContext {
    pub transfer_id: String,
    #[serde(default)]
    pub call_sid: Option<String>,
    #[serde(default)]
    pub target_number: Option<String>,
    #[serde(default)]
    pub tool_uuid: Option<String>,
    #[serde(default)]
    pub original_call_sid: Option<String>,
    #[serde(default)]
    pub conference_name: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    pub initiated_at: f64,
    #[serde(default)]
    pub workflow_run_id: Option<Value>,
    #[serde(default)]
    pub conference_id: Option<String>,
    /// Fields of other programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl TransferContext {
    #[must_use]
    pub fn to_json(&self) -> String {
        // Text and numbers always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_and_types_come_back_as_they_were() {
        let text = json!({
            "type": "destination_ringing",
            "transfer_id": "t1",
            "timestamp": 1_767_225_600.25,
            "trunk": { "id": 7 },
        });

        let event: TransferEvent = serde_json::from_value(text).unwrap();
        assert_eq!(event.kind.name(), "destination_ringing");
        assert!(!event.kind.is_decisive());

        let written = serde_json::to_value(&event).unwrap();
        assert_eq!(written["type"], "destination_ringing");
        assert_eq!(written["trunk"]["id"], 7);
        assert_eq!(written["timestamp"], 1_767_225_600.25);
        assert_eq!(written["reason"], Value::Null);
    }

    #[test]
    fn a_result_has_every_field() {
        let failed: TransferEvent =
            serde_json::from_value(json!({ "type": "transfer_failed", "transfer_id": "t1" }))
                .unwrap();

        assert_eq!(
            failed.to_result_dict(),
            json!({
                "status": "failed",
                "message": "",
                "action": "transfer_failed",
                "reason": "",
                "transfer_id": "t1",
                "original_call_sid": null,
                "transfer_call_sid": null,
                "target_number": null,
                "conference_name": null,
                "end_call": false,
                "timestamp": 0.0,
            })
        );
    }

    #[test]
    fn a_context_needs_only_its_id() {
        let context: TransferContext =
            serde_json::from_value(json!({ "transfer_id": "t1", "workflow_run_id": 42 })).unwrap();

        assert_eq!(context.workflow_run_id, Some(json!(42)));
        assert_eq!(context.original_call_sid, None);
    }
}
