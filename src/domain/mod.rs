//! What a call is. Facts in, calls out: no clock, no IO, no async, no randomness; time enters as
//! data.
//!
//! Start with [`fact`] (what a phone reports), then `leg` and `call` (what facts become), then
//! `fold` (how).

mod call;
mod cow_slab;
pub mod device;
pub mod explain;
mod extensions;
pub mod fact;
mod fold;
mod leg;
pub mod link;
pub mod notice;
pub mod number;
pub mod policy;
pub mod private;
mod reading;
pub mod record;
pub mod time;
pub mod timeline;
pub mod transfer;

pub use call::Rule;
pub use timeline::{Delta, Replay, Timeline, reconstruct};
