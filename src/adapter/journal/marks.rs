//! How far the journal has been written and settled, and whether it takes anything: what its writer
//! and its reader tell the others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

#[derive(Debug)]
pub(super) struct Marks {
    /// The last record that is durable.
    written: AtomicU64,
    /// The last record that is done with.
    settled: watch::Sender<u64>,
    bytes: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Marks {
    pub(super) fn new(written: u64, settled: u64, bytes: u64) -> Marks {
        Marks {
            written: written.into(),
            settled: watch::Sender::new(settled),
            bytes: bytes.into(),
            trouble: Mutex::default(),
        }
    }

    pub(super) fn wrote(&self, sequence: u64, bytes: u64) {
        self.written.store(sequence, Ordering::Release);
        self.bytes.store(bytes, Ordering::Relaxed);
        let cured = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
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
        self.settled.send_if_modified(|settled| {
            sequence > std::mem::replace(settled, sequence.max(*settled))
        });
    }

    /// Waits until a record is done with.
    pub(super) async fn wait_until_settled(&self, sequence: u64) {
        let mut settled = self.settled.subscribe();
        // The sender lives as long as this.
        let _reached = settled.wait_for(|settled| *settled >= sequence).await;
    }

    /// So many records before the end are to be read again.
    pub(super) fn rewind(&self, records: u64) {
        self.settled
            .send_replace(self.written.load(Ordering::Acquire).saturating_sub(records));
    }

    /// Records that are durable and not done with.
    pub(super) fn depth(&self) -> u64 {
        let settled = *self.settled.borrow();
        self.written.load(Ordering::Acquire).saturating_sub(settled)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
