//! The call model: facts of phones in; call records, links and notices out.
//!
//! ```text
//! Fact ------> Leg -------> Call --------> CallRecord ------> Notice
//!      match        place    |     read               compare
//!                            +--> Link to an earlier call
//! ```
//!
//! - **Fact** ([`fact`]): the report of one phone at one instant: a ring, an answer, an end, a
//!   hold, a transfer. Facts are never changed.
//! - **Leg** (`leg`): one device's participation in one call, from its first sign to its end. Each
//!   fact belongs to one leg (`fold::matching`) and changes it (`fold::changes`).
//! - **Call** (`call`): the legs of one conversation, and the transfer attempts made in it. A new
//!   leg joins the call for which it has the strongest reason, or begins a call of its own
//!   (`fold::placing`). Later facts may correct this: legs then move between calls
//!   (`fold::restructure`).
//! - **Link** ([`link`]): a relation to an earlier call of the same party: a repeated call, a call
//!   back, or a consultation that became a call of its own.
//! - **Record** ([`record`]): the entry of the call log. It is read from the legs at a watermark
//!   and never stored in the fold.
//! - **Notice** ([`notice`]): one difference between two records of a call.
//!
//! The fold (`fold`) holds legs and calls and needs the facts of a site in order. The timeline
//! ([`timeline`]) accepts them in any order and produces the records, links and notices that a
//! batch changed. The policy ([`policy`]) holds the time windows and numbers of a site.
//!
//! # Guarantees
//!
//! - Purity: no clock, no IO, no async, no randomness. Time enters as data: the instant of a fact,
//!   or the watermark, which promises that every fact up to an instant has arrived.
//! - Determinism: the same set of facts gives the same records, in any order and any batches, with
//!   any repetitions.
//! - Totality: no sequence of facts panics, and every fact about a call is part of a record.
//! - Isolation: calls never span two sites.
//!
//! All instants and spans are microseconds of event time ([`time`]).
//!
//! # Reading order
//!
//! [`fact`], `leg`, `call`, then `fold` and its modules, `reading` and [`record`], and last
//! [`timeline`].

mod call;
pub mod call_back;
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
mod participant;
pub mod policy;
mod reading;
mod reading_transfer;
pub mod record;
pub mod region;
pub mod text;
pub mod time;
pub mod timeline;
pub mod transfer;
pub mod window;

pub use call::Rule;
pub use timeline::{Delta, Replay, Timeline, reconstruct};
