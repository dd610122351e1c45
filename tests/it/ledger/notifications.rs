//! Laws of stored notifications.

use cordboard::domain::fact::EventId;
use cordboard::domain::notice::NoticeKind;
use cordboard::port::ledger::{Changes, Ledger};
use cordboard::port::outbox::{Notification, NotificationLog};

use super::Store;
use crate::support::batches::LOOKBACK;

pub async fn notifications_are_kept_for_absent_watchers_and_their_numbers_go_on(
    store: &impl Store,
) {
    let ledger = store.open().await;
    assert_eq!(last_number(&ledger).await, 0);

    let first = Changes {
        notifications: vec![
            notification(1, NoticeKind::Started),
            notification(2, NoticeKind::Answered),
        ],
        ..Changes::default()
    };
    ledger.commit(&first).await.unwrap();
    ledger.commit(&first).await.unwrap();

    let stored = &first.notifications;
    assert_eq!(recent(&ledger, 1).await, stored[1..]);
    assert_eq!(recent(&ledger, 9).await, stored[..]);
    assert_eq!(ledger.notifications_after(1, 9).await.unwrap(), stored[1..]);
    assert_eq!(ledger.notifications_after(0, 1).await.unwrap(), stored[..1]);

    let far = Changes {
        notifications: vec![notification(20_000, NoticeKind::Ended)],
        published_up_to: 20_000,
        ..Changes::default()
    };
    ledger.commit(&far).await.unwrap();

    assert_eq!(last_number(&ledger).await, 20_000);
    assert_eq!(
        recent(&ledger, 9).await,
        far.notifications,
        "old notifications are deleted"
    );
}

fn notification(number: u64, kind: NoticeKind) -> Notification {
    Notification {
        number,
        kind,
        call: EventId(7),
        data: format!("{{\"n\":{number}}}").into(),
    }
}

/// The last number that the next owner recovers.
async fn last_number(ledger: &impl Ledger) -> u64 {
    ledger.take_over(LOOKBACK).await.unwrap().last_notification
}

async fn recent(ledger: &impl NotificationLog, most: u32) -> Vec<Notification> {
    let recent = ledger.recent(most).await.unwrap();

    recent
        .into_iter()
        .map(|(_, notification)| notification)
        .collect()
}
