//! Webhooks: notifications for programs that are called instead of listening. Notifications become
//! deliveries of each receiver, which are sent, signed, and repeated until they are taken; the
//! routes set receivers up.

mod announcement;
mod dispatch;
mod documents;
mod lookup;
mod making;
mod memory;
mod messages;
mod routes;
mod sending;
mod signature;
mod trial;

pub(super) use announcement::Announcement;
pub use dispatch::Dispatcher;
pub(super) use routes::routes;
