//! Laws of requests that are carried out once.

use cordboard::domain::time::At;
use cordboard::port::repeats::{Begun, KeptAnswer, RepeatableRequest, Repeats};

use super::Store;

fn request(owner: &str, digest: &str) -> RepeatableRequest {
    RepeatableRequest {
        owner: owner.to_owned(),
        key: "k".to_owned(),
        digest: digest.to_owned(),
    }
}

fn answer() -> KeptAnswer {
    KeptAnswer {
        status: 201,
        content_type: Some("application/json".to_owned()),
        body: "{}".to_owned(),
    }
}

/// The state of a request at an instant: a minute long it may be under way, a hundred it is kept.
async fn begin(ledger: &impl Repeats, request: &RepeatableRequest, minute: i64) -> &'static str {
    let stale = At(minute - 1);
    let begun = ledger.begin(request, At(minute), stale, At(minute - 100));

    match begun.await.unwrap() {
        Begun::New => "new",
        Begun::UnderWay => "under way",
        Begun::Answered(kept) if kept == answer() => "answered",
        Begun::Answered(_) => "another answer",
        Begun::Other => "other",
    }
}

pub async fn a_request_with_a_key_is_carried_out_once(store: &impl Store) {
    let (ledger, other) = (store.open().await, store.open().await);
    let own = request("crm", "a");
    let both = tokio::join!(begin(&ledger, &own, 1), begin(&other, &own, 1));
    assert!(
        matches!(both, ("new", "under way") | ("under way", "new")),
        "{both:?}"
    );
    assert_eq!(begin(&ledger, &request("pbx", "a"), 1).await, "new");
    assert_eq!(begin(&ledger, &request("crm", "b"), 1).await, "other");

    ledger.keep_answer(&own, At(1), &answer()).await.unwrap();
    assert_eq!(begin(&ledger, &own, 50).await, "answered");
    assert_eq!(begin(&ledger, &request("crm", "b"), 50).await, "other");
    assert_eq!(begin(&ledger, &own, 102).await, "new", "it is forgotten");
}

pub async fn a_request_whose_process_died_begins_anew(store: &impl Store) {
    let ledger = store.open().await;
    let own = request("crm", "a");
    assert_eq!(begin(&ledger, &own, 1).await, "new");
    assert_eq!(begin(&ledger, &own, 2).await, "under way");
    assert_eq!(begin(&ledger, &own, 3).await, "new");

    // The one before was only slow: the answer of the later one counts.
    ledger.keep_answer(&own, At(1), &answer()).await.unwrap();
    assert_eq!(begin(&ledger, &own, 4).await, "under way");
    ledger.forget(&own, At(1)).await.unwrap();
    assert_eq!(begin(&ledger, &own, 4).await, "under way");
    ledger.forget(&own, At(3)).await.unwrap();
    assert_eq!(begin(&ledger, &own, 4).await, "new");
}

pub async fn a_request_that_says_so_stays_under_way(store: &impl Store) {
    let ledger = store.open().await;
    let own = request("crm", "a");
    assert_eq!(begin(&ledger, &own, 1).await, "new");
    assert!(ledger.renew(&own, At(1), At(3)).await.unwrap());
    assert_eq!(begin(&ledger, &own, 4).await, "under way");

    // Its answer is that of the last sign; it gives none after its end.
    ledger.keep_answer(&own, At(3), &answer()).await.unwrap();
    assert!(!ledger.renew(&own, At(3), At(5)).await.unwrap());
    assert_eq!(begin(&ledger, &own, 9).await, "answered");
}
