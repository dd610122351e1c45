//! What happens, as it happens: numbered events over SSE and WebSocket. A watcher who comes back
//! names the last number it saw.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query as Parameters, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};

use super::Gateway;
use super::api::problem;

const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How often it is said again who is there.
const HEARTBEAT: Duration = Duration::from_mins(1);
const CLIENT_BYTES_MAX: usize = 4 * 1024;
/// A watcher that takes longer to take an event is let go, and comes back when it can.
const SEND_PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn events(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let known = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let hello = stream::once(async { Ok(Event::default().event("hello").data("{}")) });
    let events = gateway.watch.watch(known).map(|seen| {
        let event = Event::default().event(seen.name).data(&*seen.data);
        Ok(match seen.number {
            Some(number) => event.id(number.to_string()),
            None => event,
        })
    });
    Sse::new(hello.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// Where a watcher over WebSocket goes on; over SSE the browser says it in a header of its own.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    after: Option<u64>,
    /// Who watches: shown as present for as long as the socket stays.
    agent: Option<String>,
}

/// A page of another origin must not watch calls through somebody's browser.
pub(super) async fn socket(
    State(gateway): State<Gateway>,
    resume: Result<Parameters<Resume>, QueryRejection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    if !is_same_origin(&headers) {
        return problem(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "this origin may not watch calls",
        );
    }
    let resume = match resume {
        Ok(Parameters(Resume {
            agent: Some(agent), ..
        })) if !is_agent(&agent) => {
            return problem(
                StatusCode::BAD_REQUEST,
                "bad_parameter",
                "`agent` is a name of 1 to 64 characters, without blanks and colons",
            );
        }
        Ok(Parameters(resume)) => resume,
        Err(rejection) => {
            return problem(
                StatusCode::BAD_REQUEST,
                "bad_parameter",
                &rejection.body_text(),
            );
        }
    };
    // Thousands watch, and say next to nothing: with room for what they might say each of them
    // would hold 128 KiB.
    let upgrade = upgrade
        .max_message_size(CLIENT_BYTES_MAX)
        .read_buffer_size(CLIENT_BYTES_MAX)
        .write_buffer_size(0);
    upgrade.on_upgrade(move |socket| attend(socket, gateway, resume))
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };
    match (text(ORIGIN), text(HOST)) {
        // Programs other than browsers send none.
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
}

/// Watches with a socket, and is present meanwhile.
async fn attend(mut socket: WebSocket, gateway: Gateway, resume: Resume) {
    let id = uuid::Uuid::now_v7().to_string();
    let here = resume.agent.zip(gateway.presence.clone());
    let beating = async {
        let Some((agent, presence)) = &here else {
            return std::future::pending().await;
        };
        loop {
            presence.heartbeat(agent, &id, gateway.clock.now()).await;
            tokio::time::sleep(HEARTBEAT).await;
        }
    };
    tokio::select! {
        () = watch(&mut socket, &gateway, resume.after) => {}
        () = beating => {}
    }
    if let Some((agent, presence)) = &here {
        presence.leave(agent, &id).await;
    }
}

fn is_agent(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':')
}

async fn watch(socket: &mut WebSocket, gateway: &Gateway, known: Option<u64>) {
    let mut events = gateway.watch.watch(known);
    loop {
        let message = tokio::select! {
            seen = events.next() => {
                let Some(seen) = seen else { return };
                let number = seen.number.map_or_else(|| "null".to_owned(), |number| number.to_string());
                // The data is JSON as it is; to read it again for every watcher would only cost
                // time.
                Message::text(format!(r#"{{"number":{number},"type":"{}","data":{}}}"#, seen.name, seen.data))
            }
            () = tokio::time::sleep(KEEP_ALIVE) => Message::Ping(bytes::Bytes::new()),
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if !matches!(
            tokio::time::timeout(SEND_PATIENCE, socket.send(message)).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_page_and_programs_may_watch() {
        let with = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, axum::http::HeaderValue::from_static(value));
            }
            is_same_origin(&headers)
        };
        assert!(with(&[("host", "h:1")]) && with(&[("host", "h:1"), ("origin", "http://h:1")]));
        for origin in ["null", "http://h:2", "http://h:1.evil", "http://evil"] {
            assert!(!with(&[("host", "h:1"), ("origin", origin)]), "{origin}");
        }
    }
}
