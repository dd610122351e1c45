//! Code that all tests share: waiting, the service as a process, servers, call flows and their
//! phones, arbitrary traffic, and the comparison of records.

pub mod batches;
pub mod embedded;
pub mod failing;
pub mod fleet;
pub mod flow;
pub mod http;
pub mod ingress;
pub mod log;
pub mod overlay;
pub mod play;
pub mod service;
pub mod sqlite;
pub mod stations;
pub mod traffic;
pub mod verdict;
pub mod wait;
pub mod worker;

#[cfg(feature = "server-tests")]
pub mod browser;
#[cfg(feature = "server-tests")]
pub mod cluster;
#[cfg(feature = "server-tests")]
pub mod foreign;
#[cfg(feature = "server-tests")]
pub mod live;
#[cfg(feature = "server-tests")]
pub mod load;
#[cfg(feature = "server-tests")]
pub mod postgres;
#[cfg(feature = "server-tests")]
pub mod proxy;
#[cfg(feature = "server-tests")]
pub mod rabbit;
#[cfg(feature = "server-tests")]
pub mod scene;
#[cfg(feature = "server-tests")]
pub mod servers;
