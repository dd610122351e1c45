//! One batch: read -> reconstruct -> commit -> show -> tell -> settle. Nothing else sequences
//! effects; a batch with poison in it goes this way in parts.

use super::poison::{BATCH_ATTEMPTS_MAX, Parts};
use super::{Worker, WorkerError};
use crate::domain::Timeline;
use crate::domain::notice::NoticeKind;
use crate::domain::time::{At, Span};
use crate::port::fanout::News;
use crate::port::intake::Handed;
use crate::port::ledger::Changes;

/// Time that passes and changes nothing is written down this often: what is lost of it at a crash
/// passes again.
const UNWRITTEN_MAX: Span = Span::seconds(10);
/// News read again at once.
const NEWS_AT_ONCE: u32 = 512;

impl Worker {
    pub(super) async fn handle(&mut self, messages: Vec<Handed>) -> Result<(), WorkerError> {
        // Under a name of its own: the first message stands for the batch here, and for itself
        // where it is tried alone.
        let suspect = messages
            .first()
            .filter(|first| first.suspect)
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
            self.work_off(Parts::whole(messages)).await?;
        }
        self.inbox.settle().await?;
        self.tell_missing().await?;
        if let Some(batch) = &suspect {
            self.acquit(batch).await?;
        }
        Ok(())
    }

    pub(super) async fn work_off(&mut self, mut parts: Parts) -> Result<(), WorkerError> {
        while let Some(mut part) = parts.next() {
            let (mut changes, mut settled) = self.read(&mut part);
            settled.known = self.drop_known(&mut changes).await?;
            if let Err(error) = self.write(&mut changes).await {
                self.divide(&mut parts, part, error).await?;
                continue;
            }
            settled.stored = changes.facts.len() as u64;
            if !self.live.show(&changes).await {
                self.show_all().await;
            }
            self.tell(changes.news);
            self.books.settled(&settled);
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
        changes.relayed = self.fanout.relayed();
        let began = tokio::time::Instant::now();
        self.insist("commit", || self.ledger.commit(changes))
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
        self.live.restore(&open).await;
    }

    /// What could not be told, from the ledger, as far as there is room.
    pub(super) async fn tell_missing(&self) -> Result<(), WorkerError> {
        while let Some(after) = self.fanout.missing() {
            let news = self
                .insist("news", || self.ledger.news_after(after, NEWS_AT_ONCE))
                .await?;
            self.fanout.tell_missing(news, self.told);
        }
        Ok(())
    }

    fn tell(&self, news: Vec<News>) {
        let retracted = news
            .iter()
            .filter(|news| news.kind == NoticeKind::MissedRetracted)
            .count();
        metrics::counter!("cordboard_worker_missed_retracted_total").increment(retracted as u64);
        let held: usize = self.sites.values().map(Timeline::calls_held).sum();
        metrics::gauge!("cordboard_worker_calls_held").set(u32::try_from(held).unwrap_or(u32::MAX));
        self.books.watermark(self.watermark);
        self.fanout.tell(news);
    }
}
