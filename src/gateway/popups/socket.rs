//! The popups of an agent over a WebSocket, for programs and windows of other makers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocketUpgrade, close_code};
use axum::extract::{Query as QueryString, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::window::{Desk, Window, WindowEvent};
use crate::gateway::Gateway;
use crate::gateway::parameters::{Parameters, PlainText, SiteName, query};
use crate::gateway::response::{bad_parameter, unavailable_response};
use crate::gateway::socket::{Watcher, forward, own_upgrade};
use crate::gateway::stream::too_many_watchers;
use crate::net::ConnectionPermit;

/// The routes of popups that check the principal themselves.
pub(in crate::gateway) fn open_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default().routes(routes!(popup_socket))
}

/// The query of a socket for popups.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SocketParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// The phone whose popups are shown, while no account exists.
    #[param(inline, value_type = Option<PlainText>)]
    extension: Option<String>,
    /// Of a page: the ticket for this socket.
    ticket: Option<String>,
}

impl Parameters for SocketParameters {
    const NAMES: &'static str = "`site`, `extension` and `ticket`";
}

/// The popups of one agent, over a WebSocket.
///
/// The events of `GET /api/v1/stream/popups`, each as a text message with `type` and `data`. The
/// socket is closed with the code 1013 when the agent is to begin again with a snapshot. A session is
/// not enough: a page needs a ticket. Needs the right `claim`.
#[utoipa::path(
    get,
    path = "/ws/popups",
    operation_id = "open_popup_socket",
    tag = "Popups",
    params(SocketParameters),
    responses(
        (status = 101, description = "One text message per event."),
        (status = 400, description = "`no_upgrade`: the request does not ask for a socket."),
        (status = 401, description = "`no_ticket`: the request has neither a token nor a ticket."),
        (status = 403, description = "`foreign_origin`: a page of another origin asks. `no_right`: \
            the account takes no calls."),
        (status = 409, description = "`no_extension`: the account has no phone."),
        (status = 426, description = "`no_upgrade`: the request does not ask for a socket."),
        (status = 503, description = "`too_many_watchers`: as many sockets are open as \
            `gateway.watchers_max` allows. `unavailable`: the database did not answer."),
    ),
    security(("bearer" = []), ("ticket" = [])),
)]
async fn popup_socket(
    State(gateway): State<Gateway>,
    parameters: Result<QueryString<SocketParameters>, QueryRejection>,
    headers: HeaderMap,
    connection: Option<Extension<Arc<ConnectionPermit>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match own_upgrade(upgrade, &headers) {
        Ok(upgrade) => upgrade,
        Err(response) => return *response,
    };
    let SocketParameters {
        site,
        extension,
        ticket,
    } = match query(parameters) {
        Ok(parameters) => parameters,
        Err(message) => return bad_parameter(&message),
    };
    let watcher = match Watcher::of(&gateway.access, &headers, ticket.as_deref()).await {
        Ok(watcher) => watcher,
        Err(response) => return *response,
    };
    let desk = match Desk::at(&watcher.principal, site, extension.as_deref()) {
        Ok(desk) => desk,
        Err(response) => return *response,
    };
    let Some(permit) = gateway.watchers.admit() else {
        return too_many_watchers();
    };

    let mut window = Window::open(gateway.clone(), desk, permit);
    let hello = match window.snapshot().await {
        Ok(hello) => hello,
        Err(error) => return unavailable_response(&error),
    };
    upgrade.on_upgrade(async move |mut socket| {
        let events = stream::iter([WindowEvent::hello(hello)]).chain(window.into_stream());
        let messages = events.map(|event| event.message());
        let end = (close_code::AGAIN, "begin again with a snapshot");
        forward(&mut socket, &gateway, &watcher, messages, end).await;
        drop(connection);
    })
}
