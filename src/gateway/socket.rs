//! Sockets: who watches, and how messages reach a watcher.

use std::pin::pin;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::stream::{Stream, StreamExt};
use tokio::time::{Instant, interval_at, timeout};

use super::Gateway;
use super::guard::is_same_origin;
use super::response::{error_response, unavailable_response};
use super::sign_in::{Access, Credential};
use crate::access::Principal;

/// A socket that leaves this many pings unanswered is closed: its browser has vanished.
const PINGS_UNANSWERED_MAX: u32 = 2;
const CLIENT_BYTES_MAX: usize = 4 * 1024;
/// Time for a watcher to receive one event. A slower watcher is disconnected; it resumes after a
/// reconnection.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to send the reason of a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The upgrade of a request that a page of this origin, or a program, has sent.
pub(super) fn own_upgrade(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    headers: &HeaderMap,
) -> Result<WebSocketUpgrade, Box<Response>> {
    let upgrade = upgrade.map_err(|rejection| {
        let status = rejection.status();
        Box::new(error_response(status, "no_upgrade", &rejection.body_text()))
    })?;
    if !is_same_origin(headers) {
        return Err(Box::new(error_response(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "cross-origin requests may not watch calls",
        )));
    }

    // Thousands of watchers send next to nothing: with default buffers each would occupy 128 KiB.
    Ok(upgrade
        .max_message_size(CLIENT_BYTES_MAX)
        .read_buffer_size(CLIENT_BYTES_MAX)
        .write_buffer_size(0))
}

/// The principal of a socket.
pub(super) struct Watcher {
    pub credential: Credential,
    pub principal: Principal,
}

impl Watcher {
    /// Takes a token from the header, or the ticket of a page. A cookie is not enough: it comes
    /// with every request of the browser, whichever page made it.
    pub(super) async fn of(
        access: &Access,
        headers: &HeaderMap,
        ticket: Option<&str>,
    ) -> Result<Watcher, Box<Response>> {
        let found = async {
            let credential = match ticket {
                Some(ticket) => access.use_ticket(ticket).await?,
                None => access
                    .credential(headers)
                    .await?
                    .filter(|credential| !matches!(credential, Credential::Session(_))),
            };
            let Some(credential) = credential else {
                return Ok(None);
            };
            let principal = access.principal(&credential).await?;
            Ok(principal.map(|principal| Watcher {
                credential,
                principal,
            }))
        };

        match found.await {
            Ok(Some(watcher)) => Ok(watcher),
            Ok(None) => Err(Box::new(error_response(
                StatusCode::UNAUTHORIZED,
                "no_ticket",
                "a socket needs a token in the header `Authorization`, or `ticket` with a value \
                 of POST /api/v1/ticket",
            ))),
            Err(error) => Err(Box::new(unavailable_response(&error))),
        }
    }
}

/// Sends messages until the watcher disconnects, is too slow, answers no pings or loses its rights, or
/// until their end, which has this code and reason.
pub(super) async fn forward(
    socket: &mut WebSocket,
    gateway: &Gateway,
    watcher: &Watcher,
    messages: impl Stream<Item = Message>,
    end: (u16, &'static str),
) {
    let is_valid = gateway
        .access
        .until_changed(&watcher.credential, &watcher.principal);
    let ended = tokio::select! {
        () = send_messages(socket, gateway.watchers.ping_every, messages, end) => false,
        () = is_valid => true,
    };

    if ended {
        close(socket, close_code::POLICY, "the session is over").await;
    }
}

async fn send_messages(
    socket: &mut WebSocket,
    ping_every: Duration,
    messages: impl Stream<Item = Message>,
    (end_code, end_reason): (u16, &'static str),
) {
    let mut messages = pin!(messages);
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    let mut unanswered = 0;

    loop {
        let message = tokio::select! {
            message = messages.next() => match message {
                Some(message) => message,
                None => return close(socket, end_code, end_reason).await,
            },
            _ = pings.tick() => {
                if unanswered >= PINGS_UNANSWERED_MAX {
                    return close(socket, close_code::PROTOCOL, "pings are not answered").await;
                }
                unanswered += 1;
                Message::Ping(bytes::Bytes::new())
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    unanswered = 0;
                    continue;
                }
            },
        };

        let sent = timeout(SEND_TIMEOUT, socket.send(message)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => return close(socket, close_code::AGAIN, "events are read too slowly").await,
        }
    }
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };

    // The socket is dropped afterwards, whether the watcher reads the reason or not.
    let _ = timeout(CLOSE_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
}
