//! Time of day. Only the edge asks for it; everything behind it reads the time of its facts.

use crate::domain::time::At;

/// Tells what time it is.
pub trait Clock: Send + Sync {
    fn now(&self) -> At;
}
