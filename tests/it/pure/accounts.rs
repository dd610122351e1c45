//! Accounts: who gets in, what each role sees, and that no role sees another site.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http::{Answer, send};
use crate::support::service::{Service, command, output, run, upgrade_status};

pub(super) const PASSWORD: &str = "correct horse battery";
const CUSTOMER: &str = "03023125418";

/// A command of the service, which must succeed. Returns the first line that it prints.
pub(super) async fn printed(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");

    text.lines().next().unwrap_or_default().to_owned()
}

pub(super) async fn token(data: &Path, name: &str, options: &[&str]) -> String {
    let mut arguments = vec!["token", "create", name];
    arguments.extend(options);

    format!(
        "Authorization: Bearer {}\r\n",
        printed(data, &arguments).await
    )
}

/// Signs in, and returns the cookie as a header.
pub(super) async fn signed_in(gateway: SocketAddr, body: &Value) -> (String, Value) {
    let answer = send(gateway, "POST", "/api/v1/session", "", Some(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cookie = answer
        .head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .expect("a session has a cookie");
    for attribute in ["__Host-", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();

    (format!("Cookie: {pair}\r\n"), answer.body)
}

pub(super) async fn get(gateway: SocketAddr, target: &str, headers: &str) -> Answer {
    send(gateway, "GET", target, headers, None).await
}

pub(super) async fn started() -> (Service, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;

    (service, data)
}

/// Waits until the running service has noticed the first account.
async fn until_closed(service: &Service) {
    service
        .eventually("the API to close", async |service| {
            match get(service.gateway, "/api/v1/calls", "").await.status {
                401 => Ok(()),
                status => Err(status.to_string()),
            }
        })
        .await;
}

/// The secret of the link that a command prints.
pub(super) fn secret_of(link: &str) -> &str {
    link.split_once("#link=").expect("a link").1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_account_closes_the_api_and_signs_in_by_its_link() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let open = get(gateway, "/api/v1/me", "").await;
    assert_eq!((open.status, &open.body["role"]), (200, &json!("admin")));
    assert_eq!(open.body["signed_in"], false);

    let link = printed(
        data.path(),
        &[
            "user",
            "add",
            "katrin",
            "--role",
            "admin",
            "--extension",
            "209",
        ],
    )
    .await;
    until_closed(&service).await;

    // One link, two browsers at once: one gets in.
    let body = json!({ "link": secret_of(&link) });
    let (one, other) = tokio::join!(
        send(gateway, "POST", "/api/v1/session", "", Some(&body)),
        send(gateway, "POST", "/api/v1/session", "", Some(&body)),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);

    let again = printed(data.path(), &["user", "link", "katrin"]).await;
    let (cookie, me) = signed_in(gateway, &json!({ "link": secret_of(&again) })).await;
    assert_eq!(me["needs_password"], true);
    let me = get(gateway, "/api/v1/me", &cookie).await.body;
    assert_eq!(me["name"], "katrin");
    assert_eq!(me["extension"], "209");

    let weak = json!({ "password": "short" });
    let weak = send(gateway, "POST", "/api/v1/me/password", &cookie, Some(&weak)).await;
    assert_eq!(
        (weak.status, &weak.body["code"]),
        (400, &json!("weak_password"))
    );
    let password = json!({ "password": PASSWORD });
    let set = send(
        gateway,
        "POST",
        "/api/v1/me/password",
        &cookie,
        Some(&password),
    )
    .await;
    assert_eq!(set.status, 204);

    let credentials = json!({ "name": "katrin", "password": PASSWORD });
    let (second, me) = signed_in(gateway, &credentials).await;
    assert_eq!(me["needs_password"], false);
    let out = send(gateway, "DELETE", "/api/v1/session", &second, None).await;
    assert_eq!(out.status, 204);
    assert_eq!(get(gateway, "/api/v1/me", &second).await.status, 401);
    assert_eq!(get(gateway, "/api/v1/me", &cookie).await.status, 200);

    printed(data.path(), &["user", "disable", "katrin"]).await;
    assert_eq!(get(gateway, "/api/v1/me", &cookie).await.status, 401);
    let refused = send(gateway, "POST", "/api/v1/session", "", Some(&credentials)).await;
    assert_eq!(refused.status, 401);
    service.stop().await;
}

/// A service with one call at the site `lahore`, and tokens of all kinds.
struct Tokens {
    service: Service,
    data: TempDir,
    call: String,
    admin: String,
    program: String,
    wall: String,
    foreign: String,
    both: String,
}

async fn tokens() -> Tokens {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("settings.toml");
    std::fs::write(
        &file,
        "[ingress.sites.lahore]\nnetworks = [\"127.0.0.1/32\"]\n\
         [policy.site.lahore]\nregion = \"DE\"\n",
    )
    .unwrap();
    let arguments = ["serve", "--config", file.to_str().unwrap()];
    let service = Service::begin(command(data.path(), &arguments, &[])).await;
    service.wait_until_ready().await;

    let target = format!("/gs/cti/incoming?mac=000b82000001&local=201&remote={CUSTOMER}");
    let call = service.send(&target).await.unwrap();
    service
        .eventually("the call", async |service| {
            let calls = service.ask("/api/v1/calls?site=lahore").await;
            let count = calls["calls"].as_array().map_or(0, Vec::len);
            (count == 1).then_some(()).ok_or(calls.to_string())
        })
        .await;

    let folder = data.path();
    let supervisor = ["--role", "supervisor", "--site", "berlin"];
    let both = [&supervisor[..], &["--site", "lahore"]].concat();
    let tokens = Tokens {
        admin: token(folder, "admin", &["--role", "admin"]).await,
        program: token(folder, "program", &["--site", "lahore"]).await,
        wall: token(folder, "wall", &["--role", "wallboard", "--site", "lahore"]).await,
        foreign: token(folder, "foreign", &supervisor).await,
        both: token(folder, "both", &both).await,
        service,
        data,
        call,
    };
    until_closed(&tokens.service).await;

    tokens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_obeys_role_and_site() {
    let Tokens {
        service,
        data: _data,
        admin,
        program,
        wall,
        foreign,
        both,
        ..
    } = tokens().await;
    let gateway = service.gateway;

    for path in [
        "/api/v1/calls",
        "/api/v1/calls/live",
        "/api/v1/missed",
        "/api/v1/stats",
        "/api/v1/devices",
        "/api/v1/extensions",
        "/api/v1/people",
        "/api/v1/helplines",
    ] {
        let of_site = format!("{path}?site=lahore");
        for (headers, expected) in [
            ("", 401),
            ("Authorization: Bearer cb_wrong\r\n", 401),
            (&admin, 200),
            (&program, 200),
            (&wall, 200),
            (&foreign, 403),
            (&both, 200),
        ] {
            let answer = get(gateway, &of_site, headers).await;
            assert_eq!(answer.status, expected, "{of_site} {headers}");
            if expected != 200 {
                assert_eq!(answer.body["status"], expected, "{of_site}");
            }
        }
        // Without a site: the only one, or it must be named.
        assert_eq!(get(gateway, path, &program).await.status, 200, "{path}");
        assert_eq!(get(gateway, path, &foreign).await.status, 200, "{path}");
        assert_eq!(get(gateway, path, &both).await.status, 400, "{path}");
    }

    let of_foreign = get(gateway, "/api/v1/calls", &foreign).await.body;
    assert_eq!(of_foreign["calls"], json!([]));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_seen_by_its_site_and_its_numbers_by_their_roles() {
    let Tokens {
        service,
        data,
        call,
        admin,
        program,
        wall,
        foreign,
        both,
    } = tokens().await;
    let gateway = service.gateway;
    let target = format!("/api/v1/calls/{call}");

    for (headers, status, number) in [
        (&program, 200, CUSTOMER),
        (&both, 200, CUSTOMER),
        (&wall, 200, "+49••••••••18"),
        (&admin, 200, "+49••••••••18"),
        (&foreign, 404, ""),
    ] {
        let answer = get(gateway, &target, headers).await;
        assert_eq!(answer.status, status, "{headers}");
        let explanation = get(gateway, &format!("{target}/explanation"), headers).await;
        assert_eq!(explanation.status, status, "{headers}");
        if status == 200 {
            assert_eq!(answer.body["from"]["number"], number, "{headers}");
            let live = get(gateway, "/api/v1/calls/live?site=lahore", headers).await;
            assert_eq!(live.body["calls"][0]["from"]["number"], number, "{headers}");
        }
    }

    // Rights that a role does not have. States are looked up by ids that name no site.
    for (headers, states, export, directory) in [
        // An admin asks for numbers first.
        (&admin, 403, 200, 200),
        (&program, 403, 200, 403),
        (&wall, 403, 403, 403),
        (&both, 403, 200, 403),
    ] {
        for (target, status) in [
            ("/api/v1/call-states", states),
            ("/api/v1/calls?site=lahore&format=csv", export),
            ("/api/v1/directory?site=lahore", directory),
        ] {
            let answer = get(gateway, target, headers).await;
            assert_eq!(answer.status, status, "{target} {headers}");
        }
    }
    let done = json!({ "call_ids": [call], "status": "done" });
    for (headers, status) in [(&wall, 403), (&foreign, 404)] {
        let answer = send(gateway, "POST", "/api/v1/missed", headers, Some(&done)).await;
        assert_eq!(answer.status, status, "{headers}");
    }

    printed(data.path(), &["token", "revoke", "program"]).await;
    assert_eq!(get(gateway, "/api/v1/calls", &program).await.status, 401);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_needs_a_ticket_or_a_token_and_a_ticket_works_once() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let link = printed(data.path(), &["user", "add", "hina"]).await;
    let bearer = token(data.path(), "program", &[]).await;
    until_closed(&service).await;
    let (cookie, _) = signed_in(gateway, &json!({ "link": secret_of(&link) })).await;

    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let status = async |target: &str, headers: &str| {
        crate::support::service::upgrade_status(gateway, target, &format!("{upgrade}{headers}"))
            .await
    };
    assert_eq!(status("/ws", "").await, 401);
    assert_eq!(status("/ws", &cookie).await, 401);
    assert_eq!(status("/ws/popups", "").await, 401);
    assert_eq!(status("/ws/popups", &cookie).await, 401);
    assert_eq!(status("/ws?ticket=cbw_wrong", &cookie).await, 401);
    assert_eq!(status("/ws", &bearer).await, 101);

    let ticket = async || {
        let ticket = send(gateway, "POST", "/api/v1/ticket", &cookie, None).await;
        assert_eq!(ticket.status, 201);
        format!("/ws?ticket={}", ticket.body["ticket"].as_str().unwrap())
    };
    let target = ticket().await;
    assert_eq!(status(&target, "").await, 101);
    assert_eq!(status(&target, "").await, 401);

    for (agent, expected) in [("hina", 101), ("katrin", 403)] {
        let target = format!("{}&agent={agent}", ticket().await);
        assert_eq!(status(&target, "").await, expected, "{agent}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_machines_read_nothing_before_an_account_exists() {
    let data = tempfile::tempdir().unwrap();
    let everywhere = [("GATEWAY__LISTEN", "0.0.0.0:0")];

    let refused = output(command(data.path(), &["serve"], &everywhere)).await;
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{error}");
    assert!(error.contains("cordboard user add"), "{error}");

    printed(data.path(), &["user", "add", "katrin", "--role", "admin"]).await;
    let service = Service::begin(command(data.path(), &["serve"], &everywhere)).await;
    service.wait_until_ready().await;
    let gateway = SocketAddr::from(([127, 0, 0, 1], service.gateway.port()));
    assert_eq!(get(gateway, "/api/v1/calls", "").await.status, 401);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_sets_up_accounts_and_tokens_of_the_own_sites() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let admin = token(data.path(), "root", &["--role", "admin"]).await;
    let local = token(
        data.path(),
        "local",
        &["--role", "admin", "--site", "berlin"],
    )
    .await;
    let ask = async |method: &str, path: &str, who: &str, body: Option<Value>| {
        let target = format!("/api/v1/{path}");
        let answer = send(gateway, method, &target, who, body.as_ref()).await;
        (answer.status, answer.body)
    };

    let new = json!({ "name": "katrin", "role": "admin", "display_name": "Katrin Vogel" });
    let (status, added) = ask("POST", "users", &admin, Some(new.clone())).await;
    assert_eq!(status, 201, "{added}");
    assert_eq!(ask("POST", "users", &admin, Some(new)).await.0, 409);
    let link = added["link"].as_str().unwrap();
    let secret = link.strip_prefix("/sign-in#link=").unwrap();
    let (cookie, _) = signed_in(gateway, &json!({ "link": secret })).await;

    // An admin does not lock himself out, and an admin of one site sees no account of all sites.
    let disabled = json!({ "disabled": true });
    let own = ask("PATCH", "users/katrin", &cookie, Some(disabled.clone())).await;
    assert_eq!((own.0, &own.1["code"]), (409, &json!("own_account")));
    assert_eq!(
        ask("GET", "users", &local, None).await.1["users"],
        json!([])
    );
    assert_eq!(ask("DELETE", "users/katrin", &local, None).await.0, 404);
    assert_eq!(ask("GET", "audit", &local, None).await.0, 403);
    let everywhere = json!({ "name": "omar", "role": "agent", "sites": ["lahore"] });
    assert_eq!(ask("POST", "users", &local, Some(everywhere)).await.0, 400);
    let here = json!({ "name": "omar", "role": "agent", "extension": "202" });
    let (status, omar) = ask("POST", "users", &local, Some(here)).await;
    assert_eq!((status, &omar["sites"]), (201, &json!(["berlin"])));

    let changed = json!({ "role": "supervisor", "extension": "" });
    let (_, omar) = ask("PATCH", "users/omar", &local, Some(changed)).await;
    assert_eq!(
        (&omar["role"], &omar["extension"]),
        (&json!("supervisor"), &json!(null))
    );
    assert_eq!(ask("POST", "users/omar/link", &local, None).await.0, 201);
    assert_eq!(
        ask("PATCH", "users/katrin", &admin, Some(disabled)).await.0,
        200
    );
    assert_eq!(
        get(gateway, "/api/v1/me", &cookie).await.status,
        401,
        "its session is over"
    );
    assert_eq!(ask("DELETE", "users/omar", &local, None).await.0, 200);

    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_makes_and_revokes_tokens_and_reads_the_audit_log() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let admin = token(data.path(), "root", &["--role", "admin"]).await;
    let local = token(
        data.path(),
        "local",
        &["--role", "admin", "--site", "berlin"],
    )
    .await;
    let agent = token(data.path(), "agent", &["--role", "agent"]).await;
    let ask = async |method: &str, path: &str, who: &str, body: Option<Value>| {
        let target = format!("/api/v1/{path}");
        let answer = send(gateway, method, &target, who, body.as_ref()).await;
        (answer.status, answer.body)
    };

    let new = json!({ "name": "crm", "role": "integrator", "sites": ["berlin"] });
    let (status, created) = ask("POST", "tokens", &admin, Some(new.clone())).await;
    assert_eq!(status, 201);
    assert_eq!(ask("POST", "tokens", &admin, Some(new)).await.0, 409);
    let crm = format!(
        "Authorization: Bearer {}\r\n",
        created["token"].as_str().unwrap()
    );
    assert_eq!(get(gateway, "/api/v1/calls", &crm).await.status, 200);
    assert_eq!(ask("DELETE", "tokens/root", &local, None).await.0, 404);
    assert_eq!(ask("DELETE", "tokens/crm", &local, None).await.0, 200);
    assert_eq!(get(gateway, "/api/v1/calls", &crm).await.status, 401);
    let (_, list) = ask("GET", "tokens", &admin, None).await;
    assert!(!list.to_string().contains("cb_"), "tokens are shown once");

    let (_, log) = ask("GET", "audit?limit=200", &admin, None).await;
    for action in ["token_created", "token_revoked"] {
        assert!(log.to_string().contains(action), "{action}: {log}");
    }
    for path in ["users", "tokens", "audit"] {
        assert_eq!(ask("GET", path, &agent, None).await.0, 403, "{path}");
    }
    for (path, wrong) in [
        ("users", json!({ "name": "a b", "role": "agent" })),
        ("users", json!({ "name": "ab", "role": "king" })),
        ("tokens", json!({ "name": "", "role": "agent" })),
    ] {
        assert_eq!(
            ask("POST", path, &admin, Some(wrong.clone())).await.0,
            400,
            "{wrong}"
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masked_numbers_are_not_read_in_another_way() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let wall = token(data.path(), "wall", &["--role", "wallboard"]).await;
    let admin = token(data.path(), "root", &["--role", "admin"]).await;
    let id = service
        .send(&format!(
            "/gs/cti/incoming?mac=000b82000201&local=201&remote={CUSTOMER}"
        ))
        .await
        .unwrap();
    service
        .eventually("the call", async |service| {
            let answer = get(service.gateway, &format!("/api/v1/calls/{id}"), &wall).await;
            let is_there = answer.status == 200;
            is_there.then_some(()).ok_or(answer.body.to_string())
        })
        .await;

    // The site has no region: the number has no international form.
    let explanation = format!("/api/v1/calls/{id}/explanation");
    let answer = get(gateway, &explanation, &wall).await;
    assert!(
        !answer.body.to_string().contains(CUSTOMER),
        "{}",
        answer.body
    );
    for query in ["text=030", "number=03023125418", "call_ref=03023125418"] {
        let answer = get(gateway, &format!("/api/v1/calls?{query}"), &wall).await;
        assert_eq!(answer.status, 403, "{query}");
    }
    for path in ["call-states".to_owned(), format!("call-states/{id}")] {
        let answer = get(gateway, &format!("/api/v1/{path}"), &admin).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    let receiver = json!({ "url": "https://crm.example.com/" });
    let answer = send(gateway, "POST", "/api/v1/webhooks", &admin, Some(&receiver)).await;
    assert_eq!(answer.status, 403);
    service.stop().await;
}

/// The extension of an agent at another site is another phone, on the desk too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_sees_the_missed_callers_of_the_own_phone_only() {
    let Tokens { service, data, .. } = tokens().await;
    let gateway = service.gateway;
    let target = format!("/gs/cti/missed?mac=000b82000001&local=201&remote={CUSTOMER}");
    service.send(&target).await.unwrap();

    for (name, options, number) in [
        ("own", &["--site", "lahore"][..], CUSTOMER),
        ("elsewhere", &[], "+49••••••••18"),
        (
            "two",
            &["--site", "lahore", "--site", "berlin"],
            "+49••••••••18",
        ),
    ] {
        let account = ["user", "add", name, "--role", "agent", "--extension", "201"];
        let link = printed(data.path(), &[&account[..], options].concat()).await;
        let (cookie, _) = signed_in(gateway, &json!({ "link": secret_of(&link) })).await;

        service
            .eventually("the missed call as the agent sees it", async |_| {
                let desk = get(gateway, "/api/v1/missed?site=lahore", &cookie).await;
                let from = &desk.body["missed"][0]["from"]["number"];
                (from == number).then_some(()).ok_or(desk.body.to_string())
            })
            .await;
        let pause = json!({ "state": "available" });
        let target = "/api/v1/me/state?site=lahore";
        let paused = send(gateway, "PUT", target, &cookie, Some(&pause)).await;
        let expected = if name == "own" { 200 } else { 403 };
        assert_eq!(paused.status, expected, "{name}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_ends_with_the_session_that_asked_for_it() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let text = printed(data.path(), &["user", "add", "katrin"]).await;
    let secret = text.split("#link=").nth(1).unwrap().to_owned();
    let (cookie, _) = signed_in(gateway, &json!({ "link": secret })).await;
    let ticket = async || {
        let answer = send(gateway, "POST", "/api/v1/ticket", &cookie, None).await;
        format!("/ws?ticket={}", answer.body["ticket"].as_str().unwrap())
    };
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    let (used, unused) = (ticket().await, ticket().await);
    assert_eq!(upgrade_status(gateway, &used, upgrade).await, 101);
    assert_eq!(
        send(gateway, "DELETE", "/api/v1/session", &cookie, None)
            .await
            .status,
        204
    );
    assert_eq!(upgrade_status(gateway, &unused, upgrade).await, 401);
    service.stop().await;
}
