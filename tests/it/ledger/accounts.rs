//! Laws of stored accounts.

use cordboard::access::{PasswordHash, Role, SiteScope};
use cordboard::port::accounts::{Accounts, User};

use super::Store;

fn user() -> User {
    User {
        name: "katrin".to_owned(),
        display_name: None,
        role: Role::Agent,
        sites: SiteScope::All,
        extension: None,
        password: None,
        is_disabled: false,
    }
}

pub async fn a_change_under_way_brings_no_account_back(store: &impl Store) {
    let ledger = store.open().await;
    let hash = |text: &str| PasswordHash::from_column(text.to_owned());
    let set = async |password: &str, before: Option<&str>| {
        let (password, before) = (hash(password), before.map(hash));
        let set = ledger.set_password("katrin", &password, before.as_ref());
        set.await.unwrap()
    };
    assert!(!set("one", None).await, "there is no such account");
    assert!(ledger.add_user(&user()).await.unwrap());
    assert!(
        !ledger.add_user(&user()).await.unwrap(),
        "the name is taken"
    );

    assert!(set("one", None).await);
    assert!(!set("two", None).await, "another change came first");
    assert!(set("two", Some("one")).await);

    let disabled = User {
        is_disabled: true,
        ..user()
    };
    assert!(ledger.update_user(&disabled).await.unwrap());
    assert!(!set("three", Some("two")).await);
    let stored = ledger.user("katrin").await.unwrap().unwrap();
    assert!(stored.is_disabled && stored.password == Some(hash("two")));

    assert!(ledger.remove_user("katrin").await.unwrap());
    assert!(!set("three", Some("two")).await);
    assert!(!ledger.update_user(&user()).await.unwrap());
    assert!(ledger.user("katrin").await.unwrap().is_none());
}
