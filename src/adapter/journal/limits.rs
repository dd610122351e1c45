//! Size and retention limits of a journal.

use std::time::Duration;

/// Limits of a journal on disk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size after which a new segment begins. This many bytes are reserved on the disk when a
    /// segment is created.
    pub segment_bytes: u64,
    /// Size of all unreleased segments together; appends beyond it are rejected. Retained segments
    /// use only the space that unreleased ones leave.
    pub total_bytes: u64,
    /// How long released segments are retained, as far as there is space. Zero deletes them at
    /// once.
    pub retention: Duration,
}
