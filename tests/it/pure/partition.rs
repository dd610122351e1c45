//! The partition of a worker as the pure value that it is: batches in, changes out, with a history
//! in memory instead of a ledger.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use cordboard::domain::fact::{CallId, EventId, Fact, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::At;
use cordboard::port::intake::Delivery;
use cordboard::port::ledger::{Changes, RecoveredState};
use cordboard::simulate::Dice;
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::message::Message;
use cordboard::wire::policy_file::Policies;
use cordboard::worker::{BatchItem, Believed, History, Partition, Step, Stretch};
use uuid::Uuid;

use crate::support::worker::{Records, folded, traffic};

/// One of so many reports is late.
const LATE_ONE_IN: u64 = 30;
/// Messages by which it is late, at most.
const LATE_BY_MAX: u64 = 8_000;
const BATCH_MAX: u64 = 60;

/// The contents of a ledger.
#[derive(Default)]
struct MemoryHistory {
    facts: BTreeMap<(At, EventId), Vec<u8>>,
    calls: BTreeMap<CallId, (At, String)>,
    /// How often history was asked for.
    asked: usize,
}

impl MemoryHistory {
    fn read(&mut self, stretch: &Stretch) -> History {
        self.asked += 1;
        let facts = self.facts.range((stretch.facts_from, EventId(0))..);
        let calls = self.calls.iter();

        History {
            complete_from: At::START,
            messages: facts.map(|(_, message)| message.clone()).collect(),
            calls: calls
                .filter(|(_, (started_at, _))| *started_at >= stretch.calls_from)
                .map(|(id, _)| *id)
                .collect(),
        }
    }

    fn commit(&mut self, changes: &Changes) {
        for received in &changes.facts {
            let Fact { at, id, .. } = received.fact;
            self.facts.insert((at, id), received.message.clone());
        }
        for id in &changes.withdrawn_calls {
            self.calls.remove(id);
        }
        for call in &changes.calls {
            let record = (call.record.started_at, call.json().to_owned());
            self.calls.insert(call.record.id, record);
        }
    }

    fn records(&self) -> Records {
        let calls = self.calls.iter();

        calls
            .map(|(id, (_, json))| (id.to_string(), json.clone()))
            .collect()
    }
}

/// Processes the messages in batches of random sizes. Returns the history, and the notifications.
fn process(messages: &[Message], seed: u64) -> (MemoryHistory, Vec<(u64, String)>) {
    let mut dice = Dice::new(seed);
    let mut history = MemoryHistory::default();
    let mut notifications = Vec::new();
    let mut partition = Partition::recover(
        Policies::default(),
        Believed::default(),
        RecoveredState::default(),
    );

    let mut rest = messages;
    while !rest.is_empty() {
        let size = usize::try_from(1 + dice.roll(BATCH_MAX))
            .unwrap()
            .min(rest.len());
        let (batch, later) = rest.split_at(size);
        rest = later;

        let mut items: Vec<BatchItem> = batch
            .iter()
            .map(|message| Delivery::from(message.encode()).into())
            .collect();
        let mut batch = partition.decode(&mut items, At(0));
        let unknown: HashSet<EventId> = batch
            .uncertain()
            .iter()
            .map(|received| received.fact.id)
            .collect();
        batch.take_duplicates(&unknown);

        let mut step = partition.apply(batch).unwrap();
        let changes = loop {
            match step {
                Step::Decided(changes) => break changes,
                Step::NeedHistory(stretch) => {
                    step = partition.supply(&history.read(&stretch)).unwrap();
                }
            }
        };
        history.commit(&changes);
        partition.committed();
        let new = changes.notifications.iter();
        notifications.extend(new.map(|one| (one.number, one.data.to_string())));
    }

    (history, notifications)
}

/// Delivers some reports later than they were received, behind ticks that passed them.
fn with_late_reports(messages: Vec<Message>, seed: u64) -> Vec<Message> {
    let mut dice = Dice::new(seed);
    let mut ordered: Vec<(u64, Message)> = (0..)
        .zip(messages)
        .map(|(index, message)| match message {
            Message::Event(_) if dice.roll(LATE_ONE_IN) == 0 => {
                (index + dice.roll(LATE_BY_MAX), message)
            }
            message => (index, message),
        })
        .collect();
    ordered.sort_by_key(|(position, _)| *position);

    ordered.into_iter().map(|(_, message)| message).collect()
}

#[test]
fn batches_of_any_size_and_late_facts_give_the_records_of_one_fold() {
    let mut asked = 0;

    for seed in 1..4 {
        let messages = with_late_reports(traffic(Duration::from_mins(40)), seed);

        let (history, notifications) = process(&messages, seed);

        asked += history.asked;
        assert_eq!(
            history.records(),
            folded(&messages, &Policy::default()),
            "seed {seed}"
        );
        let numbers = notifications.iter().map(|(number, _)| *number);
        assert!(numbers.eq(1..=notifications.len() as u64), "seed {seed}");
    }

    assert!(asked > 0, "no fact was late");
}

#[test]
fn a_fact_with_a_history_that_is_too_long_is_stored_and_stops_nothing() {
    let mut messages = traffic(Duration::from_mins(40));
    let late = messages.remove(0);
    let mut partition = Partition::recover(
        Policies::default(),
        Believed::default(),
        RecoveredState::default(),
    );
    let mut apply = |messages: &[Message]| {
        let mut items: Vec<BatchItem> = messages
            .iter()
            .map(|message| Delivery::from(message.encode()).into())
            .collect();
        let batch = partition.decode(&mut items, At(0));
        match partition.apply(batch).unwrap() {
            Step::NeedHistory(_) => (true, partition.supply_none().unwrap()),
            decided @ Step::Decided(_) => (false, decided),
        }
    };

    for batch in messages.chunks(50) {
        apply(batch);
    }
    let (was_late, step) = apply(&[late]);
    let Step::Decided(changes) = step else {
        panic!("without the history there is nothing to wait for");
    };

    assert!(was_late);
    assert_eq!(changes.facts.len(), 1);
    assert!(changes.calls.is_empty() && changes.notifications.is_empty());
}

#[test]
fn the_same_batches_give_the_same_changes() {
    let messages = with_late_reports(traffic(Duration::from_mins(5)), 3);

    let (first, first_notifications) = process(&messages, 9);
    let (second, second_notifications) = process(&messages, 9);

    assert_eq!(first.records(), second.records());
    assert_eq!(first_notifications, second_notifications);
}

#[test]
fn other_programs_cannot_fill_the_memory_with_sites_of_their_invention() {
    const SITES_MAX: u32 = 10_000;
    let event = |number: u32, site: u32, ingress: Option<u128>| {
        let at = At(1_767_225_600_000_000 + i64::from(number));
        let site = Site::parse(&format!("site {site}")).unwrap();
        let mut event = Envelope::new(
            EventId(u128::from(number) + 1),
            at,
            &site,
            ingress.map(|_| [192, 0, 2, 1].into()),
            "/gs/cti/incoming?local=201&remote=202&mac=000b82000001",
            "",
            BodyForm::None,
        );
        event.ingress = ingress.map(Uuid::from_u128);

        event.encode()
    };
    let mut partition = Partition::recover(
        Policies::default(),
        Believed::default(),
        RecoveredState::default(),
    );
    let mut process = |messages: Vec<Vec<u8>>| -> Vec<String> {
        let mut items: Vec<BatchItem> = messages
            .into_iter()
            .map(|message| Delivery::from(message).into())
            .collect();
        let batch = partition.decode(&mut items, At(0));
        let rejected = batch.rejected().iter().map(|one| one.reason.clone());
        let rejected = rejected.collect();
        let Ok(Step::Decided(_)) = partition.apply(batch) else {
            panic!("every fact is new");
        };

        rejected
    };

    let invented = (0..SITES_MAX).map(|site| event(site, site, None)).collect();
    assert!(process(invented).is_empty());

    let rejected = process(vec![
        event(SITES_MAX, SITES_MAX, None),
        event(SITES_MAX + 1, SITES_MAX - 1, None),
        event(SITES_MAX + 2, SITES_MAX + 1, Some(7)),
    ]);
    assert_eq!(rejected.len(), 1, "a further site of another program");
    assert!(rejected[0].contains("10000 sites"), "{rejected:?}");

    // Nor can they as ingresses of their invention.
    let more = (SITES_MAX + 1..=2 * SITES_MAX)
        .map(|site| event(site + 9, site, Some(7)))
        .collect();
    assert!(process(more).is_empty());
    let number = 2 * SITES_MAX + 20;
    let rejected = process(vec![event(number, number, Some(8))]);
    assert!(rejected[0].contains("20000 sites"), "{rejected:?}");
}

#[test]
fn history_is_needed_only_for_late_facts() {
    let (history, _) = process(&traffic(Duration::from_mins(5)), 4);

    assert_eq!(history.asked, 0);
}

/// The report of a phone at a second, in a call of its own.
fn report(second: i64, phone: u32, event: &str) -> Envelope {
    Envelope::new(
        EventId(u128::from(phone) * 1_000 + u128::from(second.unsigned_abs())),
        At(1_767_225_600_000_000 + second * 1_000_000),
        &Site::default(),
        None,
        &format!(
            "/gs/cti/{event}?local=2{phone:02}&remote=%2B4930{phone:05}&mac=000b820000{phone:02x}\
             &call_id=c{phone}"
        ),
        "",
        BodyForm::None,
    )
}

/// Applies reports, one batch each, and returns the changes together.
fn apply_each(partition: &mut Partition, reports: &[Envelope]) -> Changes {
    let mut all = Changes::default();
    for report in reports {
        let mut items = [Delivery::from(report.encode()).into()];
        let batch = partition.decode(&mut items, At(0));
        let Step::Decided(changes) = partition.apply(batch).unwrap() else {
            panic!("the report of {} is late", report.at);
        };
        all.calls.extend(changes.calls);
        all.notifications.extend(changes.notifications);
        all.withdrawn_calls.extend(changes.withdrawn_calls);
    }

    all
}

#[test]
fn after_a_take_over_reports_in_any_order_bring_no_part_of_an_earlier_call_back() {
    // The first call is over and stored; its ring is not read any more. The second one goes on.
    let (rest, open) = (report(5, 1, "missed"), report(50, 2, "incoming"));
    let mut partition = Partition::recover(
        Policies::default(),
        Believed::default(),
        RecoveredState {
            watermark: Some(At(report(100, 0, "").at)),
            messages: vec![rest.encode(), open.encode()],
            open_calls: vec![EventId(2_050)],
            ..RecoveredState::default()
        },
    );

    let reports = [
        report(120, 3, "incoming"),
        report(110, 4, "incoming"),
        report(130, 2, "answered"),
    ];
    let changes = apply_each(&mut partition, &reports);

    let calls: HashSet<CallId> = changes.calls.iter().map(|call| call.record.id).collect();
    let expected = [2_050, 3_120, 4_110].map(EventId);
    assert_eq!(calls, HashSet::from(expected));
    let announced: Vec<CallId> = changes.notifications.iter().map(|one| one.call).collect();
    assert_eq!(announced, [3_120, 4_110, 2_050].map(EventId));
    assert!(changes.withdrawn_calls.is_empty());
}

#[test]
fn after_a_late_report_no_part_of_a_call_before_its_history_comes_back() {
    // The history begins amid the first call.
    let day = 86_400;
    let history = History {
        complete_from: At::START,
        messages: vec![
            report(5, 1, "missed").encode(),
            report(day, 2, "incoming").encode(),
        ],
        calls: vec![EventId(2_000 + 86_400)],
    };
    let mut partition = Partition::recover(
        Policies::default(),
        Believed::default(),
        RecoveredState {
            watermark: Some(At(report(day + 100, 0, "").at)),
            messages: vec![report(day, 2, "incoming").encode()],
            open_calls: vec![EventId(2_000 + 86_400)],
            ..RecoveredState::default()
        },
    );

    let mut items = [Delivery::from(report(day - 30, 3, "incoming").encode()).into()];
    let batch = partition.decode(&mut items, At(0));
    assert!(matches!(
        partition.apply(batch).unwrap(),
        Step::NeedHistory(_)
    ));
    let Step::Decided(first) = partition.supply(&history).unwrap() else {
        panic!("the history is there");
    };
    let reports = [
        report(day + 120, 4, "incoming"),
        report(day + 110, 5, "incoming"),
    ];
    let then = apply_each(&mut partition, &reports);

    let calls = first.calls.iter().chain(&then.calls);
    assert!(
        calls
            .clone()
            .all(|call| call.record.started_at > At(1_767_225_600_000_000 + 6_000_000))
    );
    assert_eq!(then.notifications.len(), 2);
}

#[test]
fn a_late_report_corrects_a_call_that_was_over_before_the_take_over() {
    let (ring, missed) = (report(5, 1, "incoming"), report(30, 1, "missed"));
    let messages = vec![ring.encode(), missed.encode()];
    let mut partition = Partition::recover(
        Policies::default(),
        Believed::default(),
        RecoveredState {
            watermark: Some(At(report(400, 0, "").at)),
            messages: messages.clone(),
            ..RecoveredState::default()
        },
    );

    let mut items = [Delivery::from(report(10, 1, "answered").encode()).into()];
    let batch = partition.decode(&mut items, At(0));
    let Ok(Step::NeedHistory(_)) = partition.apply(batch) else {
        panic!("the report is late");
    };
    let history = History {
        complete_from: At::START,
        messages,
        calls: vec![EventId(1_005)],
    };
    let Step::Decided(changes) = partition.supply(&history).unwrap() else {
        panic!("the history is there");
    };

    let corrected: Vec<CallId> = changes.calls.iter().map(|call| call.record.id).collect();
    assert_eq!(corrected, [EventId(1_005)]);
    assert!(changes.calls[0].record.answered_at.is_some());
}
