//! Hostile messages, and state that they left in an earlier version: they change no other record,
//! blame no other message, and move no time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::domain::window::TimeWindow;
use cordboard::health::FlowCounters;
use cordboard::port::clock::Clock;
use cordboard::port::dead_letters::DeadLetters;
use cordboard::port::query::{CallFilter, Query};
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::{IngressId, Message, Tick};
use cordboard::worker::Believed;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::new_ledger;
use crate::support::failing::Failing;
use crate::support::overlay::EPOCH;
use crate::support::worker::{
    FixedClock, WorkerUnderTest, assert_stored, batches, batches_of, encode, folded, stored,
    traffic,
};

const YEAR: i64 = 365 * 86_400 * 1_000_000;
const DAY: Duration = Duration::from_mins(3);
/// More than would be charged to messages, and few enough that the waits stay short.
const BROKEN_COMMITS: usize = 10;
/// Ticks and events of it are those of a stranger.
const STRANGER: IngressId = IngressId(0x0190_0000_0000_7000_8000_0000_0000_00ff);
const EXTREMES: [i64; 8] = [
    i64::MIN,
    i64::MIN + 1,
    -1,
    0,
    EPOCH + 365 * 86_400 * 1_000_000,
    i64::MAX / 2,
    i64::MAX - 3,
    i64::MAX,
];

fn window() -> Believed {
    Believed {
        window: TimeWindow {
            past_max: Span::seconds(10 * 365 * 86_400),
            ahead_max: Span::seconds(300),
        },
        ..Believed::default()
    }
}

/// The machine's clock after the day.
fn evening() -> Arc<FixedClock> {
    Arc::new(FixedClock(At(EPOCH + 600 * 1_000_000)))
}

/// A clock that moves by ten seconds whenever it is read.
#[derive(Default)]
struct SteppingClock(AtomicI64);

impl Clock for SteppingClock {
    fn now(&self) -> At {
        At(EPOCH)
    }

    fn steady(&self) -> Span {
        Span::seconds(self.0.fetch_add(10, Ordering::Relaxed))
    }
}

/// A clock that is a day behind when it is read first, and right from then on.
#[derive(Default)]
struct CaughtUpClock(AtomicUsize);

impl Clock for CaughtUpClock {
    fn now(&self) -> At {
        let evening = EPOCH + 600 * 1_000_000;

        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => At(evening - 86_400 * 1_000_000),
            _ => At(evening),
        }
    }

    fn steady(&self) -> Span {
        Span::seconds(0)
    }
}

fn report(id: u128, at: i64, site: &str) -> Message {
    Message::Event(Envelope::new(
        EventId(id),
        At(at),
        &Site::parse(site).unwrap(),
        None,
        "/gs/cti/incoming?mac=000b82fffff1&local=99&remote=+666",
        "",
        BodyForm::None,
    ))
}

fn tick(ingress: IngressId, at: i64) -> Message {
    Message::Tick(Tick {
        at: At(at),
        ingress,
        leaving: false,
    })
}

#[tokio::test]
async fn instants_far_from_the_clock_are_set_aside_and_let_no_time_pass() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    let mut all = encode(&good);
    for (index, at) in (1..).zip(EXTREMES) {
        let ingress = IngressId::default();
        let hostile = [
            report(index, at, "default"),
            tick(ingress, at),
            tick(STRANGER, at),
            tick(STRANGER, EPOCH + 1_000_000),
        ];
        let place = usize::try_from(index).unwrap() * 31;
        all.splice(place..place, encode(&hostile));
    }
    let counters = Arc::new(FlowCounters::default());
    counters.add_recovered(all.len() as u64);

    WorkerUnderTest::on_sqlite(&ledger)
        .believed(window())
        .clock(evening())
        .counters(&counters)
        .run(batches_of(&all, 40))
        .await;

    assert_stored(&ledger, &good).await;
    let flow = counters.snapshot(0);
    assert_eq!((flow.dead, flow.imbalance), (EXTREMES.len() as u64, 0));
}

#[tokio::test]
async fn long_messages_are_stored_cut() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    let mut all = encode(&good);
    all.insert(9, vec![b'x'; 10 << 20]);

    WorkerUnderTest::on_sqlite(&ledger)
        .run(batches_of(&all, 40))
        .await;

    assert_stored(&ledger, &good).await;
    let letters = ledger.dead_letters(i64::MIN, 9).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].1.message.len() <= 16 << 10);
}

#[tokio::test]
async fn an_id_that_comes_again_with_another_content_is_a_conflict() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    let again = good.iter().filter_map(|message| match message {
        Message::Event(envelope) => Some(envelope.clone()),
        Message::Tick(_) => None,
    });
    let other = again.take(3).map(|mut envelope| {
        envelope.target = "/gs/cti/hangup?mac=000b82fffff1&local=99&remote=+666".to_owned();
        Message::Event(envelope)
    });
    let counters = Arc::new(FlowCounters::default());
    let mut all = good.clone();
    // In the batch of the first event, and long after it.
    all.splice(9..9, other.clone().take(1));
    all.extend(other.skip(1));
    all.push(good[0].clone());
    counters.add_recovered(all.len() as u64);

    WorkerUnderTest::on_sqlite(&ledger)
        .counters(&counters)
        .run(batches(&all, 40))
        .await;

    assert_stored(&ledger, &good).await;
    let flow = counters.snapshot(0);
    assert_eq!((flow.dead, flow.duplicates, flow.imbalance), (3, 1, 0));
    let letters = ledger.dead_letters(i64::MIN, 9).await.unwrap();
    assert!(
        letters
            .iter()
            .all(|(_, letter)| letter.reason.contains("another content"))
    );
}

#[tokio::test]
async fn a_copy_of_an_event_that_names_another_site_or_instant_takes_no_call_away() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    let calls = folded(&good, &Policy::default());
    let began = |envelope: &Envelope| calls.contains_key(&envelope.id.to_string());
    let copies = good.iter().filter_map(|message| match message {
        Message::Event(envelope) if began(envelope) => {
            let mut copy = envelope.clone();
            "elsewhere".clone_into(&mut copy.site);
            let mut later = envelope.clone();
            later.at = good.last()?.at().0 - 1;
            later.target = "/gs/cti/incoming?mac=000b82fffff1&local=99&remote=+666".to_owned();
            Some([Message::Event(copy), Message::Event(later)])
        }
        _ => None,
    });
    let mut all = good.clone();
    all.extend(copies.take(5).flatten());

    WorkerUnderTest::on_sqlite(&ledger)
        .run(batches(&all, 40))
        .await;

    assert_stored(&ledger, &good).await;
}

#[tokio::test]
async fn a_failure_of_stored_state_is_charged_to_no_message() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    let broken = Arc::new(AtomicUsize::new(0));

    // Batches of one message, as under low load, and larger ones.
    for size in [1, 16] {
        let half = good.len() / 2;
        let part = if size == 1 {
            &good[..half]
        } else {
            &good[half..]
        };
        broken.store(BROKEN_COMMITS, Ordering::Relaxed);
        let failing = Failing {
            broken: Arc::clone(&broken),
            ..Failing::on(&ledger)
        };
        WorkerUnderTest::on(Arc::new(failing))
            .run(batches(part, size))
            .await;
    }

    assert_stored(&ledger, &good).await;
    assert_eq!(ledger.counts().await.unwrap().dead, 0);
}

#[tokio::test]
async fn a_message_that_fails_in_a_quiet_partition_is_set_aside_after_a_while() {
    let (_folder, ledger) = new_ledger().await;
    let poison = report(7, EPOCH, "default").encode();
    let ticks: Vec<Message> = (1..20)
        .map(|second| tick(IngressId::default(), EPOCH + second * 1_000_000))
        .collect();
    let failing = Failing {
        poison: "+666",
        ..Failing::on(&ledger)
    };

    // Only ticks follow, and the clock moves by ten seconds with each.
    let all = [vec![poison], encode(&ticks)].concat();
    WorkerUnderTest::on(Arc::new(failing))
        .clock(Arc::new(SteppingClock::default()))
        .run(batches_of(&all, 1))
        .await;

    assert_eq!(ledger.counts().await.unwrap().dead, 1);
}

#[tokio::test]
async fn stored_state_with_absurd_instants_is_healed_at_take_over() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    let half = good.len() / 2;

    // An earlier version believed everything.
    let mut earlier = encode(&good[..half]);
    earlier.extend(encode(&[
        report(1, i64::MAX - 3, "default"),
        report(2, i64::MIN + 7, "default"),
        report(3, EPOCH + 365 * 86_400 * 1_000_000, "default"),
        tick(IngressId::default(), i64::MAX),
    ]));
    WorkerUnderTest::on_sqlite(&ledger)
        .run(batches_of(&earlier, 16))
        .await;
    assert!(ledger.counts().await.unwrap().dead == 0);

    WorkerUnderTest::on_sqlite(&ledger)
        .believed(window())
        .clock(evening())
        .run(batches(&good[half..], 16))
        .await;

    // Facts are never moved; which clock was right cannot be known.
    assert_eq!(ledger.counts().await.unwrap().dead, 0);
    let page = ledger
        .calls(&CallFilter {
            limit: 200,
            ..CallFilter::default()
        })
        .await;
    let page = page.unwrap();
    let begun = |range: Range<i64>| {
        let begun = page.iter().filter(|call| range.contains(&call.started_at));
        begun.count()
    };
    let day = begun(EPOCH..EPOCH + 600 * 1_000_000);
    assert_eq!(
        day,
        folded(&good, &Policy::default()).len(),
        "the day is right"
    );
    assert_eq!(begun(i64::MIN..0) + begun(EPOCH + 300 * YEAR..i64::MAX), 0);
}

#[tokio::test]
async fn a_take_over_with_a_clock_that_is_behind_loses_nothing() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    let half = good.len() / 2;
    let behind = Arc::new(FixedClock(At(EPOCH - 86_400 * 1_000_000)));

    for (part, clock) in [
        (&good[..half], evening()),
        (&[][..], behind),
        (&good[half..], evening()),
    ] {
        WorkerUnderTest::on_sqlite(&ledger)
            .believed(window())
            .clock(clock)
            .run(batches(part, 16))
            .await;
    }

    assert_eq!(ledger.counts().await.unwrap().dead, 0);
    assert_stored(&ledger, &good).await;
}

#[tokio::test]
async fn facts_of_a_clock_that_was_ahead_are_folded_when_the_clock_has_reached_them() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    let half = good.len() / 2;

    WorkerUnderTest::on_sqlite(&ledger)
        .believed(window())
        .clock(evening())
        .run(batches(&good[..half], 16))
        .await;
    // At its start the clock is set back to the day before, and the worker runs on until it has
    // reached the first half.
    WorkerUnderTest::on_sqlite(&ledger)
        .believed(window())
        .clock(Arc::new(CaughtUpClock::default()))
        .run(batches(&good[half..], 16))
        .await;

    assert_eq!(ledger.counts().await.unwrap().dead, 0);
    assert_stored(&ledger, &good).await;
}

#[tokio::test]
async fn an_id_of_a_stored_call_begins_no_other_call() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    WorkerUnderTest::on_sqlite(&ledger)
        .run(batches(&good, 40))
        .await;
    let before = stored(&ledger).await;

    let forged: Vec<Message> = before
        .keys()
        .take(9)
        .zip(["default", "evil"].into_iter().cycle())
        .map(|(call, site)| {
            let id = EventId::parse(call).unwrap();
            report(id.0, EPOCH + 200 * 1_000_000, site)
        })
        .collect();
    WorkerUnderTest::on_sqlite(&ledger)
        .run(batches(&forged, 4))
        .await;

    assert_eq!(stored(&ledger).await, before);
    assert_eq!(ledger.counts().await.unwrap().dead, 9);
}

#[tokio::test]
async fn an_invented_ingress_takes_no_id_of_a_stored_call() {
    let (_folder, ledger) = new_ledger().await;
    let good = traffic(DAY);
    WorkerUnderTest::on_sqlite(&ledger)
        .run(batches(&good, 40))
        .await;
    let before = stored(&ledger).await;

    // First an event of its own, which registers it; then the ids of others, at any instant.
    let of_invented = |id: u128, at: i64, site: &str| {
        let Message::Event(mut envelope) = report(id, at, site) else {
            unreachable!("a report is a report");
        };
        envelope.from = Some([10, 0, 0, 9].into());
        envelope.ingress = Some(uuid::Uuid::from_u128(0xbad));
        Message::Event(envelope)
    };
    let later = EPOCH + 200 * 1_000_000;
    let mut forged = vec![of_invented(0x0bad, later, "default")];
    let ids = before.keys().map(|call| EventId::parse(call).unwrap());
    for (id, site) in ids.take(8).zip(["default", "evil"].into_iter().cycle()) {
        let of_id = i64::try_from(id.0 >> 80).unwrap() * 1_000;
        forged.push(of_invented(id.0, later, site));
        forged.push(of_invented(id.0, of_id, site));
    }
    WorkerUnderTest::on_sqlite(&ledger)
        .run(batches(&forged, 1))
        .await;

    let mut after = stored(&ledger).await;
    after.retain(|call, _| before.contains_key(call));
    assert_eq!(after, before);
}

#[tokio::test]
async fn ticks_ahead_of_the_clock_let_no_time_pass_that_has_not_passed() {
    let (_folder, ledger) = new_ledger().await;
    let now = EPOCH + 20 * 1_000_000;
    let ring = Message::Event(Envelope::new(
        EventId(1),
        At(EPOCH + 18 * 1_000_000),
        &Site::default(),
        None,
        "/gs/cti/missed?mac=000b82000001&local=201&remote=+4930111222",
        "",
        BodyForm::None,
    ));
    let ahead = tick(IngressId::default(), now + 290 * 1_000_000);

    WorkerUnderTest::on_sqlite(&ledger)
        .believed(window())
        .clock(Arc::new(FixedClock(At(now))))
        .run(batches(&[ring, ahead], 1))
        .await;

    assert_eq!(
        ledger.counts().await.unwrap().missed_pending,
        1,
        "not decided"
    );
}

/// Anything that reaches the broker, beside a normal day of another site.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let instant = prop_oneof![
        proptest::sample::select(&EXTREMES[..]),
        any::<i64>(),
        EPOCH..EPOCH + 200 * 1_000_000,
    ];
    let ingress = prop_oneof![Just(STRANGER), any::<u128>().prop_map(IngressId)];

    prop_oneof![
        (any::<u128>(), instant.clone(), any::<Option<u128>>()).prop_map(|(id, at, ingress)| {
            let Message::Event(mut envelope) = report(id | 1 << 127, at, "other") else {
                unreachable!("it is a report")
            };
            envelope.ingress = ingress.map(uuid::Uuid::from_u128);
            envelope.encode()
        }),
        (ingress, instant).prop_map(|(ingress, at)| tick(ingress, at).encode()),
        vec(any::<u8>(), 0..64),
        "\\{\"v\":[0-9]{1,25}(,\"tick\":-?[0-9]{1,25})?\\}".prop_map(String::into_bytes),
    ]
}

#[test]
fn arbitrary_messages_change_no_record_of_a_normal_day() {
    let good = traffic(DAY / 2);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    // No stranger is waited for longer than a minute.
    let last = tick(IngressId::default(), EPOCH + 500 * 1_000_000);
    let day = [good.clone(), vec![last]].concat();

    let cases = Config::with_cases(10);
    let strategy = vec((hostile(), any::<proptest::sample::Index>()), 0..40);
    TestRunner::new(cases)
        .run(&strategy, |inserted| {
            let mut all = encode(&day);
            for (message, index) in inserted {
                all.insert(index.index(all.len()), message);
            }
            runtime.block_on(async {
                let (_folder, ledger) = new_ledger().await;
                WorkerUnderTest::on_sqlite(&ledger)
                    .believed(window())
                    .clock(evening())
                    .run(batches_of(&all, 40))
                    .await;
                assert_stored(&ledger, &day).await;
            });
            Ok(())
        })
        .unwrap();
}
