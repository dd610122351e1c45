//! The worker over a real ledger: restarts at any batch, repeated and late messages, and messages that are none, end in the records that
//! a fold from scratch gives.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on must fail, and its numbers are small")]

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::Timeline;
use cordboard::domain::fact::{Fact, Site};
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::port::fanout::{Fanout, News};
use cordboard::port::intake::{Inbox, InboxError};
use cordboard::port::ledger::Ledger;
use cordboard::simulate::Fleet;
use cordboard::wire::call_json::CallJson;
use cordboard::wire::message::Message;
use cordboard::wire::policy_file::Policies;
use cordboard::worker::Worker;
use futures_util::future::BoxFuture;
use support::fleet::messages;
use support::ledger::{block_on, open};
use support::overlay::EPOCH;
use tokio_util::sync::CancellationToken;

/// Hands out prepared batches, and then ends.
struct Prepared(VecDeque<Vec<Vec<u8>>>);

impl Inbox for Prepared {
    fn next(&mut self, _most: usize) -> BoxFuture<'_, Result<Vec<Vec<u8>>, InboxError>> {
        Box::pin(std::future::ready(Ok(self.0.pop_front().unwrap_or_default())))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<(), InboxError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(&mut self) -> Result<(), InboxError> {
        Ok(())
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<News>>);

impl Fanout for Heard {
    fn tell(&self, news: Vec<News>) {
        self.0.lock().unwrap().extend(news);
    }
}

/// What a fleet reports.
fn traffic(calls_per_second: f64, duration: Duration) -> Vec<Message> {
    messages(&Fleet { seed: 7, phones: 60, calls_per_second, duration })
}

fn encoded(messages: &[Message]) -> Vec<Vec<u8>> {
    messages.iter().map(Message::encode).collect()
}

async fn work(ledger: &Arc<SqliteLedger>, batches: Vec<Vec<Vec<u8>>>) -> Arc<Heard> {
    let heard = Arc::new(Heard::default());
    let inbox = Box::new(Prepared(batches.into()));
    let (ledger, fanout) = (Arc::clone(ledger) as Arc<dyn Ledger>, Arc::clone(&heard) as Arc<dyn Fanout>);
    let worker = Worker::start(inbox, ledger, fanout, Policies::default(), Arc::default()).await.unwrap();
    worker.run(CancellationToken::new()).await.unwrap();
    heard
}

/// The records that a fold from scratch gives for these messages.
fn expected(messages: &[Message]) -> BTreeMap<String, String> {
    let policy = Policy::default();
    let mut facts: Vec<Fact> = Vec::new();
    let mut watermark = At::START;
    for message in messages {
        match message {
            Message::Report(envelope) => facts.push(envelope.fact(|_| &policy).unwrap()),
            Message::Tick(at) => watermark = watermark.max(*at),
        }
    }
    let delta = Timeline::new(Site::default(), Arc::new(policy.clone())).apply(facts, watermark);
    delta
        .changed
        .iter()
        .chain(&delta.finished)
        .map(|record| (record.id.to_string(), serde_json::to_string(&CallJson::of(record)).unwrap()))
        .collect()
}

async fn assert_stored(ledger: &SqliteLedger, messages: &[Message]) {
    let stored: BTreeMap<String, String> = ledger.records(&Site::default()).await.unwrap().into_iter().collect();
    let expected = expected(messages);
    assert!(expected.len() > 20, "there is something to compare");
    for (id, record) in &expected {
        assert_eq!(stored.get(id), Some(record), "call {id}");
    }
    let surplus: Vec<&String> = stored.keys().filter(|id| !expected.contains_key(*id)).collect();
    assert!(surplus.is_empty(), "calls that are none: {surplus:?}");
}

#[test]
fn restarts_at_any_batch_change_nothing() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let messages = traffic(0.5, Duration::from_secs(400));
        let all = encoded(&messages);
        let mut from = 0;
        for (round, size) in [3, 40, 1, 200, 7, 90, 500].into_iter().cycle().enumerate() {
            if from >= all.len() {
                break;
            }
            // What was not settled before the restart comes again.
            let again = from.saturating_sub(round % 5);
            let to = (from + size).min(all.len());
            work(&ledger, all[again..to].chunks(16).map(<[Vec<u8>]>::to_vec).collect()).await;
            from = to;
        }
        assert_stored(&ledger, &messages).await;
    });
}

#[test]
fn a_fact_from_long_ago_corrects_the_records_it_belongs_to() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let mut messages = traffic(0.5, Duration::from_mins(25));
        // The answer of some call, more than a quarter of an hour before the end, was held back somewhere.
        let held = messages.iter().position(|message| matches!(message, Message::Report(envelope) if envelope.target.contains("answered") && envelope.at > EPOCH + 300_000_000)).unwrap();
        let late = messages.remove(held);
        let mut batches: Vec<Vec<Vec<u8>>> = encoded(&messages).chunks(64).map(<[Vec<u8>]>::to_vec).collect();
        batches.push(vec![late.encode()]);
        let heard = work(&ledger, batches).await;
        let Message::Report(envelope) = &late else { unreachable!("a report was picked") };
        let number = envelope.target.split("&r=").nth(1).unwrap().split('&').next().unwrap();
        let of_it: Vec<_> = heard.0.lock().unwrap().iter().filter(|news| news.data.contains(number)).map(|news| news.kind).collect();
        assert!(of_it.contains(&NoticeKind::Missed) && of_it.contains(&NoticeKind::MissedRetracted), "{of_it:?}");
        messages.push(late);
        assert_stored(&ledger, &messages).await;
    });
}

#[test]
fn what_is_no_message_harms_no_neighbour() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let messages = traffic(0.5, Duration::from_mins(2));
        let mut all = encoded(&messages);
        let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
        let poison: [Vec<u8>; 8] = [
            Vec::new(),
            b"[]".to_vec(),
            b"{\"v\":2}".to_vec(),
            b"\xff\xfe".to_vec(),
            b"{\"v\":1".to_vec(),
            b"{\"v\":1,\"tick\":\"x\"}".to_vec(),
            deep,
            b"{\"v\":1e400}".to_vec(),
        ];
        for (index, message) in poison.iter().enumerate() {
            all.insert(index * 9, message.clone());
        }
        work(&ledger, all.chunks(10).map(<[Vec<u8>]>::to_vec).collect()).await;
        assert_stored(&ledger, &messages).await;
    });
}

#[test]
fn everything_that_is_told_was_committed_before() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let mut messages = traffic(0.5, Duration::from_mins(2));
        let end = messages.iter().map(Message::at).max().unwrap();
        messages.push(Message::Tick(end + Span::seconds(3_600)));
        let heard = work(&ledger, encoded(&messages).chunks(10).map(<[Vec<u8>]>::to_vec).collect()).await;
        let stored: BTreeMap<String, String> = ledger.records(&Site::default()).await.unwrap().into_iter().collect();
        let news = heard.0.lock().unwrap();
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        for one in news.iter() {
            let told: serde_json::Value = serde_json::from_str(&one.data).unwrap();
            last.insert(one.call.to_string(), told["call"].to_string());
        }
        assert_eq!(last.len(), stored.len());
        let outcome = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["outcome"].clone();
        for (id, record) in &stored {
            assert_eq!(outcome(&last[id]), outcome(record), "call {id}");
        }
    });
}
