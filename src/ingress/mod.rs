//! The ingress: a phone's request is repaired on the socket, checked, made durable and answered. The
//! shipper publishes the journal to the broker.

pub mod auth;
mod connection;
mod handle;
mod limits;
mod rate_limit;
pub mod repair;
mod server;
mod shipper;
pub mod stamp;
mod tick;

pub use handle::Ingress;
pub use limits::Limits;
pub use server::serve;
pub use shipper::Shipper;
pub use tick::{leave, tick};
