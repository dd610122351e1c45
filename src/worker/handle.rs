//! One batch: read -> reconstruct -> commit -> show -> tell -> settle. Nothing else sequences
//! effects; a batch with poison in it goes this way in parts.

use super::bisect::{BATCH_ATTEMPTS_MAX, Bisection};
use super::{Worker, WorkerError};
use crate::domain::Timeline;
use crate::domain::notice::NoticeKind;
use crate::domain::time::{At, Span};
use crate::port::intake::Delivery;
use crate::port::ledger::Changes;
use crate::port::outbox::Notification;

/// Time that passes and changes nothing is written down this often: what is lost of it at a crash
/// passes again.
const UNWRITTEN_MAX: Span = Span::seconds(10);
/// News read again at once.
const NEWS_AT_ONCE: u32 = 512;

impl Worker {
    pub(super) async fn handle(&mut self, messages: Vec<Delivery>) -> Result<(), WorkerError> {
        // Under a name of its own: the first message stands for the batch here, and for itself
        // where it is tried alone.
        let suspect = messages
            .first()
            .filter(|first| first.redelivered_often)
            .map(|first| [b"batch of ", &*first.message].concat());
        // Restarts and lost connections bring messages back as well. Only where the same batch was
        // begun several times and never done is each of its messages tried alone.
        let attempts = match &suspect {
            Some(batch) => self.attempt(batch).await?,
            None => 0,
        };
        if attempts > BATCH_ATTEMPTS_MAX {
            for one in messages {
                self.handle_alone(one).await?;
            }
        } else {
            self.work_off(Bisection::whole(messages)).await?;
        }
        self.inbox.settle().await?;
        self.tell_missing().await?;
        if let Some(batch) = &suspect {
            self.acquit(batch).await?;
        }
        Ok(())
    }

    pub(super) async fn work_off(&mut self, mut parts: Bisection) -> Result<(), WorkerError> {
        while let Some(mut part) = parts.next() {
            let (mut changes, mut settled) = self.read(&mut part);
            settled.duplicates = self.drop_known(&mut changes).await?;
            if let Err(error) = self.write(&mut changes).await {
                self.split_after_failure(&mut parts, part, error).await?;
                continue;
            }
            settled.stored = changes.facts.len() as u64;
            if !self.live.publish(&changes).await {
                self.show_all().await;
            }
            self.tell(changes.notifications);
            self.books.add_batch(&settled);
        }
        Ok(())
    }

    async fn write(&mut self, changes: &mut Changes) -> Result<(), WorkerError> {
        self.reconstruct(changes).await?;
        let passed = changes
            .watermark
            .is_some_and(|_| self.watermark >= self.committed + UNWRITTEN_MAX);
        if changes.is_empty() && !passed {
            return Ok(());
        }
        self.commit(changes).await
    }

    async fn commit(&mut self, changes: &mut Changes) -> Result<(), WorkerError> {
        // What is decided with this commit was decided by this watermark.
        changes.watermark = Some(self.watermark).filter(|at| *at != At::START);
        changes.ticks.clone_from(&self.promises.0);
        changes.published_up_to = self.fanout.published_up_to();
        let began = tokio::time::Instant::now();
        self.retry_while_unavailable("commit", || self.ledger.commit(changes))
            .await?;
        self.committed = self.watermark;
        metrics::histogram!("cordboard_worker_commit_seconds")
            .record(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Everything there is to see, again.
    pub(super) async fn show_all(&self) {
        let open: Vec<_> = self
            .sites
            .values()
            .flat_map(Timeline::open_calls)
            .filter(|call| !self.fragments.contains(&call.id))
            .collect();
        self.live.republish(&open).await;
    }

    /// What could not be told, from the ledger, as far as there is room.
    pub(super) async fn tell_missing(&self) -> Result<(), WorkerError> {
        while let Some(after) = self.fanout.resume_after() {
            let news = self
                .retry_while_unavailable("news", || {
                    self.ledger.notifications_after(after, NEWS_AT_ONCE)
                })
                .await?;
            self.fanout.enqueue_backlog(news, self.told);
        }
        Ok(())
    }

    fn tell(&self, news: Vec<Notification>) {
        let retracted = news
            .iter()
            .filter(|news| news.kind == NoticeKind::MissedRetracted)
            .count();
        metrics::counter!("cordboard_worker_missed_retracted_total").increment(retracted as u64);
        let held: usize = self.sites.values().map(Timeline::calls_held).sum();
        metrics::gauge!("cordboard_worker_calls_held").set(u32::try_from(held).unwrap_or(u32::MAX));
        self.books.advance_watermark(self.watermark);
        self.fanout.enqueue(news);
    }
}
