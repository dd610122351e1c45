//! Laws of links that people make and remove.

use cordboard::domain::time::At;
use cordboard::port::links::{LinkChange, Links};

use super::Store;

fn change(other: &str, is_removed: bool, second: i64) -> LinkChange {
    LinkChange {
        call_id: "a".to_owned(),
        linked_call_id: other.to_owned(),
        is_removed,
        changed_by: "katrin".to_owned(),
        changed_at: At(second),
    }
}

pub async fn the_last_change_of_a_link_counts_and_a_call_has_a_limited_number(store: &impl Store) {
    let ledger = store.open().await;
    for (other, is_removed, second) in [("b", false, 1), ("c", true, 2), ("b", true, 3)] {
        let change = change(other, is_removed, second);
        assert!(ledger.change_link(&change).await.unwrap());
    }
    let changes = ledger.link_changes("a").await.unwrap();
    assert_eq!(changes, [change("c", true, 2), change("b", true, 3)]);
    assert!(ledger.link_changes("b").await.unwrap().is_empty());

    for number in 2..100 {
        let change = change(&number.to_string(), false, 4);
        assert!(ledger.change_link(&change).await.unwrap());
    }
    assert!(!ledger.change_link(&change("d", false, 5)).await.unwrap());
    assert!(ledger.change_link(&change("b", false, 6)).await.unwrap());
    assert_eq!(ledger.link_changes("a").await.unwrap().len(), 100);
}
