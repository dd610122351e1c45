//! The daily event log: programs add what they did in a call, and the events of a range are read
//! by call.
//!
//! [`keeper`] appends, and moves events whose site becomes known; [`today`] groups events by call;
//! the routes serve both.

mod keeper;
mod routes;
mod today;

pub use keeper::EventKeeper;
pub(super) use routes::routes;
