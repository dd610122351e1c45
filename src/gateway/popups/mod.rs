//! Popups: each agent hears of the calls in which his phone has a part, of those of his helplines
//! while he can take them, and of no others.
//!
//! - **Once**: a [`Switch`] reads each notification once and passes it to the streams of the
//!   extensions in it, so the cost of an event does not grow with the number of agents.
//! - **Claim**: one agent at a time owns a ringing call. The database decides; a claim ends after
//!   30 seconds unless his phone has answered.
//! - **Bounded**: a stream that is too far behind is ended, and begins again with a snapshot.

mod follow;
mod popup;
mod presence;
mod routes;
mod socket;
mod switch;
mod window;

pub(super) use popup::rings;
pub(super) use routes::routes;
pub(super) use socket::open_routes;
pub use switch::Switch;
