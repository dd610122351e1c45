//! A world that knows the truth: days of a PBX with its callers, its phones and their quirks, and
//! what really happened in each call.
//!
//! The world is written from what phones and PBXs do, not from the rules that read their reports;
//! it shares no code with them. A seed is a day: the same seed gives the same calls, the same
//! reports, and the same faults of the network.

mod click_to_call;
mod coincidences;
mod forwards;
mod network;
mod parking;
mod phone;
mod queues;
mod scene;
mod semi_attended;
mod site;
mod transfers;
mod truth;
mod verdict;
mod waiting;

pub use network::Network;
pub use phone::WorldReport;
pub use site::{Day, Load, WorldSettings};
pub use truth::{TrueCall, TrueTransfer};
pub use verdict::{Score, judge};

/// Microseconds.
pub(super) type Micros = i64;

pub(super) const SECOND: Micros = 1_000_000;
pub(super) const MILLI: Micros = 1_000;
