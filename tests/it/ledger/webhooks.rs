//! Laws of webhooks and their deliveries.

use cordboard::access::SiteScope;
use cordboard::domain::fact::EventId;
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::time::At;
use cordboard::port::ledger::{Changes, Ledger};
use cordboard::port::outbox::Notification;
use cordboard::port::webhooks::{DeliveryState, NewDelivery, Webhook, Webhooks};

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

fn new_delivery(message: &str) -> NewDelivery {
    NewDelivery {
        webhook: "w".to_owned(),
        message: message.to_owned(),
        event: "call.missed".to_owned(),
        body: "{\"type\":\"call.missed\"}".to_owned(),
    }
}

pub async fn a_receiver_is_stored_changed_and_removed(store: &impl Store) {
    let ledger = store.open().await;
    ledger.put_webhook(&webhook("w")).await.unwrap();
    let changed = Webhook {
        events: Vec::new(),
        sites: SiteScope::All,
        previous_secret: None,
        disabled: None,
        ..webhook("w")
    };

    let stored = ledger.webhooks().await.unwrap().remove(0);
    assert_eq!(stored.events, ["call.missed"]);
    assert_eq!(stored.sites, webhook("w").sites);
    assert_eq!(stored.previous_secret, Some(("two".to_owned(), At(9))));
    assert_eq!(stored.disabled.as_deref(), Some("by katrin"));

    ledger.put_webhook(&changed).await.unwrap();
    let stored = ledger.webhooks().await.unwrap().remove(0);
    assert!(stored.events.is_empty() && stored.disabled.is_none());
    assert_eq!((stored.sites, stored.created_at), (SiteScope::All, At(5)));

    assert!(ledger.remove_webhook("w").await.unwrap());
    assert!(!ledger.remove_webhook("w").await.unwrap());
    assert!(ledger.webhooks().await.unwrap().is_empty());
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

pub async fn a_delivery_is_taken_by_one_process_until_it_is_settled(store: &impl Store) {
    let (one, other) = (store.open().await, store.open().await);
    let new = [new_delivery("a"), new_delivery("b")];
    one.add_deliveries(&new, At(10)).await.unwrap();
    other.add_deliveries(&new, At(20)).await.unwrap();

    assert!(
        one.take_due("w", At(9), At(70), 9)
            .await
            .unwrap()
            .is_empty()
    );
    let mut due = one.take_due("w", At(10), At(70), 9).await.unwrap();
    assert_eq!(due.len(), 2);
    assert_eq!((due[0].attempts, due[0].created_at), (1, At(10)));
    assert!(
        other
            .take_due("w", At(69), At(130), 9)
            .await
            .unwrap()
            .is_empty()
    );
    let again = other.take_due("w", At(70), At(130), 1).await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].message.as_str(), again[0].attempts), ("a", 2));

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

    assert!(one.repeat_delivery("w", "a", At(80)).await.unwrap());
    assert!(!one.repeat_delivery("w", "c", At(80)).await.unwrap());
    let repeated = one.take_due("w", At(80), At(140), 1).await.unwrap();
    assert_eq!(
        (repeated[0].message.as_str(), repeated[0].attempts),
        ("b", 2)
    );

    one.forget_deliveries(At(11)).await.unwrap();
    assert!(one.deliveries("w", None, 9).await.unwrap().is_empty());
}
