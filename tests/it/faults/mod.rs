//! Faults: what is killed, frozen, parted, locked or full changes no record.

#[cfg(feature = "server-tests")]
mod disasters;
mod embedded;
#[cfg(feature = "server-tests")]
mod production;
