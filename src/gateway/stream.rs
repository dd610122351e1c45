//! The event stream over SSE and WebSocket.
//!
//! Events are numbered. A watcher that reconnects sends the number of its last event, and receives
//! the events after it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query as QueryString, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, interval_at, timeout};
use utoipa::IntoParams;

use super::guard::is_same_origin;
use super::parameters::{Parameters, query};
use super::response::{bad_parameter, error_response, no_right, unavailable_response};
use super::sign_in::{Access, Credential};
use super::visible::visible_event;
use super::{Gateway, WatcherLimit};
use crate::access::{Principal, Right};
use crate::net::ConnectionPermit;
use crate::port::watch::{RESYNC, WatchEvent};

/// A socket that leaves this many pings unanswered is closed: its browser has vanished.
const PINGS_UNANSWERED_MAX: u32 = 2;
/// Interval of the presence heartbeats of an agent.
const HEARTBEAT: Duration = Duration::from_mins(1);
const CLIENT_BYTES_MAX: usize = 4 * 1024;
/// Time for a watcher to receive one event. A slower watcher is disconnected; it resumes after a
/// reconnection.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to send the reason of a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const AGENT_BYTES_MAX: usize = 64;

/// Changes of calls, as server-sent events.
///
/// `hello` first, and then each change with its number as `id`. The answer does not end.
#[utoipa::path(
    get,
    path = "/api/v1/stream",
    operation_id = "watch_calls",
    tag = "Live events",
    params(("Last-Event-ID" = Option<String>, Header,
        description = "The number of the last received event, to receive those after it.")),
    responses(
        (status = 200, description = "The events.", body = String,
            content_type = "text/event-stream"),
        (status = 503, description = "`too_many_watchers`: as many streams are open as \
            `gateway.watchers_max` allows."),
    ),
)]
pub(super) async fn events(
    State(gateway): State<Gateway>,
    Extension(credential): Extension<Credential>,
    Extension(principal): Extension<Arc<Principal>>,
    headers: HeaderMap,
) -> Response {
    let Some(permit) = gateway.watchers.admit() else {
        return too_many_watchers();
    };
    let last_number = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());

    let hello = stream::once(async { Ok(Event::default().event("hello").data("{}")) });
    let events = events_after(&gateway, last_number);
    let began_as = Arc::clone(&principal);
    let events = events.filter_map(move |occurred| {
        let visible = visible_to(&principal, &occurred).map(|data| {
            let event = Event::default().event(occurred.name).data(data);
            Ok(match occurred.number {
                Some(number) => event.id(number.to_string()),
                None => event,
            })
        });
        std::future::ready(visible)
    });
    // The browser connects again, with the rights of then, and is refused when its session is over.
    let access = Arc::clone(&gateway.access);
    let events =
        events.take_until(async move { access.until_changed(&credential, &began_as).await });

    let ping_every = gateway.watchers.ping_every;
    // The stream holds the permit.
    let stream = hello
        .chain(events)
        .inspect(move |_: &Result<Event, Infallible>| {
            let _ = &permit;
        });

    Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(ping_every))
        .into_response()
}

/// Changes of calls from now on or after a number, and of the desk, until those of calls end.
fn events_after(
    gateway: &Gateway,
    last_number: Option<u64>,
) -> impl Stream<Item = WatchEvent> + use<> {
    let calls = gateway.watch.watch(last_number).map(Some);
    let until_end = calls.chain(stream::once(async { None }));
    let desk = gateway.desk_bell.events().map(Some);

    stream::select(until_end, desk).scan((), |(), event| std::future::ready(event))
}

impl WatcherLimit {
    pub(super) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.open).try_acquire_owned().ok()
    }
}

pub(super) fn too_many_watchers() -> Response {
    metrics::counter!("cordboard_gateway_refused_total", "reason" => "watchers").increment(1);
    let busy = error_response(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_watchers",
        "as many event streams are open as `gateway.watchers_max` allows",
    );

    ([(RETRY_AFTER, "5")], busy).into_response()
}

/// The query of a WebSocket. SSE has a header for the number instead, `Last-Event-ID`.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Resume {
    /// Number of the last received event.
    after: Option<u64>,
    /// Name of the agent, who is present while the socket is open: no blanks, colons and control
    /// characters.
    #[param(min_length = 1, max_length = 64)]
    agent: Option<String>,
    /// Of a page: the ticket for this socket.
    ticket: Option<String>,
}

impl Parameters for Resume {
    const NAMES: &'static str = "`after`, `agent` and `ticket`";
}

/// Changes of calls, over a WebSocket.
///
/// Cross-origin requests are rejected, so that a foreign page cannot watch calls through the browser
/// of a user. A session is not enough: a page needs a ticket.
#[utoipa::path(
    get,
    path = "/ws",
    operation_id = "open_socket",
    tag = "Live events",
    params(Resume),
    responses(
        (status = 101, description = "One text message per event."),
        (status = 400, description = "`no_upgrade`: the request does not ask for a socket."),
        (status = 401, description = "`no_ticket`: the request has neither a token nor a ticket."),
        (status = 403, description = "`foreign_origin`: a page of another origin asks. `no_right`: \
            the agent is another account."),
        (status = 426, description = "`no_upgrade`: the request does not ask for a socket."),
        (status = 503, description = "`too_many_watchers`: as many sockets are open as \
            `gateway.watchers_max` allows. `unavailable`: the database did not answer."),
    ),
    security(("bearer" = []), ("ticket" = [])),
)]
pub(super) async fn socket(
    State(gateway): State<Gateway>,
    resume: Result<QueryString<Resume>, QueryRejection>,
    headers: HeaderMap,
    connection: Option<Extension<Arc<ConnectionPermit>>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            return error_response(rejection.status(), "no_upgrade", &rejection.body_text());
        }
    };
    if !is_same_origin(&headers) {
        return error_response(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "cross-origin requests may not watch calls",
        );
    }

    let resume = match query(resume) {
        Ok(Resume {
            agent: Some(agent), ..
        }) if !is_agent_name(&agent) => {
            return bad_parameter(
                "`agent` must have 1 to 64 bytes, without blanks, colons and control characters",
            );
        }
        Ok(resume) => resume,
        Err(message) => return bad_parameter(&message),
    };
    let watcher = match Watcher::of(&gateway.access, &headers, resume.ticket.as_deref()).await {
        Ok(watcher) => watcher,
        Err(response) => return *response,
    };
    if let Some(agent) = &resume.agent
        && !may_present(&watcher.principal, agent)
    {
        return no_right("an account marks only itself as present");
    }

    let Some(permit) = gateway.watchers.admit() else {
        return too_many_watchers();
    };

    // Thousands of watchers send next to nothing: with default buffers each would occupy 128 KiB.
    let upgrade = upgrade
        .max_message_size(CLIENT_BYTES_MAX)
        .read_buffer_size(CLIENT_BYTES_MAX)
        .write_buffer_size(0);
    upgrade.on_upgrade(async move |socket| {
        serve_socket(socket, gateway, resume, watcher).await;
        drop((permit, connection));
    })
}

/// The principal of a socket.
struct Watcher {
    credential: Credential,
    principal: Principal,
}

impl Watcher {
    /// Takes a token from the header, or the ticket of a page. A cookie is not enough: it comes
    /// with every request of the browser, whichever page made it.
    async fn of(
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

/// Sends events until the watcher disconnects; its agent is present meanwhile.
async fn serve_socket(mut socket: WebSocket, gateway: Gateway, resume: Resume, watcher: Watcher) {
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

    let is_valid = gateway
        .access
        .until_changed(&watcher.credential, &watcher.principal);
    let ended = tokio::select! {
        () = send_events(&mut socket, &gateway, resume.after, &watcher.principal) => false,
        () = heartbeats => false,
        () = is_valid => true,
    };
    if ended {
        close(&mut socket, close_code::POLICY, "the session is over").await;
    }

    if let Some((agent, presence)) = &agent {
        presence.leave(agent, &id).await;
    }
}

/// Whether the principal may mark an agent as present: an account itself, a program that registers
/// the states of calls anyone.
fn may_present(principal: &Principal, agent: &str) -> bool {
    principal.is_user(agent) || principal.may(Right::States)
}

fn is_agent_name(name: &str) -> bool {
    (1..=AGENT_BYTES_MAX).contains(&name.len())
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':')
}

/// Sends events until the watcher disconnects, is too slow, or answers no pings.
async fn send_events(
    socket: &mut WebSocket,
    gateway: &Gateway,
    last_number: Option<u64>,
    principal: &Principal,
) {
    let mut events = pin!(events_after(gateway, last_number));
    let ping_every = gateway.watchers.ping_every;
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    let mut unanswered = 0;

    loop {
        let message = tokio::select! {
            event = events.next() => match event {
                Some(event) => match visible_to(principal, &event) {
                    Some(data) => event_message(&event, &data),
                    None => continue,
                },
                None => return close(socket, close_code::AWAY, "the service stops").await,
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

/// The data of an event as the principal sees it. That events were missed concerns everybody.
fn visible_to<'e>(principal: &Principal, event: &'e WatchEvent) -> Option<Cow<'e, str>> {
    if event.name == RESYNC {
        return Some(Cow::Borrowed(&event.data));
    }

    visible_event(principal, &event.data)
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };

    // The socket is dropped afterwards, whether the watcher reads the reason or not.
    let _ = timeout(CLOSE_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
}

fn event_message(event: &WatchEvent, data: &str) -> Message {
    let number = event
        .number
        .map_or_else(|| "null".to_owned(), |number| number.to_string());

    // The data is JSON text and inserted unchanged: parsing it for every watcher would cost time.
    Message::text(format!(
        r#"{{"number":{number},"type":"{}","data":{data}}}"#,
        event.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_principal_hears_that_events_were_missed() {
        for sites in [&[][..], &["berlin"]] {
            let seen = visible_to(&Principal::agent_of(sites), &WatchEvent::resync()).is_some();
            assert!(seen, "{sites:?}");
        }
    }
}
