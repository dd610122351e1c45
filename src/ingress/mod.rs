//! The ingress: a phone's request is repaired on the socket, checked, made durable and answered.
//! The shipper publishes the journal to the broker.

pub mod auth;
mod content;
mod limits;
mod rate_limit;
pub mod repair;
mod repaired_socket;
mod request;
mod server;
mod shipper;
pub mod stamp;
mod tick;

pub use limits::Limits;
pub use request::Ingress;
pub use server::serve;
pub use shipper::Shipper;
pub use tick::{send_last_tick, send_ticks};
