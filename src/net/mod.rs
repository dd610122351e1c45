//! Sockets: the accept loop that all TCP listeners of a process share.

mod accept;

pub use accept::accept;
