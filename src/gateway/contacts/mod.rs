//! Callers beyond their numbers: contacts, notes of agents, earlier calls, and the page of a
//! caller in another program. None of it is part of a record; all of it is looked up when a call is
//! shown.

mod address;
mod book;
mod caller;
mod file;
mod list;
mod look_up;
mod names;
mod routes;
mod search;

pub use address::AddressTemplate;
pub use book::{CallerBook, PageOpens};
pub(super) use caller::{Caller, CallerJson, ContactJson};
pub use look_up::LookUp;
pub(super) use routes::routes;
