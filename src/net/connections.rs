//! Limits on the connections of one listener: in total, and of one address. Surplus connections get
//! 503 and are closed.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits of one listener.
pub struct ConnectionLimit {
    total: Arc<Semaphore>,
    per_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address_max: usize,
}

/// The right to one connection, returned when it is dropped.
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    from: IpAddr,
    per_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl ConnectionLimit {
    #[must_use]
    pub fn new(total_max: usize, per_address_max: usize) -> ConnectionLimit {
        ConnectionLimit {
            total: Arc::new(Semaphore::new(total_max)),
            per_address: Arc::default(),
            per_address_max,
        }
    }

    /// A permit, if one is left. A shared address, such as that of a proxy, is limited only by the
    /// total.
    #[must_use]
    pub fn admit(&self, from: IpAddr, shared: bool) -> Option<ConnectionPermit> {
        let from = household(from);
        let permit = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let mut per_address = self.per_address.lock();
        let count = per_address.entry(from).or_insert(0);
        if *count >= self.per_address_max && !shared {
            return None;
        }

        *count += 1;
        drop(per_address);

        Some(ConnectionPermit {
            _permit: permit,
            from,
            per_address: Arc::clone(&self.per_address),
        })
    }
}

/// The share of one customer of a provider: an IPv4 address, or a network of 64 bits.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut per_address = self.per_address.lock();

        if let Some(count) = per_address.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                per_address.remove(&self.from);
            }
        }
    }
}

/// Answers 503 without waiting for the socket, and closes it.
pub fn reject_busy(socket: TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
        retry-after: 5\r\n\
        connection: close\r\n\
        content-length: 0\r\n\r\n";

    if let Ok(mut socket) = socket.into_std() {
        // The connection is closed even if the answer does not fit into its buffer.
        let _ = socket.write(BUSY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_all_addresses_have_limits_and_a_shared_address_only_the_second() {
        let limit = ConnectionLimit::new(4, 2);
        let [first, second, shared] = [1, 2, 3].map(|host| IpAddr::from([10, 0, 0, host]));

        let of_first = [limit.admit(first, false), limit.admit(first, false)];
        assert!(of_first.iter().all(Option::is_some));
        assert!(limit.admit(first, false).is_none(), "the third of one");

        let of_shared = [(); 2].map(|()| limit.admit(shared, true));
        assert!(of_shared.iter().all(Option::is_some));
        assert!(limit.admit(second, false).is_none(), "the fifth of all");

        drop(of_first);
        assert!(limit.admit(second, false).is_some());
        assert!(!limit.per_address.lock().contains_key(&first));
    }
}
