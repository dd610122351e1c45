//! The journal: a durable queue of records in files of one folder.
//!
//! - **Durability**: an append returns after its record is synced. A record that was answered with
//!   200 survives a crash of the process or the machine.
//! - **Group commit**: all queued appends, at most 1,024, share one write and one `fdatasync`.
//! - **Order**: followers read durable records in the order of their appends.
//! - **Repair**: a torn tail is truncated; a damaged stretch is copied to `corrupt/` and skipped; a
//!   full disk rejects appends until there is space again.
//! - **Retention**: released segments are retained in `kept/` for a configured time, and deleted
//!   earlier when their space is needed.
//!
//! One process opens a journal at a time, guarded by a lock file; others hand events over to it.

mod checkpoint;
mod confirmed;
mod disk;
mod error;
mod follower;
mod handover;
mod inbox;
mod limits;
mod open;
mod progress;
mod reader;
mod record;
mod retention;
mod scan;
mod tail;
mod writer;

pub use checkpoint::Position;
pub use confirmed::{ConfirmedIntake, JournalBacklog};
pub use disk::{Disk, MachineDisk, Segment};
pub use error::{AppendError, OpenError};
pub use follower::{Entry, Follower};
pub use handover::{Handover, handed_over};
pub use inbox::JournalInbox;
pub use limits::Limits;
pub use open::Journal;
pub use retention::history;
pub use scan::{Damage, JournalScan};
pub use tail::JournalTail;
