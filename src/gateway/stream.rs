//! The event stream over SSE and WebSocket.
//!
//! Events are numbered. A watcher that reconnects sends the number of its last event, and receives
//! the events after it.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query as QueryString, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};

use super::Gateway;
use super::response::error_response;
use crate::port::watch::WatchEvent;

const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Interval of the presence heartbeats of an agent.
const HEARTBEAT: Duration = Duration::from_mins(1);
const CLIENT_BYTES_MAX: usize = 4 * 1024;
/// Time for a watcher to receive one event. A slower watcher is disconnected; it resumes after a
/// reconnection.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
const AGENT_BYTES_MAX: usize = 64;

pub(super) async fn events(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last_number = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());

    let hello = stream::once(async { Ok(Event::default().event("hello").data("{}")) });
    let events = gateway.watch.watch(last_number).map(|occurred| {
        let event = Event::default().event(occurred.name).data(&*occurred.data);
        Ok(match occurred.number {
            Some(number) => event.id(number.to_string()),
            None => event,
        })
    });

    Sse::new(hello.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// The query of a WebSocket. SSE has a header for the number instead, `Last-Event-ID`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    /// Number of the last received event.
    after: Option<u64>,
    /// Name of the agent, who is present while the socket is open.
    agent: Option<String>,
}

/// Upgrades to a WebSocket. Cross-origin requests are rejected, so that a foreign page cannot watch
/// calls through the browser of a user.
pub(super) async fn socket(
    State(gateway): State<Gateway>,
    resume: Result<QueryString<Resume>, QueryRejection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    if !is_same_origin(&headers) {
        return error_response(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "cross-origin requests may not watch calls",
        );
    }

    let resume = match resume {
        Ok(QueryString(Resume {
            agent: Some(agent), ..
        })) if !is_agent_name(&agent) => {
            return error_response(
                StatusCode::BAD_REQUEST,
                "bad_parameter",
                "`agent` must have 1 to 64 bytes, without blanks, colons and control characters",
            );
        }
        Ok(QueryString(resume)) => resume,
        Err(rejection) => {
            return error_response(
                StatusCode::BAD_REQUEST,
                "bad_parameter",
                &rejection.body_text(),
            );
        }
    };

    // Thousands of watchers send next to nothing: with default buffers each would occupy 128 KiB.
    let upgrade = upgrade
        .max_message_size(CLIENT_BYTES_MAX)
        .read_buffer_size(CLIENT_BYTES_MAX)
        .write_buffer_size(0);
    upgrade.on_upgrade(move |socket| serve_socket(socket, gateway, resume))
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };

    match (text(ORIGIN), text(HOST)) {
        // Only browsers send an origin.
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
}

/// Sends events until the watcher disconnects; its agent is present meanwhile.
async fn serve_socket(mut socket: WebSocket, gateway: Gateway, resume: Resume) {
    let id = uuid::Uuid::now_v7().to_string();
    let agent = resume.agent.zip(gateway.presence.clone());
    let heartbeats = async {
        let Some((agent, presence)) = &agent else {
            return std::future::pending().await;
        };

        loop {
            presence.heartbeat(agent, &id, gateway.clock.now()).await;
            tokio::time::sleep(HEARTBEAT).await;
        }
    };

    tokio::select! {
        () = send_events(&mut socket, &gateway, resume.after) => {}
        () = heartbeats => {}
    }

    if let Some((agent, presence)) = &agent {
        presence.leave(agent, &id).await;
    }
}

fn is_agent_name(name: &str) -> bool {
    (1..=AGENT_BYTES_MAX).contains(&name.len())
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':')
}

async fn send_events(socket: &mut WebSocket, gateway: &Gateway, last_number: Option<u64>) {
    let mut events = gateway.watch.watch(last_number);

    loop {
        let message = tokio::select! {
            event = events.next() => match event {
                Some(event) => event_message(&event),
                None => return,
            },
            () = tokio::time::sleep(KEEP_ALIVE) => Message::Ping(bytes::Bytes::new()),
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };

        let sent = tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

fn event_message(event: &WatchEvent) -> Message {
    let number = event
        .number
        .map_or_else(|| "null".to_owned(), |number| number.to_string());

    // The data is JSON text and inserted unchanged: parsing it for every watcher would cost time.
    Message::text(format!(
        r#"{{"number":{number},"type":"{}","data":{}}}"#,
        event.name, event.data
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_page_and_programs_may_watch() {
        let accepts = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, axum::http::HeaderValue::from_static(value));
            }
            is_same_origin(&headers)
        };

        assert!(accepts(&[("host", "h:1")]));
        assert!(accepts(&[("host", "h:1"), ("origin", "http://h:1")]));
        for origin in ["null", "http://h:2", "http://h:1.evil", "http://evil"] {
            assert!(!accepts(&[("host", "h:1"), ("origin", origin)]), "{origin}");
        }
    }
}
