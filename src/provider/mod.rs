//! Bytes of a PBX or phone into facts. Pure: no socket, no clock.

pub mod grandstream;
