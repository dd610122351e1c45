//! Sockets: what all TCP listeners of a process share. The accept loop, the limits on connections,
//! and the deadline of writes.

mod accept;
mod connections;
mod write_deadline;

pub use accept::accept;
pub use connections::{ConnectionLimit, ConnectionPermit, reject_busy};
pub use write_deadline::{WRITE_MAX, WriteDeadline};
