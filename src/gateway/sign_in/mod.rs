//! The principal of a request: a person with a session, a program with a token, or anyone while no
//! account exists.
//!
//! - **Open**: without any account the whole API is open on a loopback listener, or by permission.
//!   The first account closes it.
//! - **Sessions** are cookies that no script reads and no other site sends; a password or a link
//!   that works once begins them.
//! - **Tokens** are sent as `Authorization: Bearer`.
//! - **Limits**: 12 hours without use and 30 days in all for a session, 30 seconds for the ticket
//!   of a socket, ten failed passwords of one name in a quarter of an hour.

mod access;
mod attempts;
mod cookie;
mod identify;
mod password;
mod session;

pub use access::{Access, Credential};
pub(super) use cookie::NAME as SESSION_COOKIE;
pub(super) use identify::identify;
pub(super) use session::{AccountRole, open_routes, routes};
