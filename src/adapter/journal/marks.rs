//! How far the journal has been written and settled, and whether it takes anything: what its writer and its reader tell the others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The last record that is durable.
    written: AtomicU64,
    /// The last record that is done with.
    settled: AtomicU64,
    bytes: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Marks {
    pub(super) fn new(written: u64, settled: u64, bytes: u64) -> Marks {
        Marks { written: written.into(), settled: settled.into(), bytes: bytes.into(), trouble: Mutex::default() }
    }

    pub(super) fn wrote(&self, sequence: u64, bytes: u64) {
        self.written.store(sequence, Ordering::Release);
        self.bytes.store(bytes, Ordering::Relaxed);
        let cured = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if cured.is_some() {
            tracing::info!("the journal takes events again");
        }
    }

    /// Says once what is wrong, and keeps it until something is written again.
    pub(super) fn refused(&self, why: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            tracing::error!(
                why,
                "the journal takes no events, phones are answered with 503; free space in its folder, or give it another disk"
            );
        }
        *trouble = Some(why.to_owned());
    }

    pub(super) fn settled(&self, sequence: u64) {
        self.settled.fetch_max(sequence, Ordering::AcqRel);
    }

    /// So many records before the end are to be read again.
    pub(super) fn rewind(&self, records: u64) {
        self.settled.store(self.written.load(Ordering::Acquire).saturating_sub(records), Ordering::Release);
    }

    /// Records that are durable and not done with.
    pub(super) fn depth(&self) -> u64 {
        let settled = self.settled.load(Ordering::Acquire);
        self.written.load(Ordering::Acquire).saturating_sub(settled)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
