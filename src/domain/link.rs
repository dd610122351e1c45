//! Links between calls: which earlier call a call continues, repeats or returns, with confidence
//! and reason.
//!
//! A join is the counterpart within one call: the reason why a later leg belongs to it.

use super::device::Extension;
use super::fact::CallId;

/// The relation of a call to an earlier call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A consultation that outlived the call in which it began.
    Transfer,
    /// A phone of this site calls back, or is called back by, a party of an earlier call.
    Callback,
    /// The same party calls again.
    Repeat,
}

impl LinkKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LinkKind::Transfer => "transfer",
            LinkKind::Callback => "callback",
            LinkKind::Repeat => "repeat",
        }
    }
}

/// The strength of the evidence for a link, a join or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    Low,
    Medium,
    High,
}

impl Confidence {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        }
    }
}

/// A relation to an earlier call; the later call holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub kind: LinkKind,
    /// The earlier call.
    pub call: CallId,
    pub confidence: Confidence,
    pub reason: &'static str,
}

/// The evidence that a later leg is part of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Transfer,
    Pickup,
    /// A further ring after all phones were silent, before or after a conversation.
    Rering,
}

impl JoinKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            JoinKind::Transfer => "transfer",
            JoinKind::Pickup => "pickup",
            JoinKind::Rering => "rering",
        }
    }
}

/// The reason why a later leg belongs to its call, with its confidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    pub kind: JoinKind,
    pub extension: Option<Extension>,
    pub confidence: Confidence,
    pub reason: &'static str,
}
