//! Passwords cannot be guessed, and links end with the rights of their makers.

use serde_json::{Value, json};

use super::accounts::{PASSWORD, get, printed, secret_of, signed_in, started, token};
use crate::support::http::send;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_cannot_be_guessed_and_unknown_names_look_like_known_ones() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let link = printed(data.path(), &["user", "add", "omar"]).await;
    let (cookie, _) = signed_in(gateway, &json!({ "link": secret_of(&link) })).await;
    let password = json!({ "password": PASSWORD });
    send(
        gateway,
        "POST",
        "/api/v1/me/password",
        &cookie,
        Some(&password),
    )
    .await;

    let guess = |name: &str| json!({ "name": name, "password": "wrong horse battery" });
    let known = send(gateway, "POST", "/api/v1/session", "", Some(&guess("omar"))).await;
    let unknown = send(gateway, "POST", "/api/v1/session", "", Some(&guess("hina"))).await;
    assert_eq!((known.status, unknown.status), (401, 401));
    assert_eq!(known.body, unknown.body);

    for _ in 0..9 {
        send(gateway, "POST", "/api/v1/session", "", Some(&guess("omar"))).await;
    }
    let right = json!({ "name": "omar", "password": PASSWORD });
    let blocked = send(gateway, "POST", "/api/v1/session", "", Some(&right)).await;
    assert_eq!(blocked.status, 429);
    assert_eq!(get(gateway, "/api/v1/me", &cookie).await.status, 200);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_the_same_time_count_and_invented_names_are_not_kept() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    printed(data.path(), &["user", "add", "katrin"]).await;
    let attempt = async |name: &str| {
        let body = json!({ "name": name, "password": "wrong password" });
        send(gateway, "POST", "/api/v1/session", "", Some(&body)).await
    };

    let statuses = futures_util::future::join_all((0..40).map(|_| attempt("katrin"))).await;
    let statuses: Vec<u16> = statuses.iter().map(|answer| answer.status).collect();
    let checked = statuses.iter().filter(|status| **status == 401).count();
    assert!(checked <= 10, "{statuses:?}");
    assert_eq!(attempt("katrin").await.status, 429);
    assert_eq!(attempt(&"n".repeat(1_000_000)).await.status, 401);

    // The address has a limit of its own, whatever the names are.
    let mut tried = 0;
    loop {
        let refused = attempt("katrin").await;
        assert_eq!(refused.status, 429);
        if refused.body["detail"].as_str().unwrap().contains("address") {
            break;
        }
        tried += 1;
        assert!(tried <= 100, "no end");
    }
    assert!(tried >= 50, "{tried}");
    assert_eq!(attempt("omar").await.status, 429);
    service.stop().await;
}

/// Another person may know the password, or have one of the sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_ends_the_password_and_all_sessions() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let link = printed(data.path(), &["user", "add", "omar"]).await;
    let (first, _) = signed_in(gateway, &json!({ "link": secret_of(&link) })).await;
    let choose = async |cookie: &str, password: &str| {
        let password = json!({ "password": password });
        let path = "/api/v1/me/password";
        send(gateway, "POST", path, cookie, Some(&password))
            .await
            .status
    };
    assert_eq!(choose(&first, PASSWORD).await, 204);
    let old = json!({ "name": "omar", "password": PASSWORD });
    let (stolen, _) = signed_in(gateway, &old).await;

    let unused = printed(data.path(), &["user", "link", "omar"]).await;
    let link = printed(data.path(), &["user", "link", "omar"]).await;
    assert_eq!(get(gateway, "/api/v1/me", &stolen).await.status, 200);
    let (own, session) = signed_in(gateway, &json!({ "link": secret_of(&link) })).await;
    assert_eq!(session["needs_password"], true);

    for cookie in [&first, &stolen] {
        assert_eq!(get(gateway, "/api/v1/me", cookie).await.status, 401);
    }
    let unused = json!({ "link": secret_of(&unused) });
    for body in [&old, &unused] {
        let refused = send(gateway, "POST", "/api/v1/session", "", Some(body)).await;
        assert_eq!(refused.status, 401, "{}", refused.body);
    }
    assert_eq!(choose(&own, "another horse battery").await, 204);
    assert_eq!(get(gateway, "/api/v1/me", &own).await.status, 200);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_works_while_its_maker_may_still_make_it() {
    let (service, data) = started().await;
    let gateway = service.gateway;
    let root = token(data.path(), "root", &["--role", "admin"]).await;
    let berlin = ["--role", "admin", "--site", "berlin"];
    let local = token(data.path(), "local", &berlin).await;
    let ask = async |method: &str, path: &str, headers: &str, body: Value| {
        let target = format!("/api/v1/{path}");
        send(gateway, method, &target, headers, Some(&body)).await
    };
    let use_link = async |link: &str| {
        let body = json!({ "link": secret_of(link) });
        ask("POST", "session", "", body).await.status
    };
    let add = json!({ "name": "omar", "role": "agent", "sites": ["berlin"] });
    assert_eq!(ask("POST", "users", &root, add).await.status, 201);
    let make_link = async |headers: &str| {
        let made = ask("POST", "users/omar/link", headers, json!({})).await;
        made.body["link"].as_str().expect("a link").to_owned()
    };
    let (first, second) = (make_link(&local).await, make_link(&local).await);
    assert_eq!(use_link(&first).await, 200);

    // The account outgrows the admin who kept a link for it.
    let kept = make_link(&local).await;
    let grown = json!({ "role": "admin", "sites": [] });
    assert_eq!(ask("PATCH", "users/omar", &root, grown).await.status, 200);
    assert_eq!(use_link(&kept).await, 401);
    assert_eq!(use_link(&second).await, 401);

    let kept = make_link(&root).await;
    assert_eq!(
        ask("DELETE", "tokens/root", &root, json!({})).await.status,
        200
    );
    assert_eq!(
        use_link(&kept).await,
        401,
        "its maker has no rights any more"
    );
    let link = printed(data.path(), &["user", "link", "omar"]).await;
    assert_eq!(use_link(&link).await, 200);
    service.stop().await;
}
