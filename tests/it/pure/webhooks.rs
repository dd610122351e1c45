//! Webhooks: deliveries reach their receiver, signed and once they can; nothing is sent where the
//! settings do not permit it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::http::send;
use crate::support::service::{Service, command, run};
use crate::support::sqlite;
use crate::support::wait::{PATIENCE, within};

const CUSTOMERS: [&str; 3] = ["03023125418", "03023125419", "03023125420"];

/// One request, as the receiver got it.
struct Received {
    headers: HeaderMap,
    body: String,
}

/// A receiver on this machine, with the status that it answers.
struct Receiver {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    requests: mpsc::UnboundedReceiver<Received>,
}

type Shared = (Arc<AtomicU16>, mpsc::UnboundedSender<Received>);

impl Receiver {
    async fn start() -> Receiver {
        let status = Arc::new(AtomicU16::new(204));
        let (sender, requests) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/crm", post(receive))
            .with_state((Arc::clone(&status), sender));
        tokio::spawn(async move { axum::serve(listener, router).await });

        Receiver {
            address,
            status,
            requests,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/crm", self.address)
    }

    async fn next(&mut self) -> Received {
        within(PATIENCE, "a request of a webhook", self.requests.recv())
            .await
            .unwrap()
    }
}

async fn receive(
    State((status, sender)): State<Shared>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    // The test changes the status as soon as it has the request.
    let status = StatusCode::from_u16(status.load(Ordering::Relaxed)).unwrap();
    // The test may be over.
    let _ = sender.send(Received { headers, body });

    status
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Whether one of the signatures is that of a secret.
    fn is_signed_with(&self, secret: &str) -> bool {
        let key = BASE64
            .decode(secret.strip_prefix("whsec_").unwrap().as_bytes())
            .unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let signed = format!(
            "{}.{}.{}",
            self.header("webhook-id"),
            self.header("webhook-timestamp"),
            self.body
        );
        mac.update(signed.as_bytes());
        let expected = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));

        self.header("webhook-signature")
            .split(' ')
            .any(|signature| signature == expected)
    }

    fn document(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn service(networks: &str) -> (Service, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("settings.toml");
    let settings = format!("[policy]\nregion = \"DE\"\n[gateway]\nwebhook_networks = {networks}\n");
    std::fs::write(&file, settings).unwrap();

    (serve(data.path()).await, data)
}

/// The service of a folder with settings.
async fn serve(data: &Path) -> Service {
    let file = data.join("settings.toml");
    let arguments = ["serve", "--config", file.to_str().unwrap()];
    let service = Service::begin(command(data, &arguments, &[])).await;
    service.wait_until_ready().await;

    service
}

async fn ask(
    gateway: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let target = format!("/api/v1/webhooks{target}");
    let answer = send(gateway, method, &target, headers, body.as_ref()).await;

    (answer.status, answer.body)
}

/// A call that no phone answers.
async fn missed_call(service: &Service, customer: &str) {
    for event in ["incoming", "missed"] {
        let target = format!("/gs/cti/{event}?mac=000b82000201&local=201&remote={customer}");
        service.send(&target).await.expect("an accepted event");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_call_reaches_its_receiver_signed_and_after_a_failure() {
    let (service, _data) = service("[\"127.0.0.0/8\"]").await;
    let mut receiver = Receiver::start().await;
    let gateway = service.gateway;
    let new = json!({ "url": receiver.url(), "events": ["call.missed"] });
    let (status, webhook) = ask(gateway, "POST", "", "", Some(new)).await;
    assert_eq!(status, 201, "{webhook}");
    let id = webhook["id"].as_str().unwrap();
    let secret = webhook["secret"].as_str().unwrap();

    receiver.status.store(500, Ordering::Relaxed);
    missed_call(&service, CUSTOMERS[0]).await;
    let first = receiver.next().await;
    assert!(first.is_signed_with(secret));
    let document = first.document();
    assert_eq!(document["type"], "call.missed");
    assert_eq!(document["data"]["call"]["outcome"], "missed");

    // The secret changes meanwhile, and the old one signs too.
    receiver.status.store(204, Ordering::Relaxed);
    let (_, rotated) = ask(gateway, "POST", &format!("/{id}/secret"), "", None).await;
    let message = first.header("webhook-id");
    let repeat = format!("/{id}/deliveries/{message}/repeat");
    service
        .eventually("the failed attempt in the list", async |service| {
            let (_, list) = ask(
                service.gateway,
                "GET",
                &format!("/{id}/deliveries"),
                "",
                None,
            )
            .await;
            let delivery = &list["deliveries"][0];
            (delivery["answered"] == 500)
                .then_some(())
                .ok_or(list.to_string())
        })
        .await;
    assert_eq!(ask(gateway, "POST", &repeat, "", None).await.0, 200);
    let second = receiver.next().await;
    assert_eq!(second.header("webhook-id"), message, "the same message");
    assert!(second.is_signed_with(secret));
    assert!(second.is_signed_with(rotated["secret"].as_str().unwrap()));

    service
        .eventually("the delivery as delivered", async |service| {
            let target = format!("/{id}/deliveries?state=delivered");
            let (_, list) = ask(service.gateway, "GET", &target, "", None).await;
            let count = list["deliveries"].as_array().map_or(0, Vec::len);
            (count == 1).then_some(()).ok_or(list.to_string())
        })
        .await;
    let (_, list) = ask(gateway, "GET", "", "", None).await;
    assert!(
        !list.to_string().contains("whsec_"),
        "secrets are shown once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_waits_for_too_long_is_announced_once() {
    let (service, data) = service("[\"127.0.0.0/8\"]").await;
    let mut receiver = Receiver::start().await;
    let events = json!(["call.missed", "desk.overdue"]);
    let new = json!({ "url": receiver.url(), "events": events });
    let (status, webhook) = ask(service.gateway, "POST", "", "", Some(new)).await;
    assert_eq!(status, 201, "{webhook}");
    missed_call(&service, CUSTOMERS[0]).await;
    let missed = receiver.next().await.document();
    service.stop().await;

    // An hour passes.
    for sql in [
        "UPDATE webhooks SET created_at = created_at - 3600000000",
        "UPDATE missed_call_logs SET missed_at = missed_at - 3600000000",
    ] {
        sqlite::write(data.path(), sql).await;
    }
    let service = serve(data.path()).await;
    let overdue = receiver.next().await.document();
    let entry = &overdue["data"];
    assert_eq!(overdue["type"], "desk.overdue");
    assert_eq!(entry["call_ids"], json!([missed["data"]["call_id"]]));
    assert_eq!(entry["from"]["number"], CUSTOMERS[0]);
    assert_eq!(
        (&entry["status"], &entry["escalation_minutes"]),
        (&json!("open"), &json!(60))
    );
    service.stop().await;

    let service = serve(data.path()).await;
    missed_call(&service, CUSTOMERS[1]).await;
    assert_eq!(receiver.next().await.document()["type"], "call.missed");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_gone_or_switched_off_gets_nothing() {
    let (service, _data) = service("[\"127.0.0.0/8\"]").await;
    let mut receiver = Receiver::start().await;
    let gateway = service.gateway;
    let new = json!({ "url": receiver.url(), "events": ["call.missed"] });
    let (_, webhook) = ask(gateway, "POST", "", "", Some(new)).await;
    let target = format!("/{}", webhook["id"].as_str().unwrap());

    let test = format!("{target}/test");
    let (_, tested) = ask(gateway, "POST", &test, "", None).await;
    assert_eq!(
        (&tested["taken"], &tested["answered"]),
        (&json!(true), &json!(204))
    );
    assert_eq!(receiver.next().await.document()["type"], "webhook.test");

    receiver.status.store(410, Ordering::Relaxed);
    missed_call(&service, CUSTOMERS[0]).await;
    receiver.next().await;
    service
        .eventually("the receiver as disabled", async |service| {
            let (_, list) = ask(service.gateway, "GET", "", "", None).await;
            let is_enabled = &list["webhooks"][0]["enabled"];
            (*is_enabled == false).then_some(()).ok_or(list.to_string())
        })
        .await;

    // Calls of the meantime are not sent when it works again.
    missed_call(&service, CUSTOMERS[1]).await;
    receiver.status.store(204, Ordering::Relaxed);
    service
        .eventually("the second missed call", async |service| {
            let page = service.ask("/api/v1/calls?outcome=missed").await;
            let count = page["calls"].as_array().map_or(0, Vec::len);
            (count == 2).then_some(()).ok_or(page.to_string())
        })
        .await;
    let enabled = json!({ "enabled": true });
    assert_eq!(
        ask(gateway, "PATCH", &target, "", Some(enabled)).await.0,
        200
    );
    missed_call(&service, CUSTOMERS[2]).await;
    let document = receiver.next().await.document();
    assert_eq!(
        document["data"]["call"]["from"]["number"], CUSTOMERS[2],
        "{document}"
    );

    assert_eq!(ask(gateway, "DELETE", &target, "", None).await.0, 200);
    assert_eq!(ask(gateway, "POST", &test, "", None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_into_networks_that_are_not_listed() {
    let (service, _data) = service("[]").await;
    let gateway = service.gateway;

    for url in [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://user:password@example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "no address",
        "https:example.com",
        "https:///example.com",
        "https://example.com/\r\nX: y",
    ] {
        let (status, problem) = ask(gateway, "POST", "", "", Some(json!({ "url": url }))).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("bad_body")),
            "{url}"
        );
    }

    // A name is checked when it is resolved.
    let new = json!({ "url": "https://localhost:1/" });
    let (status, webhook) = ask(gateway, "POST", "", "", Some(new)).await;
    assert_eq!(status, 201);
    let test = format!("/{}/test", webhook["id"].as_str().unwrap());
    let (_, tested) = ask(gateway, "POST", &test, "", None).await;
    let error = tested["error"].as_str().unwrap();
    assert!(
        error.contains("no address that a request may go to"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_the_right_and_another_site_see_no_webhook() {
    let (service, data) = service("[]").await;
    let gateway = service.gateway;
    let mut headers = Vec::new();
    for (name, options) in [
        ("crm", &["--role", "integrator", "--site", "berlin"][..]),
        ("other", &["--role", "integrator", "--site", "paris"]),
        ("wall", &["--role", "supervisor"]),
    ] {
        let mut arguments = vec!["token", "create", name];
        arguments.extend(options);
        let output = run(data.path(), &arguments).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let token = text.lines().next().unwrap();
        headers.push(format!("Authorization: Bearer {token}\r\n"));
    }

    let new = json!({ "url": "https://crm.example.com/", "sites": ["paris"] });
    let (status, _) = ask(gateway, "POST", "", &headers[0], Some(new)).await;
    assert_eq!(status, 400, "a site of another account");
    let new = json!({ "url": "https://crm.example.com/" });
    let (status, webhook) = ask(gateway, "POST", "", &headers[0], Some(new.clone())).await;
    assert_eq!((status, &webhook["sites"]), (201, &json!(["berlin"])));

    let target = format!("/{}", webhook["id"].as_str().unwrap());
    let (_, list) = ask(gateway, "GET", "", &headers[1], None).await;
    assert_eq!(list["webhooks"], json!([]));
    for (method, target) in [
        ("DELETE", target.clone()),
        ("PATCH", target.clone()),
        ("POST", format!("{target}/secret")),
        ("POST", format!("{target}/test")),
        ("GET", format!("{target}/deliveries")),
    ] {
        let body = (method == "PATCH").then(|| json!({}));
        let (status, _) = ask(gateway, method, &target, &headers[1], body).await;
        assert_eq!(status, 404, "{method} {target}");
    }
    assert_eq!(ask(gateway, "GET", "", &headers[2], None).await.0, 403);
    assert_eq!(
        ask(gateway, "POST", "", &headers[2], Some(new)).await.0,
        403
    );
}
