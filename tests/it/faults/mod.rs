//! Faults: a process or server that is killed, frozen, cut off, locked or full changes no record.

// Tests start in the order of their names: the longest one is the first.
#[cfg(feature = "server-tests")]
mod anything;
#[cfg(feature = "server-tests")]
mod backup;
#[cfg(feature = "server-tests")]
mod broker;
#[cfg(feature = "server-tests")]
mod cluster;
#[cfg(feature = "server-tests")]
mod database;
mod embedded;
#[cfg(feature = "server-tests")]
mod ingress;
#[cfg(feature = "server-tests")]
mod live_view;
#[cfg(feature = "server-tests")]
mod upgrade;
#[cfg(feature = "server-tests")]
mod workers;
