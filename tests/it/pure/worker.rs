//! The worker over a real ledger: restarts at any batch, repeated and late messages, and messages
//! that are none, end in the records that a fold from scratch gives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::failing::{Failing, Mortal};
use crate::support::fleet::messages;
use crate::support::flow::{self, Flow};
use crate::support::ledger::{block_on, open};
use crate::support::overlay::{EPOCH, mac, place};
use async_trait::async_trait;
use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::Timeline;
use cordboard::domain::fact::{EventId, Fact, Site};
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::health::FlowCounters;
use cordboard::port::dead_letters::DeadLetters;
use cordboard::port::intake::{Delivery, Inbox, InboxError};
use cordboard::port::ledger::{Changes, Ledger, RecordAudit, RejectedMessage};
use cordboard::port::outbox::{Notification, Outbox};
use cordboard::port::query::Query;
use cordboard::simulate::{Dice, Fleet};
use cordboard::wire::call_json::CallJson;
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;
use cordboard::wire::policy_file::Policies;
use cordboard::worker::{Worker, lookback};
use tokio_util::sync::CancellationToken;

/// Hands out prepared batches, and then ends.
struct Prepared(VecDeque<Vec<Vec<u8>>>);

#[async_trait]
impl Inbox for Prepared {
    async fn next_batch(&mut self, _most: usize) -> Result<Vec<Delivery>, InboxError> {
        Ok(self
            .0
            .pop_front()
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect())
    }

    async fn settle(&mut self) -> Result<(), InboxError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), InboxError> {
        Ok(())
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<Notification>>);

impl Outbox for Heard {
    fn published_up_to(&self) -> u64 {
        0
    }

    fn enqueue(&self, news: Vec<Notification>) {
        self.0.lock().unwrap().extend(news);
    }
}

/// What a fleet reports.
fn traffic(calls_per_second: f64, duration: Duration) -> Vec<Message> {
    messages(&Fleet {
        seed: 7,
        phones: 60,
        calls_per_second,
        duration,
    })
}

fn encoded(messages: &[Message]) -> Vec<Vec<u8>> {
    messages.iter().map(Message::encode).collect()
}

async fn work(ledger: &Arc<SqliteLedger>, batches: Vec<Vec<Vec<u8>>>) -> Arc<Heard> {
    work_on(Arc::clone(ledger) as Arc<dyn Ledger>, batches).await
}

async fn work_on(ledger: Arc<dyn Ledger>, batches: Vec<Vec<Vec<u8>>>) -> Arc<Heard> {
    let heard = Arc::new(Heard::default());
    let inbox = Box::new(Prepared(batches.into()));
    let fanout = Arc::clone(&heard) as Arc<dyn Outbox>;
    let worker = Worker::start(inbox, ledger, fanout, Policies::default(), Arc::default())
        .await
        .unwrap();
    worker.run(CancellationToken::new()).await.unwrap();
    heard
}

/// The records that a fold from scratch gives for these messages.
fn expected(messages: &[Message]) -> BTreeMap<String, String> {
    expected_by(messages, &Policy::default())
}

fn expected_by(messages: &[Message], policy: &Policy) -> BTreeMap<String, String> {
    let mut facts: Vec<Fact> = Vec::new();
    let mut watermark = At::START;
    for message in messages {
        match message {
            Message::Report(envelope) => facts.push(envelope.fact(|_| policy).unwrap()),
            Message::Tick(tick) => watermark = watermark.max(tick.at),
        }
    }
    let delta = Timeline::new(Site::default(), Arc::new(policy.clone())).apply(facts, watermark);
    delta
        .changed
        .iter()
        .chain(&delta.finished)
        .map(|record| {
            (
                record.id.to_string(),
                serde_json::to_string(&CallJson::of(record)).unwrap(),
            )
        })
        .collect()
}

async fn assert_stored(ledger: &SqliteLedger, messages: &[Message]) {
    let stored: BTreeMap<String, String> = ledger
        .stored_records(&Site::default())
        .await
        .unwrap()
        .into_iter()
        .collect();
    let expected = expected(messages);
    assert!(expected.len() > 20, "there is something to compare");
    for (id, record) in &expected {
        assert_eq!(stored.get(id), Some(record), "call {id}");
    }
    let surplus: Vec<&String> = stored
        .keys()
        .filter(|id| !expected.contains_key(*id))
        .collect();
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
            work(
                &ledger,
                all[again..to].chunks(16).map(<[Vec<u8>]>::to_vec).collect(),
            )
            .await;
            from = to;
        }
        assert_stored(&ledger, &messages).await;
    });
}

/// What the phones of a flow send, with a promise before every request.
fn messages_of(flow: &Flow) -> Vec<Message> {
    let mut messages = Vec::new();
    for (index, event) in (0_u8..).zip(&flow::expand(&flow.events(), |_| 0)) {
        let at = At(EPOCH + event.at * 1_000 + i64::from(index));
        let (mac, local) = (
            mac(place(flow, &event.phone), 0),
            &flow.phones[&event.phone],
        );
        let remote = if event.remote == "-" {
            "anonymous"
        } else {
            &event.remote
        };
        let target = format!(
            "/gs/cti/{}?m={mac}&l={local}&r={remote}&c={}.{}",
            event.name, event.phone, event.leg
        );
        let id = EventId(0x019b_0000_0000_7000_8000_0000_0000_0000 + u128::from(index));
        messages.push(Message::Tick(At(at.0 - 1).into()));
        messages.push(Message::Report(Envelope::new(
            id,
            at,
            &Site::default(),
            None,
            &target,
            "",
            BodyForm::None,
        )));
    }
    messages.push(Message::Tick(At(EPOCH + 86_400_000_000).into()));
    messages
}

/// Works on some messages and ends, as a worker that gives its partition up.
async fn work_by(ledger: &Arc<SqliteLedger>, policies: &Policies, messages: &[Vec<u8>]) {
    let inbox = Box::new(Prepared(
        messages
            .iter()
            .map(|message| vec![message.clone()])
            .collect(),
    ));
    let ledger = Arc::clone(ledger) as Arc<dyn Ledger>;
    let worker = Worker::start(
        inbox,
        ledger,
        Arc::<Heard>::default(),
        policies.clone(),
        Arc::default(),
    )
    .await
    .unwrap();
    worker.run(CancellationToken::new()).await.unwrap();
}

#[test]
fn a_restart_before_any_request_of_a_flow_changes_nothing() {
    block_on(async {
        let mut wrong = Vec::new();
        for flow in flow::all() {
            let policies = Policies::parse(&flow.policy).unwrap();
            let messages = messages_of(&flow);
            let expected = expected_by(&messages, policies.of(&Site::default()));
            let all = encoded(&messages);
            // The promise before a request is the last thing that the first worker sees.
            for cut in (1..all.len()).step_by(2) {
                let folder = tempfile::tempdir().unwrap();
                let ledger = Arc::new(open(&folder).await);
                work_by(&ledger, &policies, &all[..cut]).await;
                work_by(&ledger, &policies, &all[cut..]).await;
                let stored: BTreeMap<String, String> = ledger
                    .stored_records(&Site::default())
                    .await
                    .unwrap()
                    .into_iter()
                    .collect();
                if stored != expected {
                    wrong.push(format!(
                        "{} at {cut}: {stored:#?} instead of {expected:#?}",
                        flow.name
                    ));
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "{} flows:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    });
}

#[test]
fn a_fact_from_long_ago_corrects_the_records_it_belongs_to() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let mut messages = traffic(0.5, Duration::from_mins(25));
        // The answer of some call, more than a quarter of an hour before the end, was held back
        // somewhere.
        let held = messages.iter().position(|message| matches!(message, Message::Report(envelope) if envelope.target.contains("answered") && envelope.at > EPOCH + 300_000_000)).unwrap();
        let late = messages.remove(held);
        let mut batches: Vec<Vec<Vec<u8>>> = encoded(&messages)
            .chunks(64)
            .map(<[Vec<u8>]>::to_vec)
            .collect();
        batches.push(vec![late.encode()]);
        let heard = work(&ledger, batches).await;
        let Message::Report(envelope) = &late else {
            unreachable!("a report was picked")
        };
        let number = envelope
            .target
            .split("&r=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        let of_it: Vec<_> = heard
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|news| news.data.contains(number))
            .map(|news| news.kind)
            .collect();
        assert!(
            of_it.contains(&NoticeKind::Missed) && of_it.contains(&NoticeKind::MissedRetracted),
            "{of_it:?}"
        );
        messages.push(late);
        assert_stored(&ledger, &messages).await;
    });
}

#[test]
fn a_fact_from_before_a_restart_corrects_the_records_it_belongs_to() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let report = |number: u128, second: i64, target: &str| {
            let at = At(EPOCH) + Span::seconds(second);
            Message::Report(Envelope::new(
                EventId(number),
                at,
                &Site::default(),
                None,
                &format!("/gs/cti/{target}"),
                "",
                BodyForm::None,
            ))
        };
        let tick = |hours: i64| Message::Tick((At(EPOCH) + Span::seconds(hours * 3_600)).into());
        // The end of the conversation is lost, and time passes as if nobody had anything more to
        // say.
        let early = [
            report(
                1,
                0,
                "incoming?mac=000b82000001&local=201&remote=+15551230000",
            ),
            report(
                2,
                3,
                "answered?mac=000b82000001&local=201&remote=+15551230000",
            ),
            tick(12),
        ];
        let late = [
            report(
                3,
                3_600,
                "incoming?mac=000b82000002&local=202&remote=+15551230000",
            ),
            report(
                4,
                3_620,
                "missed?mac=000b82000002&local=202&remote=+15551230000",
            ),
            tick(13),
        ];
        work(&ledger, vec![encoded(&early)]).await;
        work(&ledger, vec![encoded(&late)]).await;
        let stored: BTreeMap<String, String> = ledger
            .stored_records(&Site::default())
            .await
            .unwrap()
            .into_iter()
            .collect();
        assert_eq!(stored, expected(&[early, late].concat()));
    });
}

#[test]
fn a_call_that_is_over_and_stands_as_open_is_put_right_by_the_next_owner() {
    let messages = traffic(0.5, Duration::from_mins(4));
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("test.db"));
        let ledger = Arc::new(open(&folder).await);
        let (last, earlier) = messages.split_last().unwrap();
        work(&ledger, vec![encoded(earlier)]).await;
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let newest =
            "SELECT call_id FROM call_logs WHERE is_final = 1 ORDER BY started_at DESC LIMIT 1";
        let call: String = sqlx::query_scalar(newest).fetch_one(&pool).await.unwrap();
        sqlx::query("UPDATE call_logs SET is_final = 0 WHERE call_id = ?1")
            .bind(&call)
            .execute(&pool)
            .await
            .unwrap();
        work(&ledger, vec![vec![last.encode()]]).await;
        let is_final =
            sqlx::query_scalar::<_, i64>("SELECT is_final FROM call_logs WHERE call_id = ?1")
                .bind(&call);
        assert_eq!(is_final.fetch_one(&pool).await.unwrap(), 1);
        assert_stored(&ledger, &messages).await;
    });
}

/// For how many facts the ledger was asked to work these messages off.
async fn asked(ledger: &Arc<SqliteLedger>, messages: &[Message]) -> usize {
    let counting = Failing::on(ledger);
    let asked = Arc::clone(&counting.asked);
    work_on(
        Arc::new(counting),
        encoded(messages)
            .chunks(5)
            .map(<[Vec<u8>]>::to_vec)
            .collect(),
    )
    .await;
    asked.load(Ordering::Relaxed)
}

#[test]
fn the_ledger_is_asked_only_for_what_somebody_else_may_have_stored() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let messages = traffic(0.5, Duration::from_mins(4));
        let facts = messages
            .iter()
            .filter(|message| matches!(message, Message::Report(_)))
            .count();
        let (some, rest) = messages.split_at(messages.len() / 2);
        let work = async |messages: &[Message]| asked(&ledger, messages).await;
        assert!(
            work(some).await <= 5,
            "nothing is known of the site before its first batch"
        );
        // What was not settled comes again, and then what nobody has.
        let again = 40.min(some.len());
        let asked = work(&[&some[some.len() - again..], rest].concat()).await;
        assert!(
            (1..=again).contains(&asked),
            "{asked} of the {again} that came again"
        );
        assert_stored(&ledger, &messages).await;
        assert_eq!(work(&messages).await, facts, "all of it may be there");
        assert_stored(&ledger, &messages).await;
        // What belongs to no call is not read back.
        let last = messages.iter().map(Message::at).max().unwrap() + Span::seconds(3 * 3_600);
        let (id, target) = (EventId(1), "/gs/cti/registered?mac=000b82000001&local=201");
        let report = Envelope::new(
            id,
            last + Span(1),
            &Site::default(),
            None,
            target,
            "",
            BodyForm::None,
        );
        let idle = [Message::Tick(last.into()), Message::Report(report)];
        work(&idle).await;
        assert_eq!(work(&idle).await, 1);
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
fn a_message_that_ends_whoever_handles_it_is_set_aside_and_the_others_are_handled() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let messages = traffic(0.5, Duration::from_mins(2));
        let mut all = encoded(&messages);
        let deadly = Message::Report(Envelope::new(
            EventId(7),
            At(EPOCH),
            &Site::default(),
            None,
            "/gs/cti/incoming?mac=000b82ffffff&r=+666",
            "",
            BodyForm::None,
        ));
        all.insert(5, deadly.encode());
        let mut deaths = 0;
        loop {
            // The first of what comes back is always the same: it was never settled.
            let batch = all
                .iter()
                .map(|message| Delivery {
                    redelivered_often: true,
                    ..message.clone().into()
                })
                .collect();
            let inbox = Box::new(Suspects(Some(batch)));
            let mortal = Mortal(Failing::on(&ledger));
            let worker = Worker::start(
                inbox,
                Arc::new(mortal),
                Arc::<Heard>::default(),
                Policies::default(),
                Arc::default(),
            )
            .await
            .unwrap();
            if tokio::spawn(worker.run(CancellationToken::new()))
                .await
                .is_ok()
            {
                break;
            }
            deaths += 1;
        }
        assert_stored(&ledger, &messages).await;
        assert_eq!((deaths, ledger.counts().await.unwrap().dead), (2 + 5, 1));
    });
}

/// Everything at once.
struct Suspects(Option<Vec<Delivery>>);

#[async_trait]
impl Inbox for Suspects {
    async fn next_batch(&mut self, _most: usize) -> Result<Vec<Delivery>, InboxError> {
        Ok(self.0.take().unwrap_or_default())
    }

    async fn settle(&mut self) -> Result<(), InboxError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), InboxError> {
        Ok(())
    }
}

#[test]
fn what_a_later_version_wrote_is_read_by_a_program_that_knows_it() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let messages = traffic(0.5, Duration::from_mins(2));
        let all = encoded(&messages);
        let reports: Vec<&Vec<u8>> = all
            .iter()
            .zip(&messages)
            .filter(|(_, message)| matches!(message, Message::Report(_)))
            .map(|it| it.0)
            .collect();
        let letter = |message: &[u8], reason: &str| RejectedMessage {
            message: message.to_vec(),
            reason: reason.to_owned(),
        };
        // An earlier program did not know the version of some of them; one nobody knows yet, and
        // one is bad for another reason.
        let early = reports[3..40]
            .iter()
            .map(|message| letter(message, "unknown version 1"));
        let dead = early
            .chain([
                letter(b"{\"v\":9}", "unknown version 9"),
                letter(reports[50], "bad site name"),
            ])
            .collect();
        ledger
            .take_over(lookback(&Policies::default()))
            .await
            .unwrap();
        ledger
            .commit(&Changes {
                rejected: dead,
                ..Changes::default()
            })
            .await
            .unwrap();
        let rest = all
            .iter()
            .filter(|message| !reports[3..40].contains(message))
            .cloned()
            .collect();
        work(&ledger, vec![rest]).await;
        assert_stored(&ledger, &messages).await;
        let left: Vec<String> = ledger
            .dead_letters(i64::MIN, 99)
            .await
            .unwrap()
            .into_iter()
            .map(|(_, letter)| letter.reason)
            .collect();
        assert_eq!(left, ["unknown version 9", "bad site name"]);
    });
}

#[test]
fn everything_that_is_told_was_committed_before() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let mut messages = traffic(0.5, Duration::from_mins(2));
        let end = messages.iter().map(Message::at).max().unwrap();
        messages.push(Message::Tick((end + Span::seconds(3_600)).into()));
        let heard = work(
            &ledger,
            encoded(&messages)
                .chunks(10)
                .map(<[Vec<u8>]>::to_vec)
                .collect(),
        )
        .await;
        let stored: BTreeMap<String, String> = ledger
            .stored_records(&Site::default())
            .await
            .unwrap()
            .into_iter()
            .collect();
        let news = heard.0.lock().unwrap();
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        for one in news.iter() {
            let told: serde_json::Value = serde_json::from_str(&one.data).unwrap();
            last.insert(one.call.to_string(), told["call"].to_string());
        }
        assert_eq!(last.len(), stored.len());
        let outcome = |text: &str| {
            serde_json::from_str::<serde_json::Value>(text).unwrap()["outcome"].clone()
        };
        for (id, record) in &stored {
            assert_eq!(outcome(&last[id]), outcome(record), "call {id}");
        }
    });
}

#[test]
fn a_database_that_comes_and_goes_changes_no_record_and_tells_nothing_twice() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let messages = traffic(0.5, Duration::from_mins(2));
        let batches: Vec<Vec<Vec<u8>>> = encoded(&messages)
            .chunks(40)
            .map(<[Vec<u8>]>::to_vec)
            .collect();
        let failing = Failing {
            one_in: 6,
            dice: Mutex::new(Dice::new(3)),
            ..Failing::on(&ledger)
        };
        let heard = work_on(Arc::new(failing), batches).await;
        assert_stored(&ledger, &messages).await;
        let numbers: Vec<u64> = heard
            .0
            .lock()
            .unwrap()
            .iter()
            .map(|news| news.number)
            .collect();
        assert_eq!(
            numbers,
            (1..=numbers.len() as u64).collect::<Vec<_>>(),
            "each told once, in order, without a gap"
        );
    });
}

#[test]
fn what_the_database_does_not_take_is_set_aside_and_its_neighbours_are_written() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(open(&folder).await);
        let mut messages = traffic(0.5, Duration::from_mins(2));
        let poison = |second: i64| {
            let target = format!("/gs/cti/incoming?mac=000b82fffff{second}&l=1&r=+666");
            let at = At(EPOCH + second * 1_000_000);
            Message::Report(Envelope::new(
                EventId(second.unsigned_abs().into()),
                at,
                &Site::default(),
                None,
                &target,
                "",
                BodyForm::None,
            ))
        };
        let good = messages.clone();
        for second in 1..4 {
            let place = messages
                .iter()
                .position(|message| message.at().0 > EPOCH + second * 1_000_000)
                .unwrap();
            messages.insert(place, poison(second));
        }
        let failing = Failing {
            poison: "+666",
            ..Failing::on(&ledger)
        };
        let books = Arc::new(FlowCounters::default());
        books.add_recovered(messages.len() as u64);
        let inbox = Box::new(Prepared(
            encoded(&messages)
                .chunks(64)
                .map(<[Vec<u8>]>::to_vec)
                .collect(),
        ));
        let heard = Arc::new(Heard::default());
        let worker = Worker::start(
            inbox,
            Arc::new(failing),
            heard,
            Policies::default(),
            Arc::clone(&books),
        )
        .await
        .unwrap();
        worker.run(CancellationToken::new()).await.unwrap();
        assert_stored(&ledger, &good).await;
        assert_eq!(
            (books.snapshot(0).dead, books.snapshot(0).imbalance),
            (3, 0)
        );
        assert_eq!(ledger.counts().await.unwrap().dead, 3);
    });
}
