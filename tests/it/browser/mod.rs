//! The page in a real browser: what agents and supervisors see and press.

mod settings;

use serde_json::json;
use tempfile::TempDir;

use crate::support::browser::Browser;
use crate::support::servers::Servers;
use crate::support::service::{Service, command, run};

const CUSTOMER: &str = "03023125418";
const SHOWN: &str = "+49 3023125418";
/// A caller's name is the first thing that an attacker chooses.
const NAME: &str = "%3Cimg%20src%3Dx%20onerror%3D%22window.hacked%3D1%22%3E%3Cb%3EMallory";

async fn service() -> (Service, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("settings.toml");
    std::fs::write(&file, "[policy]\nregion = \"DE\"\n").unwrap();
    let arguments = ["serve", "--config", file.to_str().unwrap()];
    let service = Service::begin(command(data.path(), &arguments, &[])).await;
    service.wait_until_ready().await;

    (service, data)
}

async fn report(service: &Service, event: &str, extension: u32) {
    let target = format!(
        "/gs/cti/{event}?mac=000b82000{extension}&local={extension}&remote={CUSTOMER}&n={NAME}"
    );

    service.send(&target).await.expect("an accepted event");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_appears_is_answered_and_ends_and_its_name_stays_text() {
    let (service, _data) = service().await;
    let mut browser = Browser::open().await;
    let live = browser.tab(service.gateway, "/live").await;
    browser.until_shown(&live, "Calls now").await;

    report(&service, "incoming", 201).await;
    browser.until_shown(&live, SHOWN).await;
    browser.until_shown(&live, "Ringing").await;
    browser.until_shown(&live, "<b>Mallory").await;
    report(&service, "answered", 201).await;
    browser.until_shown(&live, "Talking").await;
    report(&service, "hangup", 201).await;
    browser.until_shown(&live, "Just ended").await;

    let today = browser.tab(service.gateway, "/today").await;
    browser.until_shown(&today, "<b>Mallory").await;
    browser.until_shown(&today, "Answered").await;
    browser.press(&today, "<img").await;
    browser.until_shown(&today, "Why the record says so").await;
    browser.until_shown(&today, "Answered by 201").await;

    for tab in [&live, &today] {
        let hacked = browser.eval(tab, "window.hacked === undefined").await;
        assert_eq!(hacked, true);
        let images = browser
            .eval(tab, "document.querySelectorAll('main img').length")
            .await;
        assert_eq!(images, 0);
    }
    browser.assert_no_errors();
    service.stop().await;
}

/// A browser has six connections for all tabs of a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_tabs_leave_connections_to_those_that_are_seen() {
    let (service, _data) = service().await;
    let mut browser = Browser::open().await;
    let mut tabs = Vec::new();
    for _ in 0..8 {
        let tab = browser.tab(service.gateway, "/live").await;
        browser.until_shown(&tab, "Calls now").await;
        browser.until_shown(&tab, "Live").await;
        tabs.push(tab);
    }

    report(&service, "incoming", 201).await;
    for tab in &tabs {
        browser.show(tab).await;
        browser.until_shown(tab, SHOWN).await;
    }
    report(&service, "answered", 201).await;
    browser.show(&tabs[0]).await;
    browser.until_shown(&tabs[0], "Talking").await;
    browser.assert_no_errors();
    service.stop().await;
}

/// What a program did is shown with the call, on Today and on the page of the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_other_programs_are_shown_with_their_call() {
    let servers = Servers::start(&["redis"]).await;
    let data = tempfile::tempdir().unwrap();
    let settings = [("LIVE__URL", servers.urls.redis.as_str())];
    let service = Service::begin(command(data.path(), &["serve"], &settings)).await;
    service.wait_until_ready().await;
    let target = format!("/gs/cti/incoming?mac=000b82000201&local=201&remote={CUSTOMER}");
    let call = service.send(&target).await.unwrap();
    let event = json!({
        "call_id": call,
        "event_type": "intent_detected",
        "data": { "intent": "<b>order", "score": 0.5, "more": {} },
    });
    service
        .eventually("the event in the log of its call", async |service| {
            let (status, appended) = service.call("POST", "/api/v1/call-events", &event).await;
            match (status, appended["provider_id"].as_str()) {
                (201, Some("default")) => Ok(()),
                _ => Err(appended.to_string()),
            }
        })
        .await;

    let mut browser = Browser::open().await;
    let today = browser
        .tab(service.gateway, &format!("/today?open={call}"))
        .await;
    browser.until_shown(&today, "Intent detected").await;
    browser
        .until_shown(&today, "intent: <b>order, score: 0.5")
        .await;
    let page = browser
        .tab(service.gateway, &format!("/calls/{call}"))
        .await;
    browser.until_shown(&page, "What other programs did").await;
    browser
        .until_shown(&page, "intent: <b>order, score: 0.5")
        .await;
    browser.assert_no_errors();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_agent_takes_a_call_and_the_window_of_the_other_says_so() {
    let (service, _data) = service().await;
    let mut browser = Browser::open().await;
    let ayesha = browser.tab(service.gateway, "/agent?extension=201").await;
    let omar = browser.tab(service.gateway, "/agent?extension=202").await;
    browser.until_shown(&ayesha, "No call for you").await;
    browser.until_shown(&omar, "No call for you").await;

    report(&service, "incoming", 201).await;
    report(&service, "incoming", 202).await;
    browser.until_shown(&ayesha, SHOWN).await;
    browser.until_shown(&omar, SHOWN).await;
    browser.press(&ayesha, "I take it").await;
    browser.until_shown(&ayesha, "Taken, yours").await;
    browser.until_shown(&omar, "201 took").await;

    report(&service, "answered", 201).await;
    browser.until_shown(&ayesha, "Talking, yours").await;
    report(&service, "hangup", 201).await;
    browser.until_gone(&ayesha, "Talking, yours").await;
    browser.assert_no_errors();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_caller_is_on_the_desk_until_a_colleague_has_reached_him() {
    let (service, _data) = service().await;
    let mut browser = Browser::open().await;
    let desk = browser.tab(service.gateway, "/missed").await;
    browser
        .until_shown(&desk, "Everybody has been called back")
        .await;

    report(&service, "incoming", 201).await;
    report(&service, "missed", 201).await;
    browser.until_shown(&desk, SHOWN).await;
    browser.until_shown(&desk, "Call back").await;

    report(&service, "outgoing", 204).await;
    report(&service, "answered", 204).await;
    report(&service, "hangup", 204).await;
    browser.until_shown(&desk, "Reached by 204").await;
    browser.assert_no_errors();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_cut_is_said_and_hides_no_popup_for_good() {
    let (service, _data) = service().await;
    let mut browser = Browser::open().await;
    let agent = browser.tab(service.gateway, "/agent?extension=201").await;
    browser.until_shown(&agent, "No call for you").await;

    browser.set_offline(&agent, true).await;
    // A stream that is open already stays open in this emulation: it begins anew.
    browser
        .go(&agent, service.gateway, "/agent?extension=201")
        .await;
    report(&service, "incoming", 201).await;
    browser.set_offline(&agent, false).await;
    browser
        .go(&agent, service.gateway, "/agent?extension=201")
        .await;
    browser.until_shown(&agent, SHOWN).await;

    report(&service, "missed", 201).await;
    browser.until_shown(&agent, "Missed").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_by_a_link_chooses_a_password_and_comes_back() {
    let (service, data) = service().await;
    let added = run(
        data.path(),
        &["user", "add", "katrin", "--role", "supervisor"],
    )
    .await;
    let line = String::from_utf8(added.stdout).unwrap();
    let link = line
        .lines()
        .next()
        .unwrap()
        .split("/sign-in")
        .nth(1)
        .unwrap();
    let mut browser = Browser::open().await;

    // Without a session the page asks for one, and knows where it is to go on.
    let tab = browser.tab(service.gateway, "/missed").await;
    browser.until_shown(&tab, "Password").await;
    browser
        .go(&tab, service.gateway, &format!("/sign-in{link}"))
        .await;
    browser.until_shown(&tab, "Save").await;
    fill(
        &mut browser,
        &tab,
        &json!({ "fresh": "correct horse battery" }),
    )
    .await;
    browser.until_shown(&tab, "katrin").await;

    let session = browser.eval(&tab, "document.cookie").await;
    assert_eq!(session, "", "no script reads the session");
    browser
        .eval(
            &tab,
            "fetch('/api/v1/session', { method: 'DELETE' }).then(() => null)",
        )
        .await;
    browser.go(&tab, service.gateway, "/today").await;
    browser.until_shown(&tab, "Password").await;
    let account = json!({ "name": "katrin", "password": "correct horse battery" });
    fill(&mut browser, &tab, &account).await;
    browser.until_shown(&tab, "Today").await;
    browser.assert_no_errors();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_described_with_examples() {
    let (service, _data) = service().await;
    let mut browser = Browser::open().await;
    let settings = browser.tab(service.gateway, "/settings").await;
    browser
        .until_shown(&settings, "Description of the API")
        .await;

    let api = browser.tab(service.gateway, "/api").await;
    browser
        .until_shown(&api, "/api/v1/call-states/{id}/end")
        .await;
    browser
        .eval(&api, "document.getElementById('list_calls').open = true")
        .await;
    browser.until_shown(&api, "next_cursor").await;
    browser.until_shown(&api, "Authorization: Bearer").await;
    browser.assert_no_errors();
    service.stop().await;
}

/// Fills in the fields of the page, and sends its form.
async fn fill(
    browser: &mut Browser,
    tab: &crate::support::browser::Tab,
    fields: &serde_json::Value,
) {
    let expression = format!(
        "(() => {{
            for (const [name, value] of Object.entries({fields}))
                document.querySelector(`form [name=${{name}}]`).value = value;
            document.querySelector('form').requestSubmit();
        }})()"
    );

    browser.eval(tab, &expression).await;
}
