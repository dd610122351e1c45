//! Laws of stored accounts.

use cordboard::access::{PasswordHash, Role, Secret, SiteScope};
use cordboard::domain::time::At;
use cordboard::port::accounts::{Accounts, ApiToken, SecretKind, User, UserSecret};

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

fn session() -> UserSecret {
    UserSecret {
        hash: Secret::random("cbs_").hash(),
        kind: SecretKind::Session,
        user: "katrin".to_owned(),
        created_at: At(0),
        used_at: At(0),
        expires_at: At(1),
        reveals_until: None,
        session: None,
        made_by: None,
    }
}

pub async fn a_change_under_way_brings_no_account_back(store: &impl Store) {
    let ledger = store.open().await;
    let own = session();
    let hash = |text: &str| PasswordHash::from_column(text.to_owned());
    let set = async |password: &str, before: Option<&str>| {
        let (password, before) = (hash(password), before.map(hash));
        let set = ledger.set_password("katrin", &password, before.as_ref(), &own.hash);
        set.await.unwrap()
    };
    assert!(!set("one", None).await, "there is no such account");
    assert!(ledger.add_user(&user()).await.unwrap());
    assert!(!set("one", None).await, "there is no such session");
    assert!(ledger.add_session(&own, None).await.unwrap());
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
    assert!(ledger.update_user(&user(), &disabled).await.unwrap());
    let renamed = User {
        display_name: Some("Katrin".into()),
        ..user()
    };
    let over = ledger.update_user(&user(), &renamed).await.unwrap();
    assert!(!over, "another change came first");
    assert!(!set("three", Some("two")).await);
    let stored = ledger.user("katrin").await.unwrap().unwrap();
    assert!(stored.is_disabled && stored.password == Some(hash("two")));

    assert!(ledger.remove_user("katrin").await.unwrap());
    assert!(!set("three", Some("two")).await);
    assert!(!ledger.update_user(&disabled, &user()).await.unwrap());
    assert!(ledger.user("katrin").await.unwrap().is_none());
}

pub async fn no_session_outlives_the_password_that_began_it(store: &impl Store) {
    let ledger = store.open().await;
    let hash = |text: &str| PasswordHash::from_column(text.to_owned());
    let (old, new) = (hash("old"), hash("new"));
    ledger.add_user(&user()).await.unwrap();
    let begin = async |password: Option<&PasswordHash>| {
        let session = session();
        let added = ledger.add_session(&session, password).await.unwrap();
        let found = ledger.secret(&session.hash, SecretKind::Session).await;
        assert_eq!(found.unwrap().is_some(), added);
        added
    };

    let own = session();
    assert!(ledger.add_session(&own, None).await.unwrap());
    let set = async |password: &PasswordHash, before: Option<&PasswordHash>| {
        let set = ledger.set_password("katrin", password, before, &own.hash);
        assert!(set.await.unwrap());
    };
    set(&old, None).await;
    assert!(!begin(None).await, "a password was set meanwhile");
    assert!(begin(Some(&old)).await);
    set(&new, Some(&old)).await;
    assert!(!begin(Some(&old)).await);
    assert!(begin(Some(&new)).await);

    ledger.reset_user("katrin").await.unwrap();
    let found = ledger.secret(&own.hash, SecretKind::Session).await;
    assert!(found.unwrap().is_none(), "all sessions are over");
    assert!(!begin(Some(&new)).await);
    let disabled = User {
        is_disabled: true,
        ..user()
    };
    assert!(ledger.update_user(&user(), &disabled).await.unwrap());
    assert!(!begin(None).await);
}

pub async fn an_account_and_a_token_do_not_share_a_name(store: &impl Store) {
    let ledger = store.open().await;
    let token = |name: &str| ApiToken::create(name, Role::Agent, SiteScope::All, At(0)).1;
    assert!(ledger.add_user(&user()).await.unwrap());

    assert!(!ledger.add_token(&token("katrin")).await.unwrap());
    assert!(ledger.add_token(&token("crm")).await.unwrap());
    assert!(!ledger.add_token(&token("crm")).await.unwrap());
    let crm = User {
        name: "crm".to_owned(),
        ..user()
    };
    assert!(!ledger.add_user(&crm).await.unwrap());
}

pub async fn no_secret_outlives_its_account(store: &impl Store) {
    let ledger = store.open().await;
    let add = async || {
        let secret = session();
        let added = ledger.add_secret(&secret).await.unwrap();
        let found = ledger.secret(&secret.hash, SecretKind::Session).await;
        assert_eq!(found.unwrap().is_some(), added);
        (secret, added)
    };
    assert!(!add().await.1, "there is no such account");

    ledger.add_user(&user()).await.unwrap();
    let (secret, added) = add().await;
    assert!(added);
    assert!(ledger.remove_user("katrin").await.unwrap());
    assert!(!add().await.1, "the account was removed");

    // A link that he made for a colleague ends with him.
    let colleague = User {
        name: "omar".to_owned(),
        ..user()
    };
    ledger.add_user(&colleague).await.unwrap();
    ledger.add_user(&user()).await.unwrap();
    let made = UserSecret {
        user: "omar".to_owned(),
        made_by: Some("katrin".to_owned()),
        ..session()
    };
    assert!(ledger.add_secret(&made).await.unwrap());
    assert!(ledger.remove_user("katrin").await.unwrap());
    let found = ledger.secret(&made.hash, SecretKind::Session).await;
    assert!(found.unwrap().is_none());

    // Another person gets the name.
    ledger.add_user(&user()).await.unwrap();
    let found = ledger.secret(&secret.hash, SecretKind::Session).await;
    assert!(found.unwrap().is_none());
}
