//! Virtual hosts of tests' own on the RabbitMQ of the run.

use cordboard::adapter::rabbit::{Administration, BrokerAddress};
use cordboard::wire::partition::Layout;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use super::servers::{self, Urls};

/// A request to the management API; it is slow while the broker starts.
const MANAGEMENT: Duration = Duration::from_secs(30);

/// A new virtual host; its URL.
pub async fn vhost() -> String {
    new_vhost(servers::shared()).await
}

pub async fn new_vhost(servers: &Urls) -> String {
    let name = format!("test-{}", uuid::Uuid::now_v7().simple());
    make_vhost(servers, &name).await;

    // One address for each node.
    let nodes: Vec<String> = servers
        .amqp
        .split(' ')
        .map(|node| format!("{}/{name}", node.rsplit_once('/').unwrap().0))
        .collect();

    nodes.join(" ")
}

/// Makes a virtual host in which our user may do everything.
pub async fn make_vhost(servers: &Urls, name: &str) {
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });

    manage(servers, "PUT", &format!("vhosts/{name}"), &json!({})).await;
    manage(servers, "PUT", &format!("permissions/{name}/guest"), &all).await;
}

/// The name of the virtual host in a URL.
pub fn vhost_of(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

/// Asks the management API.
pub async fn manage(servers: &Urls, method: &str, path: &str, body: &Value) -> Value {
    let (scheme, rest) = servers.management.split_once("://").unwrap();
    let (credentials, host) = rest.split_once('@').unwrap();
    let (user, password) = credentials.split_once(':').unwrap();
    let mut request = Client::new()
        .request(
            method.parse().unwrap(),
            format!("{scheme}://{host}/api/{path}"),
        )
        .timeout(MANAGEMENT)
        .basic_auth(user, Some(password));
    if method != "GET" {
        request = request.json(body);
    }

    let answer = request.send().await.unwrap();
    assert!(
        answer.status().is_success(),
        "{method} {path}: {}",
        answer.status()
    );

    serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
}

/// Declares the exchanges and queues of a layout.
pub async fn declare(address: &BrokerAddress, layout: Layout) {
    let broker = Administration::open(address, layout, "test").await.unwrap();
    broker.declare().await.unwrap();
    broker.close().await;
}
