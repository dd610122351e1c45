//! Shared progress of a journal: durable and settled records, size, and the reason while appends
//! are rejected. The writer and the reader update it; operations and confirmed intakes read it.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

#[derive(Debug)]
pub(super) struct Progress {
    /// Sequence number of the last durable record.
    durable: AtomicU64,
    /// Sequence number of the last settled record.
    settled: watch::Sender<u64>,
    bytes: AtomicU64,
    /// Why appends are rejected at the moment.
    rejection: Mutex<Option<String>>,
}

impl Progress {
    pub(super) fn new(durable: u64, settled: u64, bytes: u64) -> Progress {
        Progress {
            durable: durable.into(),
            settled: watch::Sender::new(settled),
            bytes: bytes.into(),
            rejection: Mutex::default(),
        }
    }

    /// Records a successful append; `sequence` is its last record, `bytes` the size of all
    /// segments.
    pub(super) fn mark_durable(&self, sequence: u64, bytes: u64) {
        self.durable.store(sequence, Ordering::Release);
        self.bytes.store(bytes, Ordering::Relaxed);

        if self.rejection.lock().take().is_some() {
            tracing::info!("the journal takes events again");
        }
    }

    /// Records a rejected append. The first rejection is logged, later ones until the next
    /// successful append only replace the reason.
    pub(super) fn mark_rejecting(&self, reason: &str) {
        let mut rejection = self.rejection.lock();

        if rejection.is_none() {
            tracing::error!(
                why = reason,
                "the journal takes no events, phones are answered with 503; \
                 free space in its folder, or give it another disk"
            );
        }
        *rejection = Some(reason.to_owned());
    }

    /// Settles all records up to `sequence`.
    pub(super) fn settle_up_to(&self, sequence: u64) {
        self.settled.send_if_modified(|settled| {
            sequence > std::mem::replace(settled, sequence.max(*settled))
        });
    }

    /// Waits until a record is settled.
    pub(super) async fn wait_until_settled(&self, sequence: u64) {
        let mut settled = self.settled.subscribe();

        // The wait fails only when the sender is gone, and the sender lives as long as `self`.
        let _ = settled.wait_for(|settled| *settled >= sequence).await;
    }

    /// Marks the last `records` records as unsettled, because they are read again.
    pub(super) fn unsettle_last(&self, records: u64) {
        self.settled
            .send_replace(self.durable.load(Ordering::Acquire).saturating_sub(records));
    }

    /// Returns the number of durable records that are not settled.
    pub(super) fn depth(&self) -> u64 {
        let settled = *self.settled.borrow();
        self.durable.load(Ordering::Acquire).saturating_sub(settled)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn rejection_reason(&self) -> Option<String> {
        self.rejection.lock().clone()
    }
}
