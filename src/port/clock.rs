//! Time of day. Only the edge asks for it; everything behind it reads the time of its facts.

use crate::domain::time::{At, Span};

/// Tells what time it is.
pub trait Clock: Send + Sync {
    fn now(&self) -> At;

    /// Time since some moment; nobody can set it.
    fn steady(&self) -> Span;
}
