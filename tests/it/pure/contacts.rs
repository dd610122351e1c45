//! Callers beyond their numbers: contacts, notes, and another program that knows callers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::accounts::printed;
use crate::support::http::{self, send};
use crate::support::service::{Events, Service, command, output};

const CUSTOMER: &str = "03023125418";
const FILE: &str = "number;name;company;url\n\
                    +49 30 23125418;Ada Vogel;Vogel AG, 030 5556667;https://crm.example.com/7\n";

async fn service(settings: &str) -> (Service, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("settings.toml");
    let settings = format!("[policy]\nregion = \"DE\"\n{settings}");
    std::fs::write(&file, settings).unwrap();
    let arguments = ["serve", "--config", file.to_str().unwrap()];
    let service = Service::begin(command(data.path(), &arguments, &[])).await;
    service.wait_until_ready().await;

    (service, data)
}

/// A call that rings at 201; returns its id.
async fn ring(service: &Service, remote: &str) -> String {
    let target = format!("/gs/cti/incoming?mac=000b82000201&local=201&remote={remote}");

    service.send(&target).await.expect("an accepted event")
}

async fn import(gateway: SocketAddr, query: &str, headers: &str, text: &str) -> (u16, String) {
    let request = format!(
        "POST /api/v1/contacts{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         {headers}Content-Type: text/csv\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );

    http::exchange(gateway, request.as_bytes()).await.unwrap()
}

async fn caller(gateway: SocketAddr, id: &str, headers: &str) -> Value {
    let target = format!("/api/v1/calls/{id}/caller");
    let answer = send(gateway, "GET", &target, headers, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);

    answer.body
}

async fn set_note(gateway: SocketAddr, id: &str, headers: &str, text: &str) -> u16 {
    let target = format!("/api/v1/calls/{id}/caller/note");
    let note = json!({ "note": text });

    send(gateway, "PUT", &target, headers, Some(&note))
        .await
        .status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_popup_shows_contacts_the_note_and_the_page_of_the_caller() {
    let settings = "[contacts]\npage_url = \"https://crm.example.com/?p={number}\"\n";
    let (service, _data) = service(settings).await;
    let gateway = service.gateway;
    assert_eq!(import(gateway, "", "", FILE).await.0, 200);
    let stream = "/api/v1/stream/popups?extension=201";
    let (mut hina, hello) = Events::open_at(gateway, stream, "").await;
    assert_eq!(hello["page_opens"], "click");

    let known = ring(&service, CUSTOMER).await;
    let (_, popup) = hina.until("popup").await;
    let ada = json!({
        "name": "Ada Vogel", "company": "Vogel AG, 030 5556667", "url": "https://crm.example.com/7",
    });
    assert_eq!(popup["contacts"], json!([ada]));
    assert_eq!(popup["caller_name"], "Ada Vogel");
    assert_eq!(popup["url"], "https://crm.example.com/7");
    assert_eq!(popup["note"], Value::Null);

    // Behind an exchange one of several people calls: the page is that of the number.
    let second = "number,name\n004930-23125418,Bea Vogel\n";
    assert_eq!(import(gateway, "", "", second).await.0, 200);
    assert_eq!(set_note(gateway, &known, "", "Asks for Omar.").await, 200);
    let of_call = caller(gateway, &known, "").await;
    assert_eq!(of_call["contacts"][1]["name"], "Bea Vogel");
    assert_eq!(of_call["caller_name"], Value::Null);
    assert_eq!(of_call["url"], "https://crm.example.com/?p=%2B493023125418");
    let (_, hello) = Events::open_at(gateway, stream, "").await;
    assert_eq!(hello["popups"][0]["note"]["text"], "Asks for Omar.");
    let answered = format!("/gs/cti/answered?mac=000b82000201&local=201&remote={CUSTOMER}");
    service.send(&answered).await.expect("an accepted event");
    let mut popup = hina.until("popup").await.1;
    while popup["kind"] != "talk" {
        popup = hina.until("popup").await.1;
    }
    assert_eq!(
        popup["note"]["text"], "Asks for Omar.",
        "it was written since"
    );

    let names = service
        .ask(&format!("/api/v1/caller-names?calls=x,{known}"))
        .await;
    let expected = json!({ "names": {} });
    assert_eq!(
        names, expected,
        "it may be one of two people without a company"
    );
    let company = "number,name,company\n03023125418,Bea Vogel,\"Vogel AG, 030 5556667\"\n";
    assert_eq!(import(gateway, "", "", company).await.0, 200);
    let others = vec![uuid::Uuid::nil().to_string(); 199].join(",");
    let names = service
        .ask(&format!("/api/v1/caller-names?calls={others},{known}"))
        .await;
    assert_eq!(names["names"][&known], "Vogel AG, 030 5556667");

    // A name finds the calls of its numbers.
    for (text, calls) in [("bea%20v", 1), ("VOGEL%20AG", 1), ("cem", 0)] {
        let found = service.ask(&format!("/api/v1/calls?text={text}")).await;
        let found = found["calls"].as_array().map(Vec::len);
        assert_eq!(found, Some(calls), "{text}");
    }

    assert_eq!(set_note(gateway, &known, "", " ").await, 200);
    assert_eq!(caller(gateway, &known, "").await["note"], Value::Null);
    let hidden = ring(&service, "anonymous").await;
    service
        .eventually("the call without a number", async |service| {
            let target = format!("/api/v1/calls/{hidden}/caller/note");
            let (status, body) = service.call("PUT", &target, &json!({ "note": "x" })).await;
            (status == 409).then_some(()).ok_or(body.to_string())
        })
        .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_imported_listed_replaced_and_removed() {
    let (service, _data) = service("").await;
    let gateway = service.gateway;
    for (wrong, reason) in [
        ("", "columns"),
        ("number\n1\n", "columns"),
        ("number,name\nanonymous,Ada\n", "line 2"),
        ("number,name\n030111111,Ada\n030111112,\n", "line 3"),
        (
            "number,name,url\n030111111,Ada,javascript:alert(1)\n",
            "url",
        ),
        ("number,name,site\n030111111,Ada,\u{202e}\n", "site"),
    ] {
        let (status, body) = import(gateway, "", "", wrong).await;
        assert_eq!(status, 400, "{wrong}: {body}");
        assert!(body.contains(reason), "{wrong}: {body}");
    }
    let list = async |query: &str| {
        let answer = service.ask(&format!("/api/v1/contacts{query}")).await;
        let names = answer["contacts"].as_array().unwrap().iter();
        let names: Vec<String> = names
            .map(|contact| contact["name"].as_str().unwrap().to_owned())
            .collect();
        names.join(", ")
    };
    assert_eq!(list("").await, "", "a bad file changes nothing");

    let several = "number,name,company\n030111111,Ada,Vogel\n030111112,\"'=Bea\",Falke\n";
    assert_eq!(import(gateway, "", "", several).await.0, 200);
    assert_eq!(list("").await, "=Bea, Ada");
    assert_eq!(list("?text=vogel").await, "Ada");
    let (_, csv) = http::get(gateway, "/api/v1/contacts?format=csv").await;
    assert!(csv.contains("default,'+4930111112,'=Bea,Falke,"), "{csv}");
    let copy = csv
        .split_once("\r\n\r\n")
        .map_or(csv.as_str(), |(_, body)| body);
    assert_eq!(import(gateway, "", "", copy).await.0, 200);
    assert_eq!(list("").await, "=Bea, Ada", "an export can be imported");

    let all = "number,name\n030111113,Cem\n";
    let (status, body) = import(gateway, "?replace=true", "", all).await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""removed":2"#), "{body}");
    let target = "/api/v1/contacts/030111113";
    assert_eq!(service.call("DELETE", target, &json!(null)).await.0, 200);
    assert_eq!(service.call("DELETE", target, &json!(null)).await.0, 404);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sees_masked_numbers_sees_none_beside_the_caller_either() {
    let (service, data) = service("").await;
    let gateway = service.gateway;
    assert_eq!(import(gateway, "", "", FILE).await.0, 200);
    let id = ring(&service, CUSTOMER).await;
    service
        .eventually("the call", async |service| {
            let target = format!("/api/v1/calls/{id}/caller/note");
            let note = json!({ "note": "Or 030 555 666 77" });
            let (status, body) = service.call("PUT", &target, &note).await;
            (status == 200).then_some(()).ok_or(body.to_string())
        })
        .await;
    let token = async |name: &str, role: &str| {
        let arguments = ["token", "create", name, "--role", role];
        let token = printed(data.path(), &arguments).await;
        format!("Authorization: Bearer {token}\r\n")
    };
    let supervisor = token("supervisor", "supervisor").await;
    let agent = token("agent", "agent").await;
    let admin = token("admin", "admin").await;

    let full = caller(gateway, &id, &supervisor).await;
    assert_eq!(full["url"], "https://crm.example.com/7");
    assert_eq!(full["note"]["text"], "Or 030 555 666 77");
    let masked = caller(gateway, &id, &agent).await;
    assert_eq!(masked["contacts"][0]["name"], "Ada Vogel");
    assert_eq!(masked["caller_name"], "Ada Vogel");
    assert_eq!(masked["url"], Value::Null);
    assert_eq!(masked["contacts"][0]["url"], Value::Null);
    assert!(!masked.to_string().contains("555"), "{masked}");

    // The masked text would take the place of the number.
    assert_eq!(set_note(gateway, &id, &agent, "Or later").await, 403);
    assert_eq!(set_note(gateway, &id, &supervisor, "Later").await, 200);
    assert_eq!(set_note(gateway, &id, &agent, "Much later").await, 200);

    for headers in [&supervisor, &agent] {
        let answer = send(gateway, "GET", "/api/v1/contacts", headers, None).await;
        assert_eq!(answer.status, 403);
        assert_eq!(import(gateway, "", headers, FILE).await.0, 403);
    }
    let list = send(gateway, "GET", "/api/v1/contacts", &admin, None).await;
    for hidden in ["23125", "555", "crm.example.com"] {
        assert!(!list.body.to_string().contains(hidden), "{}", list.body);
    }
    let search = "/api/v1/contacts?text=23125";
    let search = send(gateway, "GET", search, &admin, None).await;
    assert_eq!(search.status, 403);
    service.stop().await;
}

/// Another program that knows one number, and counts its requests.
async fn crm() -> (SocketAddr, Arc<AtomicUsize>) {
    async fn answer(
        State(requests): State<Arc<AtomicUsize>>,
        Path(number): Path<String>,
        headers: HeaderMap,
    ) -> Response {
        requests.fetch_add(1, Ordering::Relaxed);
        match (&*number, headers.get("authorization")) {
            ("+493023125418", Some(token)) if token == "Bearer of-the-crm" => {
                Json(json!({ "contacts": [{ "name": "Ada Vogel", "id": 7 }] })).into_response()
            }
            ("+493023125418", _) => StatusCode::UNAUTHORIZED.into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    let requests = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/{number}", get(answer))
        .with_state(Arc::clone(&requests));
    tokio::spawn(async move { axum::serve(listener, router).await });

    (address, requests)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_a_contact_is_looked_up_in_another_program() {
    let (crm, requests) = crm().await;
    let settings = format!(
        "[gateway]\nwebhook_networks = [\"127.0.0.1/32\"]\n\
         [contacts]\nlookup_url = \"http://{crm}/{{number}}\"\nlookup_token = \"of-the-crm\"\n"
    );
    let (service, _data) = service(&settings).await;
    let gateway = service.gateway;
    let stream = "/api/v1/stream/popups?extension=201";
    let (mut first, _) = Events::open_at(gateway, stream, "").await;
    let (mut second, _) = Events::open_at(gateway, stream, "").await;

    let id = ring(&service, CUSTOMER).await;
    for window in [&mut first, &mut second] {
        let mut popup = window.until("popup").await.1;
        while popup["contacts"] == json!([]) {
            popup = window.until("popup").await.1;
        }
        assert_eq!(popup["contacts"][0]["name"], "Ada Vogel");
        assert_eq!(popup["kind"], "ring");
    }
    assert_eq!(
        caller(gateway, &id, "").await["contacts"][0]["name"],
        "Ada Vogel"
    );
    assert_eq!(requests.load(Ordering::Relaxed), 1, "one request for all");
    service.stop().await;
}

#[tokio::test]
async fn an_address_to_which_no_look_up_may_go_is_named_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("CONTACTS__LOOKUP_URL", "http://127.0.0.1:9/{number}")];
    let output = output(command(data.path(), &["serve"], &settings)).await;

    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{error}");
    assert!(error.contains("contacts.lookup_url"), "{error}");
}
