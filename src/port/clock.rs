//! Time of day. Only the edge reads it; all later stages use the time of their facts.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::time::{At, Span};

/// A clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> At;

    /// Time since a fixed moment. It is never set, and never goes back.
    fn steady(&self) -> Span;
}

/// A clock that several machines share.
#[async_trait]
pub trait CommonClock: Send + Sync {
    async fn common_now(&self) -> Result<At, LedgerError>;
}
