//! The settings of administrators: names, receivers, accounts, tokens.

use serde_json::json;

use super::{CUSTOMER, fill, report, service};
use crate::support::browser::{Browser, Tab};

/// The secret that a dialog shows; the dialog is closed.
async fn secret(browser: &mut Browser, tab: &Tab) -> String {
    browser.until_shown(tab, "Copy").await;
    let text = browser
        .eval(tab, "document.querySelector('[data-secret]').innerText")
        .await;
    browser.press(tab, "Close").await;

    text.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_given_changed_and_removed() {
    let (service, _data) = service().await;
    report(&service, "incoming", 203).await;
    let mut browser = Browser::open().await;
    let tab = browser.tab(service.gateway, "/settings/directory").await;

    // An extension that a phone has shown.
    browser.press(&tab, "Name it").await;
    fill(&mut browser, &tab, &json!({ "name": "Bilal <b>Tariq" })).await;
    browser.until_shown(&tab, "Bilal <b>Tariq").await;
    browser.until_gone(&tab, "Extensions without a name").await;

    browser.press(&tab, "Add a helpline").await;
    let helpline = json!({ "number": "240", "name": "", "members": "203" });
    fill(&mut browser, &tab, &helpline).await;
    fill(&mut browser, &tab, &json!({ "name": "n".repeat(200) })).await;
    browser.until_shown(&tab, "1 to 128 characters").await;
    fill(&mut browser, &tab, &json!({ "name": "Sales" })).await;
    browser.until_shown(&tab, "Sales").await;

    let live = browser.tab(service.gateway, "/live").await;
    browser.until_shown(&live, "Bilal <b>Tariq").await;

    browser.press(&tab, "Remove").await;
    browser
        .until_shown(&tab, "Remove Bilal <b>Tariq from")
        .await;
    fill(&mut browser, &tab, &json!({})).await;
    browser.until_shown(&tab, "No person yet").await;
    browser.until_shown(&tab, "Extensions without a name").await;
    browser.assert_no_errors();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_of_events_is_set_up_tested_and_removed() {
    let (service, _data) = service().await;
    let mut browser = Browser::open().await;
    let tab = browser.tab(service.gateway, "/settings/webhooks").await;

    browser.press(&tab, "Add a receiver").await;
    fill(&mut browser, &tab, &json!({ "url": "http://127.0.0.1:9/" })).await;
    browser.until_shown(&tab, "webhook_networks").await;
    let url = json!({ "url": "https://crm.example.invalid/calls" });
    fill(&mut browser, &tab, &url).await;
    assert!(secret(&mut browser, &tab).await.starts_with("whsec_"));

    browser.press(&tab, "Test").await;
    browser.until_shown(&tab, "Not taken:").await;
    browser.press(&tab, "Turn off").await;
    browser.until_shown(&tab, "Turn on").await;
    browser.press(&tab, "Deliveries").await;
    browser
        .until_shown(&tab, "Nothing was sent to it yet.")
        .await;
    browser.press(&tab, "Remove").await;
    fill(&mut browser, &tab, &json!({})).await;
    browser.until_shown(&tab, "No receiver yet").await;
    browser.assert_no_errors();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_and_tokens_are_made_on_the_page_from_the_first_one_on() {
    let (service, _data) = service().await;
    report(&service, "incoming", 201).await;
    let mut browser = Browser::open().await;
    let tab = browser.tab(service.gateway, "/settings/accounts").await;
    browser.press(&tab, "Add an account").await;
    let first = json!({ "name": "omar", "display_name": "Omar Farooq" });
    fill(&mut browser, &tab, &first).await;
    let link = secret(&mut browser, &tab).await;
    let (_, path) = link.split_once("/sign-in").unwrap();

    browser
        .go(&tab, service.gateway, &format!("/sign-in{path}"))
        .await;
    browser.until_shown(&tab, "Save").await;
    let password = json!({ "fresh": "correct horse battery" });
    fill(&mut browser, &tab, &password).await;
    browser.until_shown(&tab, "Omar Farooq").await;

    browser
        .go(&tab, service.gateway, "/settings/accounts")
        .await;
    browser.until_shown(&tab, "omar, you").await;
    browser.press(&tab, "Add an account").await;
    let agent = json!({ "name": "katrin", "role": "agent", "extension": "201" });
    fill(&mut browser, &tab, &agent).await;
    secret(&mut browser, &tab).await;
    browser.until_shown(&tab, "No password yet").await;
    browser.press(&tab, "Disable").await;
    browser.until_shown(&tab, "Disabled").await;

    browser.press(&tab, "Tokens").await;
    browser.press(&tab, "Make a token").await;
    fill(&mut browser, &tab, &json!({ "name": "katrin" })).await;
    browser.until_shown(&tab, "an account has the name").await;
    fill(&mut browser, &tab, &json!({ "name": "crm" })).await;
    assert!(secret(&mut browser, &tab).await.starts_with("cb_"));
    browser.until_shown(&tab, "Valid").await;
    browser.press(&tab, "Revoke").await;
    fill(&mut browser, &tab, &json!({})).await;
    browser.until_shown(&tab, "Revoked").await;

    // Receivers get numbers, which the role shows on demand.
    browser.press(&tab, "Webhooks").await;
    browser.press(&tab, "Show numbers").await;
    browser.until_shown(&tab, "Add a receiver").await;
    browser.press(&tab, "Audit log").await;
    for done in ["user added", "token revoked", "numbers revealed"] {
        browser.until_shown(&tab, done).await;
    }
    let shown = browser.text(&tab).await;
    assert!(!shown.contains(CUSTOMER), "{shown}");
    browser.assert_no_errors();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_is_added_and_its_name_and_a_note_are_shown_with_its_call() {
    let (service, _data) = service().await;
    let mut browser = Browser::open().await;
    let settings = browser.tab(service.gateway, "/settings/contacts").await;
    browser.until_shown(&settings, "No contact yet").await;
    browser.press(&settings, "Add a contact").await;
    let contact = json!({ "number": CUSTOMER, "name": "Ada <b>Vogel", "company": "Vogel AG" });
    fill(&mut browser, &settings, &contact).await;
    browser.until_shown(&settings, "Vogel AG").await;
    browser.until_shown(&settings, "+493023125418").await;

    let agent = browser.tab(service.gateway, "/agent?extension=201").await;
    browser.until_shown(&agent, "No call for you").await;
    report(&service, "incoming", 201).await;
    browser.until_shown(&agent, "Ada <b>Vogel").await;
    browser.until_shown(&agent, "Vogel AG").await;
    browser.press(&agent, "Write a note").await;
    browser.until_shown(&agent, "All agents of this site").await;
    fill(&mut browser, &agent, &json!({ "note": "Asks for Omar." })).await;
    browser.until_shown(&agent, "Asks for Omar.").await;

    let today = browser.tab(service.gateway, "/today").await;
    browser.press(&today, "Ada").await;
    browser.until_shown(&today, "The caller").await;
    browser.until_shown(&today, "Vogel AG").await;
    browser.until_shown(&today, "Asks for Omar.").await;

    browser.show(&settings).await;
    browser.press(&settings, "Remove").await;
    fill(&mut browser, &settings, &json!({})).await;
    browser.until_shown(&settings, "No contact yet").await;
    browser.assert_no_errors();
    service.stop().await;
}
