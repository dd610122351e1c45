//! A virtual host of one's own on the RabbitMQ of the run.

use reqwest::Client;
use serde_json::json;

use super::servers::{self, Urls};

/// A new virtual host; its URL.
pub async fn vhost() -> String {
    new_vhost(servers::shared()).await
}

pub async fn new_vhost(servers: &Urls) -> String {
    let name = format!("test-{}", uuid::Uuid::now_v7().simple());
    make_vhost(servers, &name).await;
    // One for each node.
    let nodes = servers
        .amqp
        .split(' ')
        .map(|node| format!("{}/{name}", node.rsplit_once('/').unwrap().0));
    nodes.collect::<Vec<_>>().join(" ")
}

/// One in which our user may do everything.
pub async fn make_vhost(servers: &Urls, name: &str) {
    manage(servers, "PUT", &format!("vhosts/{name}"), &json!({})).await;
    manage(
        servers,
        "PUT",
        &format!("permissions/{name}/guest"),
        &json!({ "configure": ".*", "write": ".*", "read": ".*" }),
    )
    .await;
}

/// Asks the management API.
pub async fn manage(
    servers: &Urls,
    method: &str,
    path: &str,
    body: &serde_json::Value,
) -> serde_json::Value {
    let (scheme, rest) = servers.management.split_once("://").unwrap();
    let (credentials, host) = rest.split_once('@').unwrap();
    let (user, password) = credentials.split_once(':').unwrap();
    let url = format!("{scheme}://{host}/api/{path}");
    let request = Client::new()
        .request(method.parse().unwrap(), &url)
        .basic_auth(user, Some(password));
    let request = if method == "GET" {
        request
    } else {
        request.json(body)
    };
    let answer = request.send().await.unwrap();
    assert!(
        answer.status().is_success(),
        "{method} {path}: {}",
        answer.status()
    );
    serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
}
