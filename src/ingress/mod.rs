//! The ingress: a phone's request is repaired on the socket, checked, made durable and answered.

pub mod auth;
mod connection;
mod handle;
mod limits;
pub mod repair;
mod server;
pub mod stamp;
mod tick;

pub use handle::Ingress;
pub use server::{Limits, serve};
pub use tick::{leave, tick};
