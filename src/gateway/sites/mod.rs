//! Sites: the goals and the opening hours of each, which people set.
//!
//! - Without rules of its own a site has the goals of the settings, and is open always.
//! - While a site is closed, no time for a call back passes.

mod hours;
mod routes;
mod rules;

pub(super) use routes::routes;
pub use rules::{Goals, Sites};
pub(super) use rules::{RuleBook, Rules};
