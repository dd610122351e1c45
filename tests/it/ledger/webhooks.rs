//! Laws of webhooks and their deliveries.

use cordboard::access::SiteScope;
use cordboard::domain::fact::EventId;
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::time::At;
use cordboard::port::ledger::{Changes, Ledger};
use cordboard::port::outbox::Notification;
use cordboard::port::webhooks::{DeliveryState, NewMessage, Webhook, Webhooks};

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

    // An end changes nothing else, and brings nothing back.
    ledger.end_webhook("w", "gone", At(6)).await.unwrap();
    let ended = ledger.webhook("w").await.unwrap().unwrap();
    assert_eq!(ended.disabled.as_deref(), Some("gone"));
    assert!(!ledger.update_webhook(&stored).await.unwrap());
    assert!(ledger.remove_webhook("w").await.unwrap());
    assert!(!ledger.remove_webhook("w").await.unwrap());
    ledger.end_webhook("w", "gone", At(6)).await.unwrap();
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
    let hold = async |sender: &str, now, until| {
        one.hold_webhook("held", sender, At(now), At(until))
            .await
            .unwrap()
    };
    assert!(one.add_webhook(&webhook("held"), 1, 1).await.unwrap());
    assert!(!hold("a", 30, 60).await, "nothing is due");
    let mut for_held = new_message("c", 20);
    for_held.receivers = vec!["held".to_owned()];
    one.add_messages(&[for_held]).await.unwrap();
    assert!(hold("a", 30, 60).await && hold("a", 31, 60).await);
    assert!(!hold("b", 60, 90).await, "the other one sends");
    assert!(hold("b", 61, 90).await, "its time has passed");
    one.release_webhook("held", "a").await.unwrap();
    assert!(!hold("a", 62, 90).await);
    one.release_webhook("held", "b").await.unwrap();
    assert!(hold("a", 63, 90).await);
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
    ledger.end_webhook("w", "gone", At(6)).await.unwrap();
    commit(80_000..80_001).await;
    assert_eq!(first().await, (80_000, Some(2)));
}

pub async fn a_delivery_is_taken_by_one_process_until_it_is_settled(store: &impl Store) {
    let (one, other) = (store.open().await, store.open().await);
    let new = [new_message("a", 10), new_message("b", 11)];
    one.add_messages(&new).await.unwrap();
    other.add_messages(&[new_message("a", 20)]).await.unwrap();

    assert!(
        one.take_due("w", At(9), At(70), 9)
            .await
            .unwrap()
            .is_empty()
    );
    let mut due = one.take_due("w", At(11), At(70), 9).await.unwrap();
    let messages: Vec<&str> = due.iter().map(|due| due.message.as_str()).collect();
    assert_eq!(messages, ["a", "b"]);
    assert_eq!((due[0].attempts, due[0].created_at), (1, At(10)));
    assert_eq!(
        (due[0].site.as_deref(), due[0].call.as_str()),
        (Some("berlin"), "7")
    );
    assert!(
        other
            .take_due("w", At(69), At(130), 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        other.take_due("x", At(69), At(130), 9).await.unwrap().len(),
        2
    );
    for (created, max, waiting) in [
        ((At::START, At::END), 9, 2),
        ((At::START, At::END), 1, 1),
        ((At(11), At::END), 9, 1),
        ((At::START, At(9)), 9, 0),
    ] {
        let counted = one.count_waiting("w", created, max).await.unwrap();
        assert_eq!(counted, waiting, "{created:?}");
    }

    let mut settled = due.remove(0);
    settled.state = DeliveryState::Failed;
    settled.answered = Some(500);
    settled.error = Some("no".to_owned());
    settled.finished_at = Some(At(71));
    one.settle_delivery(&settled).await.unwrap();
    let failed = other
        .deliveries("w", Some(DeliveryState::Failed), 9)
        .await
        .unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (failed[0].answered, failed[0].finished_at),
        (Some(500), Some(At(71)))
    );
    assert_eq!(other.deliveries("w", None, 9).await.unwrap().len(), 2);

    one.repeat_delivery("w", "a", At(60)).await.unwrap();
    let repeated = one.take_due("w", At(60), At(140), 9).await.unwrap();
    assert_eq!(repeated.len(), 1);
    assert_eq!(
        (repeated[0].message.as_str(), repeated[0].attempts),
        ("a", 1)
    );
    assert!(one.delivery("w", "b").await.unwrap().is_some());
    assert!(one.delivery("w", "c").await.unwrap().is_none());
}

pub async fn what_waits_for_a_receiver_that_ends_has_failed_and_is_forgotten(store: &impl Store) {
    let one = store.open().await;
    let new = [new_message("a", 10), new_message("b", 11)];
    one.add_messages(&new).await.unwrap();
    let mut settled = one
        .take_due("w", At(11), At(70), 9)
        .await
        .unwrap()
        .remove(0);

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
    one.end_webhook("w", "gone", At(80)).await.unwrap();
    settled.state = DeliveryState::Delivered;
    one.settle_delivery(&settled).await.unwrap();
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
