//! The event stream over SSE and WebSocket.
//!
//! Events are numbered. A watcher that reconnects sends the number of its last event, and receives
//! the events after it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query as QueryString, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::parameters::{Parameters, query};
use super::response::{bad_parameter, error_response, no_right};
use super::sign_in::Credential;
use super::socket::{Watcher, forward, own_upgrade};
use super::visible::visible_event;
use super::{Gateway, WatcherLimit};
use crate::access::{Principal, Right};
use crate::net::ConnectionPermit;
use crate::port::watch::{RESYNC, WatchEvent};

/// Interval of the presence heartbeats of an agent.
const HEARTBEAT: Duration = Duration::from_mins(1);
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
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match own_upgrade(upgrade, &headers) {
        Ok(upgrade) => upgrade,
        Err(response) => return *response,
    };

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

    upgrade.on_upgrade(async move |socket| {
        serve_socket(socket, gateway, resume, watcher).await;
        drop((permit, connection));
    })
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

    let events = events_after(&gateway, resume.after);
    let principal = &watcher.principal;
    let messages = events.filter_map(|event| {
        let message = visible_to(principal, &event).map(|data| event_message(&event, &data));
        std::future::ready(message)
    });
    let end = (close_code::AWAY, "the service stops");
    tokio::select! {
        () = forward(&mut socket, &gateway, &watcher, messages, end) => {}
        () = heartbeats => {}
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

/// The data of an event as the principal sees it. That events were missed concerns everybody.
fn visible_to<'e>(principal: &Principal, event: &'e WatchEvent) -> Option<Cow<'e, str>> {
    if event.name == RESYNC {
        return Some(Cow::Borrowed(&event.data));
    }

    visible_event(principal, &event.data)
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
