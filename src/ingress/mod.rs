//! The thin edge: a phone's request is repaired on the socket, checked, made durable, and answered.

pub mod repair;
