//! What people do with calls: the desk, the directory, exports, and the page.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::accounts::{printed, secret_of, signed_in};
use crate::support::http::{self, send};
use crate::support::service::{Events, Service, command};
use crate::support::sqlite;

pub(super) const CUSTOMER: &str = "03023125418";

/// A service without accounts.
pub(super) async fn service() -> (Service, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("settings.toml");
    std::fs::write(&file, "[policy]\nregion = \"DE\"\n").unwrap();
    let arguments = ["serve", "--config", file.to_str().unwrap()];
    let service = Service::begin(command(data.path(), &arguments, &[])).await;
    service.wait_until_ready().await;

    (service, data)
}

pub(super) async fn report(service: &Service, event: &str, extension: u32, remote: &str) -> String {
    let target =
        format!("/gs/cti/{event}?mac=000b82000{extension}&local={extension}&remote={remote}");

    service.send(&target).await.expect("an accepted event")
}

async fn desk(service: &Service, query: &str) -> Vec<Value> {
    let answer = service.ask(&format!("/api/v1/missed{query}")).await;

    answer["missed"].as_array().unwrap().clone()
}

pub(super) async fn post(gateway: SocketAddr, target: &str, body: &Value) -> (u16, Value) {
    let answer = send(gateway, "POST", target, "", Some(body)).await;

    (answer.status, answer.body)
}

/// A call that rings in vain; returns its id when it is on the desk.
pub(super) async fn missed_call(service: &Service, extension: u32, count: usize) -> String {
    let id = report(service, "incoming", extension, CUSTOMER).await;
    report(service, "missed", extension, CUSTOMER).await;
    service
        .eventually("the missed call on the desk", async |service| {
            let entries = desk(service, "").await;
            let calls = entries
                .first()
                .map_or(0, |entry| entry["calls"].as_u64().unwrap());
            if calls == count as u64 {
                Ok(())
            } else {
                Err(format!("{entries:?}"))
            }
        })
        .await;

    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_caller_is_one_entry_until_he_is_reached() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let first = missed_call(&service, 201, 1).await;
    service
        .eventually("a second missed call of the same caller", async |service| {
            // The same number a moment later is another round of the same call.
            let calls = service.ask("/api/v1/calls/live").await;
            let live = calls["calls"].as_array().map_or(0, Vec::len);
            (live == 0).then_some(()).ok_or(calls.to_string())
        })
        .await;
    let entries = desk(&service, "").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["call_ids"], json!([first]));
    assert_eq!(entries[0]["from"]["e164"], "+493023125418");
    assert_eq!(entries[0]["status"], "open");

    let taken = json!({ "call_ids": [first], "status": "assigned", "assigned_to": "omar" });
    let (status, changed) = post(gateway, "/api/v1/missed", &taken).await;
    assert_eq!((status, &changed["changed"]), (200, &json!([first])));
    // Without accounts everybody is the same person.
    let again = json!({
        "call_ids": [first], "status": "assigned", "assigned_to": "hina",
        "note": "prefers the afternoon",
    });
    assert_eq!(post(gateway, "/api/v1/missed", &again).await.0, 200);
    let assigned = desk(&service, "?status=assigned").await;
    assert_eq!(assigned[0]["assigned_to"], "hina");
    assert_eq!(assigned[0]["note"], "prefers the afternoon");
    assert!(desk(&service, "?status=open").await.is_empty());

    // A colleague calls back, in the national form of the number.
    report(&service, "outgoing", 204, CUSTOMER).await;
    service
        .eventually("the call back on the desk", async |service| {
            let entries = desk(service, "").await;
            let calling = entries[0]["being_called_by"]["extension"] == "204";
            calling.then_some(()).ok_or(format!("{entries:?}"))
        })
        .await;
    report(&service, "answered", 204, CUSTOMER).await;
    report(&service, "hangup", 204, CUSTOMER).await;
    service
        .eventually("the entry to be done", async |service| {
            let entries = desk(service, "?status=done").await;
            let reached = entries
                .first()
                .is_some_and(|entry| entry["reached_by"]["extension"] == "204");
            reached.then_some(()).ok_or(format!("{entries:?}"))
        })
        .await;
    assert!(desk(&service, "").await.is_empty());

    let many: Vec<String> = (0..20_001).map(|call| call.to_string()).collect();
    for (wrong, code) in [
        (json!({ "call_ids": many, "status": "done" }), 400),
        (json!({ "call_ids": many[..20_000], "status": "done" }), 404),
        (
            json!({ "call_ids": [first], "status": "assigned", "assigned_to": "" }),
            400,
        ),
        (json!({ "call_ids": [], "status": "done" }), 400),
        (json!({ "call_ids": [first], "status": "gone" }), 400),
        (json!({ "call_ids": ["x"], "status": "done" }), 404),
        (
            json!({ "call_ids": [first], "status": "done", "disposition": "x" }),
            400,
        ),
    ] {
        assert_eq!(
            post(gateway, "/api/v1/missed", &wrong).await.0,
            code,
            "{wrong}"
        );
    }
    service.stop().await;
}

pub(super) async fn import(gateway: SocketAddr, text: &str) -> (u16, String) {
    let request = format!(
        "POST /api/v1/directory HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: text/csv\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );

    http::exchange(gateway, request.as_bytes()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_no_agent_has_is_refused() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let target = "/api/v1/me/state?extension=203";

    for (wrong, code) in [
        (json!({ "state": "asleep" }), 400),
        (json!({ "state": "paused", "reason": "x".repeat(129) }), 400),
        (json!({ "state": "available" }), 200),
    ] {
        let answer = send(gateway, "PUT", target, "", Some(&wrong)).await;
        assert_eq!(answer.status, code, "{wrong}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directory_says_who_is_on_the_phone_and_survives_the_round_trip() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let import = async |text: &str| import(gateway, text).await;
    let file = "kind,site,number,name,members\n\
                person,default,201,\"Vogel, Katrin\",\n\
                person,default,202,Omar Farooq,\n\
                helpline,default,240,Sales,201 202\n";

    let (status, error) = import(&file.replace("Sales", "")).await;
    assert!(status == 400 && error.contains("line 4"), "{error}");
    assert!(desk_of(&service, "people").await.is_empty());
    assert_eq!(import(file).await.0, 200);

    let id = report(&service, "incoming", 201, CUSTOMER).await;
    service
        .eventually("the state of a person", async |service| {
            let people = desk_of(service, "people").await;
            let rings = people[0]["state"] == "ringing" && people[1]["state"] == "available";
            rings.then_some(()).ok_or(format!("{people:?}"))
        })
        .await;
    let people = desk_of(&service, "people").await;
    assert_eq!(people[0]["display_name"], "Vogel, Katrin");
    assert_eq!(people[0]["helplines"], json!(["240"]));
    assert_eq!(
        desk_of(&service, "helplines").await[0]["members"],
        json!(["201", "202"])
    );

    let (status, exported) = http::get(gateway, "/api/v1/directory").await;
    assert_eq!((status, exported.as_str()), (200, file));

    let (_, calls) = http::get(gateway, "/api/v1/calls?format=csv").await;
    let lines: Vec<&str> = calls.lines().collect();
    assert!(lines[0].starts_with("id,site,started_at"), "{calls}");
    assert!(lines[1].starts_with(&id) && lines.len() == 2, "{calls}");
    for (text, found) in [("3125", 1), ("99", 0), ("%25", 0)] {
        let answer = service.ask(&format!("/api/v1/calls?text={text}")).await;
        assert_eq!(
            answer["calls"].as_array().map(Vec::len),
            Some(found),
            "{text}"
        );
    }

    for (target, left) in [
        ("people/202", ["people", "201"]),
        ("helplines/240", ["helplines", ""]),
    ] {
        let target = format!("/api/v1/{target}");
        for expected in [200, 404] {
            let answer = send(gateway, "DELETE", &target, "", None).await;
            assert_eq!(answer.status, expected, "{target}: {}", answer.body);
        }
        let [list, number] = left;
        let numbers: Vec<Value> = desk_of(&service, list).await;
        let numbers = numbers.iter().map(|entry| entry["extension"].as_str());
        assert!(
            numbers.eq((!number.is_empty()).then_some(Some(number))),
            "{list}"
        );
    }
    service.stop().await;
}

pub(super) async fn desk_of(service: &Service, list: &str) -> Vec<Value> {
    let answer = service.ask(&format!("/api/v1/{list}")).await;

    answer[list].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_hear_of_changes_of_the_desk_that_any_process_makes() {
    let (service, data) = service().await;
    let call = missed_call(&service, 201, 1).await;
    let mut events = Events::open(service.gateway, None).await;

    let done = json!({ "call_ids": [call], "status": "done" });
    assert_eq!(post(service.gateway, "/api/v1/missed", &done).await.0, 200);
    let changed = (None, json!({ "site": "default" }));
    assert_eq!(events.until("desk.changed").await, changed);

    // Its clock is a little behind.
    let elsewhere = "UPDATE missed_call_logs
        SET desk_status = 'open', changed_by = 'bea', changed_at = changed_at - 1000000";
    sqlite::write(data.path(), elsewhere).await;
    assert_eq!(events.until("desk.changed").await, changed);
    service.stop().await;
    events.until_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colleagues_give_each_other_callers_and_see_no_stale_desk() {
    let (service, data) = service().await;
    let gateway = service.gateway;
    let call = missed_call(&service, 201, 1).await;
    let mut cookies = Vec::new();
    for name in ["anna", "bert", "carl"] {
        let link = printed(data.path(), &["user", "add", name, "--role", "agent"]).await;
        let (cookie, _) = signed_in(gateway, &json!({ "link": secret_of(&link) })).await;
        cookies.push(cookie);
    }
    let [anna, bert, carl] = &cookies[..] else {
        panic!("three people");
    };
    let change = async |cookie: &str, change: Value| {
        let mut body = json!({ "call_ids": [call] });
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = send(gateway, "POST", "/api/v1/missed", cookie, Some(&body)).await;
        let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
        (answer.status, code)
    };
    let to = |person: &str| json!({ "status": "assigned", "assigned_to": person });
    let (ok, taken) = ((200, String::new()), (409, "taken".to_owned()));
    let list = send(gateway, "GET", "/api/v1/missed", carl, None).await;
    let read_at = &list.body["read_at"];

    assert_eq!(change(anna, to("202")).await.0, 400, "no account");
    assert_eq!(change(anna, to("bert")).await, ok);
    let own = json!({ "status": "assigned" });
    assert_eq!(change(carl, own.clone()).await, taken);
    assert_eq!(change(anna, json!({ "status": "open" })).await, ok);
    assert_eq!(change(anna, to("bert")).await, ok);
    let done = json!({ "status": "done", "disposition": "reached" });
    assert_eq!(change(bert, done).await, ok);

    // Another one still sees the entry as open.
    let stale = json!({ "status": "assigned", "read_at": read_at, "take_over": true });
    assert_eq!(change(carl, stale).await, (409, "changed".to_owned()));
    assert_eq!(change(carl, own).await, ok);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_link_calls_and_remove_links() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let first = report(&service, "incoming", 201, CUSTOMER).await;
    let second = report(&service, "incoming", 202, "0301111111").await;
    let links = async || {
        let call = service.ask(&format!("/api/v1/calls/{second}")).await;
        call["links"].clone()
    };
    service
        .eventually("both calls", async |service| {
            let calls = service.ask("/api/v1/calls").await;
            let stored = calls["calls"].as_array().map(Vec::len);
            (stored == Some(2)).then_some(()).ok_or(calls.to_string())
        })
        .await;
    assert_eq!(links().await, json!([]));
    let target = format!("/api/v1/calls/{second}/links");

    for (other, status) in [
        (first.as_str(), 204),
        (first.as_str(), 204),
        (second.as_str(), 400),
        ("nope", 404),
    ] {
        let answer = post(gateway, &target, &json!({ "call_id": other })).await;
        assert_eq!(answer.0, status, "{other}: {}", answer.1);
    }
    assert_eq!(
        links().await,
        json!([{
            "kind": "by_hand", "call_id": first, "confidence": "high", "reason": "linked by hand",
        }])
    );

    let removed = format!("{target}/{first}");
    let answer = send(gateway, "DELETE", &removed, "", None).await;
    assert_eq!((answer.status, links().await), (204, json!([])));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_explains_itself_from_stored_facts() {
    let (service, _data) = service().await;
    let id = report(&service, "incoming", 201, CUSTOMER).await;
    report(&service, "answered", 201, CUSTOMER).await;
    report(&service, "hangup", 201, CUSTOMER).await;
    let target = format!("/api/v1/calls/{id}/explanation");

    let explanation = service
        .eventually("the explanation", async |service| {
            let (status, body) = http::get(service.gateway, &target).await;
            let explanation: Value = serde_json::from_str(&body).unwrap_or_default();
            let facts = explanation["facts"].as_array().map_or(0, Vec::len);
            if status == 200 && facts == 3 {
                Ok(explanation)
            } else {
                Err(body)
            }
        })
        .await;

    let rules: Vec<&str> = explanation["facts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fact| fact["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["began", "answered_first", "ended"]);
    assert!(
        explanation["conclusions"][0]
            .as_str()
            .unwrap()
            .starts_with("Answered by 201"),
        "{explanation}"
    );
    let (unknown, _) = http::get(service.gateway, "/api/v1/calls/x/explanation").await;
    assert_eq!(unknown, 404);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_served_whole_with_a_strict_policy() {
    let (service, _data) = service().await;
    let gateway = service.gateway;

    for path in ["/", "/live", "/missed", "/calls/x", "/sign-in"] {
        let page = send(gateway, "GET", path, "", None).await;
        assert_eq!(page.status, 200, "{path}");
        let policy = page
            .head
            .lines()
            .find(|line| line.starts_with("content-security-policy"))
            .expect("a policy");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    let (_, page) = http::get(gateway, "/").await;
    let linked: Vec<&str> = page
        .split("/page/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(linked.len() >= 4, "{linked:?}");
    for name in linked {
        let (status, _) = http::get(gateway, &format!("/page/{name}")).await;
        assert_eq!(status, 200, "{name}");
    }
    assert!(!page.contains("<script>") && !page.contains(" style="));

    let script = send(gateway, "GET", "/page/app.js", "", None).await;
    let tag = script
        .head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let known = format!("If-None-Match: {tag}\r\n");
    assert_eq!(
        send(gateway, "GET", "/page/app.js", &known, None)
            .await
            .status,
        304
    );
    assert_eq!(
        send(gateway, "GET", "/page/../api.rs", "", None)
            .await
            .status,
        404
    );
    service.stop().await;
}
