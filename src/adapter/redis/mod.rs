//! The live view in Redis: what is going on right now, for other programs and for quick answers. It
//! is written after the database and may be lost at any time; every call has a deadline, and a
//! server that fails is left alone for a while.

mod call;
mod directory;
mod keys;
mod link;
mod live;
mod presence;
mod stream;

pub use directory::RedisDirectory;
pub use link::{Link, RedisAddress};
pub use live::RedisLive;
pub use presence::RedisPresence;
