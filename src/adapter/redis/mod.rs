//! The live view in Redis: open calls for other programs and for quick look-ups. `docs/redis.md`
//! describes its keys.
//!
//! - **Derived data**: the view is written after the database and may be lost at any time; the
//!   owner of a partition publishes it again.
//! - **Bounded waiting**: every round trip has a deadline of 100 ms. After five failures in a row
//!   no request is sent for two seconds.
//! - **No overwrites by older data**: versioned hashes carry the event time of their writer.

mod call;
mod commands;
mod directory;
mod event_log;
mod keys;
mod link;
mod live;
mod presence;
mod published;
mod stream;
mod transfer;

pub use directory::RedisDirectory;
pub use event_log::RedisEventLog;
pub use link::{RedisAddress, RedisLink};
pub use live::RedisLive;
pub use presence::RedisPresence;
