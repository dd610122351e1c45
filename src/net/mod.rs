//! Sockets: the accept loop, the limits on connections and the deadline of writes that all TCP
//! listeners of a process share, and the addresses of clients, and
//! their membership in networks.

mod accept;
mod connections;
mod forwarded;
mod networks;
mod write_deadline;

pub use accept::accept;
pub use connections::{ConnectionLimit, ConnectionPermit, reject_busy};
pub use forwarded::ClientAddress;
pub use networks::any_contains;
pub use write_deadline::{WRITE_MAX, WriteDeadline};
