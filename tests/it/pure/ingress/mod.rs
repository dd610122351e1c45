//! The ingress over raw sockets: events of real phones are accepted with their fields right, and
//! invalid requests harm no other.

mod access;
mod connections;
mod events;
mod fields;
mod lines;
mod rejected;
