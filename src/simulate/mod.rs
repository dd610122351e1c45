//! Simulation: a fleet of phones plays realistic call flows against any ingress, over real HTTP.
//! The same seed plays the same flows.

mod chaos;
mod dice;
mod fleet;
mod player;
pub mod world;

pub use chaos::Chaos;
pub use dice::Dice;
pub use fleet::{Fleet, MacForm, Report, mac};
pub use player::{Outcome, TimedRequest, play};
