//! Grandstream phones and PBXs: what they call things, and how their requests become facts.

mod names;
mod report;
mod request;

pub use names::kind_of;
pub use report::{NoDevice, Report};
pub use request::{Body, Request, Unreadable, without_token};
