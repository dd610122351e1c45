//! The missed-call desk: callers who wait for a call back, and the people who make it.
//!
//! - Missed calls of one number are one entry with a count; calls without a number stay apart.
//! - An entry is done when a person says so, or when a later call with the number was answered, in
//!   either direction.
//! - An entry belongs to one person at a time: of two who take it, one is refused.
//! - The time within which a caller is to be called back passes while his site is open.
//! - That a caller was reached is marked in the database, so that the list stays short however many
//!   calls were missed; the marks are verified again and again.

mod callers;
mod changes;
mod documents;
mod escalation;
mod reading;
pub(super) mod routes;
pub(super) mod statistics;

pub use changes::DeskBell;
