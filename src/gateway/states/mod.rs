//! Call states for other programs: they register calls of their own, join their sessions to calls
//! of phones, and find a call by its session or a session by its call.
//!
//! [`CallStates`] has the operations for code of this program; [`routes()`] serves the same
//! operations over REST.

mod call_states;
mod registration;
mod routes;

pub use call_states::{CallStates, Outdated};
pub(super) use routes::{routes, state_error_response};
