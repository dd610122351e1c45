//! The ingress: a phone's request is repaired on the socket, checked, made durable and answered.
//! The shipper publishes the journal to the broker.

pub mod auth;
mod content;
mod handle;
mod limits;
mod rate_limit;
pub mod repair;
mod repaired_socket;
mod server;
mod shipper;
pub mod stamp;
mod tick;

pub use handle::Ingress;
pub use limits::Limits;
pub use server::serve;
pub use shipper::Shipper;
pub use tick::{send_last_tick, send_ticks};
