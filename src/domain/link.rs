//! Links between calls: which call a call continues, repeats or answers, how sure that is, and why.

use super::device::Extension;
use super::fact::CallId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A consultation that outlived the call it was made for.
    Transfer,
    /// One of us calls back, or is called back by, a party of an earlier call.
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub kind: LinkKind,
    /// The earlier call.
    pub call: CallId,
    pub confidence: Confidence,
    pub reason: &'static str,
}

/// How a leg that began later was recognised as part of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Transfer,
    Pickup,
    /// Rang again after everybody was silent, before or after a conversation.
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

/// What joins a leg to its call, and how sure that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    pub kind: JoinKind,
    pub extension: Option<Extension>,
    pub confidence: Confidence,
    pub reason: &'static str,
}
