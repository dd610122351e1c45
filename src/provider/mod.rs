//! Providers: the bytes of a PBX or phone become facts. Pure: no socket, no clock.

pub mod grandstream;
