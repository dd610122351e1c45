//! Limits on the size and the rate of requests that one ingress accepts.

/// The limits of one ingress.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub connections_per_address: usize,
    /// Bytes of the request line and the headers.
    pub head_bytes: usize,
    pub headers: usize,
    pub body_bytes: usize,
    /// Time to send a head, and time between two requests of one connection.
    pub head_timeout_ms: u64,
    /// Time from the head to the answer.
    pub request_timeout_ms: u64,
    pub per_device_per_second: u32,
    pub per_device_burst: u32,
    /// Unauthorized requests of one address.
    pub strangers_per_second: u32,
}
