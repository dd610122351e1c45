//! Laws of the rules of sites.

use cordboard::domain::time::At;
use cordboard::port::site_rules::{SiteRules, StoredRules};

use super::Store;

fn rules(site: &str, rules: &str, second: i64) -> StoredRules {
    StoredRules {
        site: site.to_owned(),
        rules: rules.to_owned(),
        changed_by: "katrin".to_owned(),
        changed_at: At(second),
    }
}

pub async fn the_last_rules_of_a_site_count_until_they_are_removed(store: &impl Store) {
    let ledger = store.open().await;
    assert!(ledger.rules().await.unwrap().is_empty());

    for (site, text, second) in [("paris", "{}", 1), ("berlin", "a", 2), ("berlin", "b", 3)] {
        ledger.set_rules(&rules(site, text, second)).await.unwrap();
    }
    let stored = [rules("berlin", "b", 3), rules("paris", "{}", 1)];
    assert_eq!(ledger.rules().await.unwrap(), stored);

    assert!(ledger.remove_rules("berlin").await.unwrap());
    assert!(!ledger.remove_rules("berlin").await.unwrap());
    assert_eq!(ledger.rules().await.unwrap(), stored[1..]);
}
