//! Laws of webhooks and their deliveries.

use cordboard::access::SiteScope;
use cordboard::domain::fact::EventId;
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::time::{At, Span};
use cordboard::port::ledger::{Changes, Ledger};
use cordboard::port::outbox::Notification;
use cordboard::port::webhooks::{
    Delivery, DeliveryState, Hold, NewMessage, Waiting, Webhook, Webhooks,
};

use super::Store;
use crate::support::batches::LOOKBACK;

fn webhook(id: &str) -> Webhook {
    Webhook {
        id: id.to_owned(),
        url: "https://crm.example.com/".to_owned(),
        events: vec!["call.missed".to_owned()],
        sites: SiteScope::parse(&["berlin".to_owned()]).unwrap(),
        secret: "one".to_owned(),
        previous_secret: Some(("two".to_owned(), At(9))),
        disabled: Some("by katrin".to_owned()),
        failing: None,
        created_at: At(5),
        created_by: "katrin".to_owned(),
        version: 0,
    }
}

fn notifications(numbers: std::ops::Range<u64>) -> Changes {
    let one = |number| Notification {
        number,
        kind: NoticeKind::Missed,
        call: EventId(7),
        data: format!("{{\"n\":{number}}}").into(),
    };

    Changes {
        notifications: numbers.map(one).collect(),
        ..Changes::default()
    }
}

fn new_message(id: &str, created_at: i64) -> NewMessage {
    NewMessage {
        id: id.to_owned(),
        event: "call.missed".to_owned(),
        site: Some("berlin".to_owned()),
        call: "7".to_owned(),
        body: "{\"type\":\"call.missed\"}".to_owned(),
        created_at: At(created_at),
        receivers: vec!["w".to_owned(), "x".to_owned()],
    }
}

pub async fn a_receiver_is_stored_changed_and_removed(store: &impl Store) {
    let ledger = store.open().await;
    let add = async |id: &str| ledger.add_webhook(&webhook(id), 2, 3).await.unwrap();
    assert!(add("w").await);
    assert!(add("x").await);
    assert!(!add("y").await, "the third of one account");

    let stored = ledger.webhook("w").await.unwrap().unwrap();
    assert_eq!(stored.events, ["call.missed"]);
    assert_eq!(stored.sites, webhook("w").sites);
    assert_eq!(stored.previous_secret, Some(("two".to_owned(), At(9))));
    assert_eq!(stored.disabled.as_deref(), Some("by katrin"));

    let changed = Webhook {
        events: Vec::new(),
        sites: SiteScope::All,
        previous_secret: None,
        disabled: None,
        ..stored.clone()
    };
    assert!(ledger.update_webhook(&changed).await.unwrap());
    assert!(
        !ledger.update_webhook(&changed).await.unwrap(),
        "changed meanwhile"
    );
    let stored = ledger.webhooks().await.unwrap().remove(0);
    assert!(stored.events.is_empty() && stored.disabled.is_none());
    assert_eq!((&stored.sites, stored.created_at), (&SiteScope::All, At(5)));

    // An end of the receiver as it was before ends nothing.
    ledger.end_webhook(&changed, "gone", At(6)).await.unwrap();
    let working = ledger.webhook("w").await.unwrap().unwrap();
    assert_eq!(working.disabled, None);
    // An end changes nothing else, and brings nothing back.
    ledger.end_webhook(&working, "gone", At(6)).await.unwrap();
    let ended = ledger.webhook("w").await.unwrap().unwrap();
    assert_eq!(ended.disabled.as_deref(), Some("gone"));
    assert!(!ledger.update_webhook(&stored).await.unwrap());
    assert!(ledger.remove_webhook("w").await.unwrap());
    assert!(!ledger.remove_webhook("w").await.unwrap());
    ledger.end_webhook(&ended, "gone", At(6)).await.unwrap();
    assert!(!ledger.update_webhook(&ended).await.unwrap());
    assert!(ledger.webhook("w").await.unwrap().is_none());
    assert_eq!(ledger.webhooks().await.unwrap().len(), 1);
}

pub async fn every_notification_becomes_deliveries_once(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    ledger.commit(&notifications(1..4)).await.unwrap();
    ledger.skip_notifications().await.unwrap();
    assert!(ledger.unsent_notifications(9).await.unwrap().is_empty());

    ledger.commit(&notifications(4..7)).await.unwrap();
    let unsent = ledger.unsent_notifications(2).await.unwrap();
    let numbers: Vec<i64> = unsent.iter().map(|placed| placed.number).collect();
    assert_eq!(numbers, [4, 5]);
    assert_eq!(unsent[0].event, "call.missed");
    assert_eq!(unsent[0].data, "{\"n\":4}");

    ledger.advance(&unsent[1]).await.unwrap();
    // A gateway that is slower sets nothing back.
    ledger.advance(&unsent[0]).await.unwrap();
    let rest = ledger.unsent_notifications(9).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].number, 6);
}

/// Of several gateways one sends to a receiver, while something is due.
pub async fn one_process_at_a_time_sends_to_a_receiver(store: &impl Store) {
    let one = store.open().await;
    let hold = async |sender: &str, seconds| {
        one.hold_webhook("held", sender, At(30), Span::seconds(seconds))
            .await
            .unwrap()
    };
    assert!(one.add_webhook(&webhook("held"), 1, 1).await.unwrap());
    assert_eq!(hold("a", 60).await, Hold::NothingDue);
    let mut for_held = new_message("c", 20);
    for_held.receivers = vec!["held".to_owned()];
    one.add_messages(&[for_held]).await.unwrap();
    assert_eq!(hold("a", 60).await, Hold::Held);
    assert_eq!(hold("b", 60).await, Hold::Elsewhere);
    // Its time has passed already.
    assert_eq!(hold("a", -1).await, Hold::Held);
    assert_eq!(hold("b", 60).await, Hold::Held);
    one.release_webhook("held", "a").await.unwrap();
    assert_eq!(hold("a", 60).await, Hold::Elsewhere);
    one.release_webhook("held", "b").await.unwrap();
    assert_eq!(hold("a", 60).await, Hold::Held);
}

/// Of several gateways one makes messages, and their instants are in order.
pub async fn messages_have_instants_in_the_order_of_their_making(store: &impl Store) {
    let one = store.open().await;
    let hold = async |maker: &str, seconds, instants| {
        one.hold_making(maker, Span::seconds(seconds), instants)
            .await
            .unwrap()
    };

    let first = hold("a", 60, 1_000_000).await.unwrap();
    assert_eq!(hold("b", 60, 10).await, None);
    let second = hold("a", -1, 10).await.unwrap();
    assert_eq!(second - first, Span(1_000_000));
    let third = hold("b", 60, 1).await.unwrap();
    assert_eq!(third - second, Span(10));
    one.release_making("a").await.unwrap();
    assert_eq!(hold("a", 60, 1).await, None);
    one.release_making("b").await.unwrap();
    assert_eq!(hold("a", 60, 1).await.unwrap() - third, Span(1));
}

pub async fn a_receiver_fails_since_its_first_failure(store: &impl Store) {
    let one = store.open().await;
    assert!(one.add_webhook(&webhook("w"), 1, 1).await.unwrap());
    let failing = async || one.webhook("w").await.unwrap().unwrap().failing;
    let rest = async |seconds| {
        let receiver = one.webhook("w").await.unwrap().unwrap();
        one.rest_webhook(&receiver, Span::seconds(seconds))
            .await
            .unwrap();
    };

    rest(60).await;
    let first = failing().await.unwrap();
    assert!(first.rests);
    rest(3_600).await;
    let ahead = failing().await.unwrap();
    assert!(!ahead.rests, "the clock was ahead when it began");
    rest(-1).await;
    let second = failing().await.unwrap();
    assert_eq!((second.since, second.rests), (first.since, false));
    one.wake_webhook("w").await.unwrap();
    assert_eq!(failing().await, None);
}

/// Notifications that webhooks have not got yet stay longer than others, but not without a limit.
pub async fn notifications_wait_for_webhooks(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let commit = async |numbers| {
        let changes = Changes {
            published_up_to: 100_000,
            ..notifications(numbers)
        };
        ledger.commit(&changes).await.unwrap();
    };
    commit(1..3).await;
    ledger.skip_notifications().await.unwrap();
    let mut receiver = webhook("w");
    receiver.disabled = None;
    assert!(ledger.add_webhook(&receiver, 1, 1).await.unwrap());
    let first = async || {
        let unsent = ledger.unsent_notifications(1).await.unwrap();
        (unsent[0].number, unsent[0].sent_before)
    };

    commit(3..4).await;
    commit(45_000..45_001).await;
    assert_eq!(first().await, (3, Some(2)));
    commit(60_000..60_001).await;
    assert_eq!(first().await, (45_000, Some(2)));
    let working = ledger.webhook("w").await.unwrap().unwrap();
    ledger.end_webhook(&working, "gone", At(6)).await.unwrap();
    commit(80_000..80_001).await;
    assert_eq!(first().await, (80_000, Some(2)));
}

pub async fn a_delivery_is_due_until_it_is_finished(store: &impl Store) {
    let (one, other) = (store.open().await, store.open().await);
    let new = [new_message("a", 10), new_message("b", 11)];
    one.add_messages(&new).await.unwrap();
    other.add_messages(&[new_message("a", 20)]).await.unwrap();

    for ledger in [&other, &one] {
        let due = ledger.due_deliveries("w", At(11), 9).await.unwrap();
        let messages: Vec<&str> = due.iter().map(|due| due.message.as_str()).collect();
        assert_eq!(messages, ["a", "b"]);
        assert_eq!((due[0].attempts, due[0].created_at), (0, At(10)));
        assert_eq!(
            (due[0].site.as_deref(), due[0].call.as_str()),
            (Some("berlin"), "7")
        );
    }
    assert_eq!(other.due_deliveries("x", At(11), 1).await.unwrap().len(), 1);
    let count = async |waiting, max| one.count_waiting("w", waiting, max).await.unwrap();
    assert_eq!(count(Waiting::Since(At::START), 9).await, 2);
    assert_eq!(count(Waiting::Since(At::START), 1).await, 1);
    assert_eq!(count(Waiting::Since(At(11)), 9).await, 1);
    assert_eq!(count(Waiting::UntriedUntil(At(9)), 9).await, 0);
    assert_eq!(count(Waiting::UntriedUntil(At(11)), 9).await, 2);

    let tried = Delivery {
        attempts: 1,
        due_at: At(80),
        ..one.due_deliveries("w", At(11), 9).await.unwrap().remove(1)
    };
    one.finish_delivery(&tried).await.unwrap();
    assert_eq!(count(Waiting::UntriedUntil(At(11)), 9).await, 1);
    assert_eq!(count(Waiting::Since(At::START), 9).await, 2);
    assert_eq!(other.due_deliveries("w", At(79), 9).await.unwrap().len(), 1);
}

pub async fn a_delivery_that_failed_can_be_repeated(store: &impl Store) {
    let (one, other) = (store.open().await, store.open().await);
    one.add_messages(&[new_message("a", 10), new_message("b", 11)])
        .await
        .unwrap();
    let failed = Delivery {
        state: DeliveryState::Failed,
        attempts: 10,
        answered: Some(500),
        error: Some("no".to_owned()),
        finished_at: Some(At(71)),
        ..one.due_deliveries("w", At(11), 9).await.unwrap().remove(0)
    };
    one.finish_delivery(&failed).await.unwrap();

    let failed = other
        .deliveries("w", Some(DeliveryState::Failed), 9)
        .await
        .unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (
            failed[0].answered,
            failed[0].finished_at,
            failed[0].attempts
        ),
        (Some(500), Some(At(71)), 10)
    );
    assert_eq!(other.deliveries("w", None, 9).await.unwrap().len(), 2);

    one.repeat_delivery("w", "a", At(60)).await.unwrap();
    let repeated = one.due_deliveries("w", At(60), 9).await.unwrap();
    let messages: Vec<(&str, i64)> = repeated
        .iter()
        .map(|delivery| (delivery.message.as_str(), delivery.attempts))
        .collect();
    assert_eq!(messages, [("a", 0), ("b", 0)]);
    assert!(one.delivery("w", "b").await.unwrap().is_some());
    assert!(one.delivery("w", "c").await.unwrap().is_none());
}

pub async fn what_waits_for_a_receiver_that_ends_has_failed_and_is_forgotten(store: &impl Store) {
    let one = store.open().await;
    let new = [new_message("a", 10), new_message("b", 11)];
    one.add_messages(&new).await.unwrap();
    let mut finished = one.due_deliveries("w", At(11), 9).await.unwrap().remove(0);

    // Of a receiver that was changed since it was read nothing has failed.
    let mut read = webhook("w");
    read.version = 7;
    one.fail_waiting(&read, "off", At(70)).await.unwrap();
    assert_eq!(one.due_deliveries("w", At(11), 9).await.unwrap().len(), 2);

    // A late answer changes nothing.
    one.add_webhook(
        &Webhook {
            disabled: None,
            ..webhook("w")
        },
        9,
        9,
    )
    .await
    .unwrap();
    let working = one.webhook("w").await.unwrap().unwrap();
    one.end_webhook(&working, "gone", At(80)).await.unwrap();
    finished.state = DeliveryState::Delivered;
    one.finish_delivery(&finished).await.unwrap();
    let failed = one
        .deliveries("w", Some(DeliveryState::Failed), 9)
        .await
        .unwrap();
    assert_eq!(failed.len(), 2);

    assert!(!one.forget_deliveries(At(81), At(0)).await.unwrap());
    assert!(one.deliveries("w", None, 9).await.unwrap().is_empty());
    assert_eq!(one.deliveries("x", None, 9).await.unwrap().len(), 2);
    one.forget_deliveries(At(81), At(12)).await.unwrap();
    assert!(one.deliveries("x", None, 9).await.unwrap().is_empty());
}
