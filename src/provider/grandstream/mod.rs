//! Grandstream phones and PBXs: the names of their events and parameters, and the facts in their
//! requests.

mod json;
mod names;
mod report;
mod request;

pub use json::{json_object, looks_like_json};
pub use names::kind_of;
pub use report::{NoDevice, Report};
pub use request::{Body, Request, Unreadable, without_token};
